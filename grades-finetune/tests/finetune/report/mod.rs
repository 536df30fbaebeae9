//! Reports of runs and comparisons: of folders that the tests write, and of whole runs.

mod comparisons;
mod made;
mod pages;
mod reading;
mod records;
mod runs;
