//! The treatment of embeddings that are the output matrix as well.

use crate::schema::words;

words! {
    /// The treatment of an embedding that is tied to the output matrix, once the first block is frozen whole.
    ///
    /// An embedding of its own is frozen with the first block ([`Followers::WithBlock`](super::Followers::WithBlock)). A tied
    /// one also gets gradients as the output matrix, and as long as it trains through both sides the backward pass must go
    /// through all frozen blocks down to it. With [`Followers::Keep`](super::Followers::Keep) it trains to the end whatever is
    /// set here.
    ///
    /// ```
    /// use grades::config::Tied;
    ///
    /// assert_eq!("head".parse::<Tied>()?, Tied::Head);
    /// assert_eq!(Tied::Both.to_string(), "both");
    /// # Ok::<(), grades::Error>(())
    /// ```
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub enum Tied: "treatment of tied embeddings" {
        /// It trains through both sides until the run ends.
        #[default]
        Keep = "keep",
        /// It goes on training as the output matrix alone. The model must detach its input side while
        /// [`FreezingOptimizer::input_is_frozen`](crate::FreezingOptimizer::input_is_frozen) returns true. The matrix still
        /// moves, so what the frozen blocks get as their input does, too.
        Head = "head",
        /// It is frozen with the first block, as the input and as the output matrix.
        Both = "both",
    }
}
