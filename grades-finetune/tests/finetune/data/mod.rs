//! Tests of `grades_finetune::data`.

mod batches;
mod columns;
mod examples;
mod files;
mod pairs;
mod tokens;
