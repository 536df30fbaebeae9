//! Checkpoints, crashes, and losses that are not finite.
//!
//! `GRADES_TORTURE=1` (`make torture`) runs the long forms.

pub(crate) mod broken;
mod damage;
mod disk;
mod in_process;
mod kills;
mod loss_monitor;
mod memory;
mod refused;
mod resume;
mod signals;

/// Returns the long form of a number when the long forms are enabled.
fn long_or<T>(long: T, short: T) -> T {
    if std::env::var_os("GRADES_TORTURE").is_some() { long } else { short }
}
