//! Shared by all tests: folders with files, runs in this process, the program itself, and the records that runs write.
//!
//! A test trains in this process ([`Folder::run`]) unless the process is the point: exit codes, signals, kills, limits of
//! the system, standard output and error, and the command line. A process costs half a second before its first step, a run
//! in here a tenth of that.
//!
//! libtorch has one generator of random numbers for a whole process. A run seeds it when it starts and draws from it until it
//! ends (adapters, dropout), so a second run beside it would change its numbers. Runs in this process therefore train one
//! after the other, and what they write may be compared bit by bit, also with what the program writes. Nothing else in
//! this test program may draw from that generator; models and heads do not, they are drawn from generators of their own.

mod files;
mod folder;
mod process;
mod run;

pub(crate) use files::RunFiles;
pub(crate) use folder::{FREEZE_ALL, Folder, LINKED, PAIRS, copy_folder, examples};
pub(crate) use process::{PROGRAM, Ran, Running, send};
pub(crate) use run::Run;

pub(crate) use crate::tiny::{Tiny, VOCABULARY};
