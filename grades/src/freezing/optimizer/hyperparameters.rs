//! Hyperparameters, passed on to the inner optimizer under tch's names.

use super::FreezingOptimizer;
use crate::Result;
use crate::optim::InnerOptimizer;

macro_rules! passed_on {
    ($($(#[$doc:meta])* $name:ident($($argument:ident: $kind:ty),+);)+) => {
        impl<O: InnerOptimizer> FreezingOptimizer<O> {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                ///
                /// [`Error::Config`](crate::Error::Config) for a value out of range,
                /// [`Error::Unknown`](crate::Error::Unknown) for a group that does not exist, and
                /// [`Error::Unsupported`](crate::Error::Unsupported) where the inner optimizer has no such setting.
                pub fn $name(&mut self, $($argument: $kind),+) -> Result<()> {
                    self.inner.$name($($argument),+)
                }
            )+
        }
    };
}

passed_on! {
    /// Sets the learning rate of all groups.
    set_lr(lr: f64);
    /// Sets the learning rate of one group, numbered as in `Path::set_group`.
    set_lr_group(group: usize, lr: f64);
    /// Sets the momentum of all groups: SGD's momentum, Adam's β₁.
    set_momentum(momentum: f64);
    /// Sets the momentum of one group.
    set_momentum_group(group: usize, momentum: f64);
    /// Sets the weight decay of all groups.
    set_weight_decay(weight_decay: f64);
    /// Sets the weight decay of one group.
    set_weight_decay_group(group: usize, weight_decay: f64);
}
