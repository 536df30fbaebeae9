//! Tests of the library and of the program `finetune`, on files in temporary folders.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy allows them in test functions, but not in the functions that those share"
)]

mod bad_config;
mod bad_files;
mod budget;
mod cache;
mod card;
mod commands;
mod compare;
mod config;
mod configs;
mod control_characters;
mod cooling;
mod criterion;
mod data;
mod decoder;
mod decoder_compare;
mod disk;
mod dry_run;
mod durable;
mod early_stopping;
mod half_precision;
mod inspect;
mod learning;
mod listing;
mod lora;
mod options;
#[cfg(target_os = "linux")]
mod ranks;
mod report;
mod results;
mod run_folder;
mod sequences;
mod signals;
mod special_files;
mod statistics;
mod support;
mod tables;
#[path = "../../../grades-models/tests/support/tiny.rs"]
mod tiny;
#[path = "../../../grades-models/tests/support/tiny_decoder.rs"]
mod tiny_decoder;
#[path = "../../../tests/src/tolerance.rs"]
mod tolerance;
mod using;
