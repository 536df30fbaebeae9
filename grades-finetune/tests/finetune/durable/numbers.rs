//! Reproducible numbers.

/// A reproducible stream of numbers.
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns a number below a bound.
    pub(crate) fn below<T: TryFrom<u64>>(&mut self, bound: T) -> T
    where
        u64: TryFrom<T>,
    {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let bound = u64::try_from(bound).ok().filter(|bound| *bound > 0).expect("a bound above 0");
        T::try_from((self.0 >> 33) % bound).ok().expect("a number below the bound")
    }
}
