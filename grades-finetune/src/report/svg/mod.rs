//! Pictures as SVG: scales, axes, and the little markup they need.

mod downsample;
mod number;
mod picture;
mod plot;
mod scale;
mod theme;

pub(crate) use downsample::{Bucket, buckets, evenly};
pub(crate) use number::{bytes, count, flops, long_seconds, percent, plain};
pub(crate) use picture::{Picture, Size, attribute, coordinate, escape};
pub(crate) use plot::{Axis, Plot, Rectangle, Unit};
pub(crate) use scale::Scale;
pub(crate) use theme::chart_css;
