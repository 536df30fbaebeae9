//! The lock of a folder that one process at a time writes into.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::time::Duration;

/// The attempts to lock a folder, and the pause between two.
const ATTEMPTS: usize = 3;
const PAUSE: Duration = Duration::from_millis(20);

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
        // A process that asks whether the folder is locked has a lock itself for a moment.
        for attempt in 1..=ATTEMPTS {
            match opened.try_lock() {
                Err(TryLockError::WouldBlock) if attempt < ATTEMPTS => std::thread::sleep(PAUSE),
                Err(TryLockError::WouldBlock) => break,
                Ok(()) | Err(TryLockError::Error(_)) => return Ok(Some(Self { _folder: opened })),
            }
        }
        Ok(None)
    }

    /// Returns whether a process has locked a folder; `false` where a file system knows no locks.
    ///
    /// # Errors
    ///
    /// When the folder cannot be opened.
    pub fn is_taken(folder: &Path) -> io::Result<bool> {
        Ok(matches!(File::open(folder)?.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_seen_while_it_lives() {
        let dir = tempfile::tempdir().unwrap();
        let taken = || Lock::is_taken(dir.path()).unwrap();
        assert!(!taken());
        let lock = Lock::acquire(dir.path()).unwrap();
        assert!(lock.is_some() && taken() && Lock::acquire(dir.path()).unwrap().is_none());
        drop(lock);
        assert!(!taken() && Lock::acquire(dir.path()).unwrap().is_some());
    }
}
