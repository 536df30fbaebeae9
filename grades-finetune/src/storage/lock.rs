//! A folder that one process at a time writes into.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// Keeps other processes out of a folder until it is dropped or the process ends in whatever way.
#[derive(Debug)]
pub struct Lock {
    _folder: File,
}

impl Lock {
    /// Takes the lock of a folder; `None` when another process has it. Where a file system knows no locks, the user has
    /// to see to it.
    ///
    /// # Errors
    ///
    /// When the folder cannot be opened.
    pub fn take(folder: &Path) -> io::Result<Option<Self>> {
        let opened = File::open(folder)?;
        match flock(&opened, FlockOperation::NonBlockingLockExclusive) {
            Err(error) if error == Errno::WOULDBLOCK => Ok(None),
            _ => Ok(Some(Self { _folder: opened })),
        }
    }
}
