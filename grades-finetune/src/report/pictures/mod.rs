//! The pictures of a run and of a comparison.

mod accuracy;
mod classes;
mod curves;
mod figure;
mod heat_map;
mod legend;
mod loss;
mod progress;
mod savings;
mod statistic;
mod time;

pub(super) use accuracy::{accuracy_over_flops, accuracy_over_time};
pub(super) use classes::classes;
pub(super) use curves::curves;
pub(super) use figure::Figure;
pub(super) use heat_map::heat_map;
pub(super) use loss::loss;
pub(super) use progress::progress;
pub(super) use savings::savings;
pub(super) use statistic::statistic;
pub(super) use time::time_bars;
