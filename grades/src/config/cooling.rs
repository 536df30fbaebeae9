//! The ways to cool a component.

use crate::schema::words;

words! {
    /// How the noise is taken out of a component's weights while it cools.
    ///
    /// A component whose gradient is all noise walks at random around its optimum. Either its steps become smaller and
    /// smaller, or the mean of where it has been is taken, which lies nearer to the optimum than its last place does
    /// (Polyak and Juditsky 1992, <https://doi.org/10.1137/0330046>; for networks Izmailov et al. 2018, arXiv 1803.05407).
    /// A plain mean lags behind weights that still move, so late values count more: the k-th one with the weight k
    /// (Lacoste-Julien, Schmidt and Bach 2012, arXiv 1212.2002).
    ///
    /// ```
    /// use grades::config::Cooling;
    ///
    /// assert_eq!("average".parse::<Cooling>()?, Cooling::Average);
    /// assert_eq!(Cooling::default().to_string(), "decay");
    /// # Ok::<(), grades::Error>(())
    /// ```
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub enum Cooling: "cooling" {
        /// Its learning rate falls in a straight line; the inner optimizer must have learning rates of components.
        #[default]
        Decay = "decay",
        /// Its learning rate stays, and it freezes at the weighted mean of its weights after each of the cooldown's updates.
        /// It cools for at least as long as any component that is decided meanwhile: as long as others are on their way, the
        /// optimum of each moves. The mean is a copy of the weights, in f32 where they are narrower, for as long as the
        /// component cools. Any optimizer can.
        Average = "average",
    }
}
