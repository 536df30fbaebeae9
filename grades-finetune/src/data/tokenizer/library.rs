//! Calls the library of tokenizers on files that may make no sense.

use std::cell::Cell;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::data::error::{Error, Result};

thread_local! {
    /// Whether a panic of this thread becomes an error.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Returns whether a panic of this thread becomes an error, which says it all.
pub(crate) fn is_guarded() -> bool {
    GUARDED.get()
}

/// Marks this thread as one whose panics become errors.
pub(crate) fn quiet() {
    GUARDED.set(true);
}

/// Parses `tokenizer.json`.
pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<tokenizers::Tokenizer> {
    guarded(path, "is no tokenizer", || tokenizers::Tokenizer::from_bytes(bytes))
}

/// Calls the library, which panics on some files (tokenizers 0.23: decoders that are no JSON, templates with unknown
/// tokens): that is an error of the file like any other.
pub(crate) fn guarded<T, E: Display>(
    path: &Path,
    what: &str,
    call: impl FnOnce() -> std::result::Result<T, E>,
) -> Result<T> {
    let before = GUARDED.replace(true);
    // The call's half-done values are never used again.
    let done = catch_unwind(AssertUnwindSafe(call));
    GUARDED.set(before);
    match done {
        Ok(done) => done.map_err(|error| Error::file(path, format!("{what}: {error}"))),
        Err(_) => Err(Error::file(path, format!("{what}: it makes no sense to the library that reads it"))),
    }
}
