//! Checkpoints, crashes, and losses that are not finite.
//!
//! `GRADES_TORTURE=1` (`make torture`) runs the long forms.

pub(crate) mod broken;
mod combinations;
mod damage;
mod disk;
mod faults;
mod in_process;
mod interrupted;
mod kills;
mod loss_monitor;
mod lost;
mod memory;
mod numbers;
mod output;
mod refused;
mod resume;
mod room;
mod signals;

/// Returns the long form of a number when the long forms are enabled.
fn long_or<T>(long: T, short: T) -> T {
    if std::env::var_os("GRADES_TORTURE").is_some() { long } else { short }
}
