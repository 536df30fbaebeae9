//! A log of lines that waits for room on a full disk.

use std::fs::File;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// So much waits in memory at most; what comes after it is lost, and the log stays as it is.
const MOST: usize = 64 << 20;

/// A file for lines. What cannot be written waits and is tried again, so that a disk that is full for a while costs no
/// line; as a writer it never fails.
#[derive(Debug, Clone)]
pub(super) struct LineFile(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    file: File,
    waiting: Vec<u8>,
    failed: Option<String>,
    /// Whether the user knows.
    told: bool,
    /// Whether more had to wait than may.
    lost: bool,
}

impl LineFile {
    /// Goes on at the place where the file is.
    pub(super) fn new(file: File) -> Self {
        let inner = Inner { file, waiting: Vec::new(), failed: None, told: false, lost: false };
        Self(Arc::new(Mutex::new(inner)))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tries once more; the bytes that the file has by then, or why it lacks some.
    pub(super) fn length(&self) -> Result<u64, String> {
        let mut inner = self.inner();
        inner.write_out();
        match &inner.failed {
            Some(reason) => Err(reason.clone()),
            None => inner.file.metadata().map(|file| file.len()).map_err(|error| error.to_string()),
        }
    }

    /// Tries once more; why the file lacks something.
    pub(super) fn failure(&self) -> Option<String> {
        let mut inner = self.inner();
        inner.write_out();
        inner.failed.clone()
    }

    /// Why the file lacks something, the first time since it lacked nothing.
    pub(super) fn news(&self) -> Option<String> {
        let mut inner = self.inner();
        let failed = inner.failed.clone();
        let told = std::mem::replace(&mut inner.told, failed.is_some());
        failed.filter(|_| !told)
    }

    /// Another handle, to bring the file to the disk.
    pub(super) fn handle(&self) -> io::Result<File> {
        self.inner().file.try_clone()
    }
}

impl Inner {
    fn write_out(&mut self) {
        let mut done = 0;
        while !self.lost {
            let Some(rest) = self.waiting.get(done..).filter(|rest| !rest.is_empty()) else {
                self.failed = None;
                break;
            };
            match self.file.write(rest) {
                Ok(0) => {
                    self.failed = Some(io::Error::from(io::ErrorKind::WriteZero).to_string());
                    break;
                }
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.failed = Some(error.to_string());
                    break;
                }
            }
        }
        self.waiting.drain(..done);
        if self.waiting.len() > MOST {
            self.lost = true;
            self.waiting = Vec::new();
        }
    }
}

impl Write for LineFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut inner = self.inner();
        if !inner.lost {
            inner.waiting.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner().write_out();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_wait_until_they_can_be_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        // A handle that cannot be written, as on a full disk.
        std::fs::write(&path, "one\n").unwrap();
        let mut lines = LineFile::new(File::open(&path).unwrap());
        lines.write_all(b"two\n").unwrap();
        lines.flush().unwrap();
        assert!(lines.length().is_err() && lines.failure().is_some());
        assert!(lines.news().is_some() && lines.news().is_none(), "it is told once");
        let better = File::options().append(true).open(&path).unwrap();
        lines.inner().file = better;
        lines.write_all(b"three\n").unwrap();
        assert_eq!((lines.length(), lines.failure(), lines.news()), (Ok(14), None, None));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\nthree\n");
    }

    #[test]
    fn what_waits_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, "").unwrap();
        let mut lines = LineFile::new(File::open(&path).unwrap());
        for _ in 0..=MOST >> 20 {
            lines.write_all(&[b'x'; 1 << 20]).unwrap();
        }
        lines.flush().unwrap();
        assert!(lines.inner().lost && lines.inner().waiting.capacity() == 0);
        lines.inner().file = File::options().append(true).open(&path).unwrap();
        lines.write_all(b"more").unwrap();
        assert!(lines.failure().is_some(), "what is missing stays missing");
        assert_eq!(std::fs::read(&path).unwrap().len(), 0);
    }
}
