//! The lock of a folder that one process at a time writes into.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

/// Locks a folder against other processes until it is dropped or the process ends in whatever way.
#[derive(Debug)]
pub struct Lock {
    _folder: File,
}

impl Lock {
    /// Locks a folder; `None` when another process has locked it. Where a file system knows no locks, the user has to
    /// see to it that one process writes.
    ///
    /// # Errors
    ///
    /// When the folder cannot be opened.
    pub fn acquire(folder: &Path) -> io::Result<Option<Self>> {
        let opened = File::open(folder)?;
        match opened.try_lock() {
            Err(TryLockError::WouldBlock) => Ok(None),
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Some(Self { _folder: opened })),
        }
    }
}
