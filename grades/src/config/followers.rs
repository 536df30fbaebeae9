//! The treatment of parameters outside of components.

use crate::schema::words;

words! {
    /// The treatment of biases, norms and embeddings while components freeze.
    ///
    /// As long as any parameter below a layer trains, the backward pass must go through that layer, whether its matrices
    /// are frozen or not. With `with-block` it ends at the lowest block that still trains.
    ///
    /// ```
    /// use grades::config::Followers;
    ///
    /// assert_eq!("keep".parse::<Followers>()?, Followers::Keep);
    /// assert_eq!(Followers::default().to_string(), "with-block");
    /// # Ok::<(), grades::Error>(())
    /// ```
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub enum Followers: "treatment of followers" {
        /// They train until the run ends, as in the published versions.
        Keep = "keep",
        /// Parameters of a transformer block are frozen once all of the block's components are, and the embeddings with the first
        /// block. [`Tied`](super::Tied) says what happens to embeddings that are the output matrix as well: a tensor has two
        /// names, or no parameter is of kind `head`.
        #[default]
        WithBlock = "with-block",
    }
}
