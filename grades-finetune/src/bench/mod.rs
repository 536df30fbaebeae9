//! Benchmarks that the program runs on a user's own model and data.

mod overhead;

pub use overhead::measure_overhead;
