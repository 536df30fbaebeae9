//! Standard output of a command.

use std::io::{self, ErrorKind, Stdout, Write};

use anyhow::Result;

use crate::printable::{printable_lines, printable_message};

/// Standard output. A reader that has closed its end of a pipe (`finetune … | head`) has read enough: the rest is dropped.
/// Any other failure is an error.
#[derive(Debug)]
pub(super) struct Output<W = Stdout> {
    out: W,
    closed: bool,
}

impl Output {
    /// Opens standard output.
    pub(super) fn open() -> Self {
        Self { out: io::stdout(), closed: false }
    }
}

impl<W> Output<W> {
    /// Returns whether the reader has closed its end: nothing that is written arrives any more.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }
}

impl<W: Write> Output<W> {
    /// Writes all that is buffered: only then a failure is certain to be seen.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub(super) fn finish(mut self) -> Result<()> {
        Ok(self.flush()?)
    }

    fn checked<T>(&mut self, written: io::Result<T>, otherwise: T) -> io::Result<T> {
        written.or_else(|error| match error.kind() {
            ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(otherwise)
            }
            kind => Err(io::Error::new(kind, format!("cannot write to standard output: {error}"))),
        })
    }
}

impl<W: Write> Write for Output<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.closed {
            return Ok(bytes.len());
        }
        let written = self.out.write(bytes);
        // An interrupted write is tried again by the caller.
        if matches!(&written, Err(error) if error.kind() == ErrorKind::Interrupted) {
            return written;
        }
        self.checked(written, bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = if self.closed { Ok(()) } else { self.out.flush() };
        self.checked(flushed, ())
    }
}

/// Writes a text for people to standard output, with control characters escaped.
///
/// # Errors
///
/// When it cannot be written.
pub(super) fn print_text(text: &str) -> Result<()> {
    print(&printable_lines(text))
}

/// Writes a message to standard error, with control characters escaped.
pub(super) fn tell(text: &str) {
    // There is no other place for it when standard error is closed.
    let _ = writeln!(io::stderr(), "{}", printable_message(text));
}

/// Writes a text for programs to standard output.
///
/// # Errors
///
/// When it cannot be written.
pub(super) fn print(text: &str) -> Result<()> {
    let mut out = Output::open();
    out.write_all(text.as_bytes())?;
    out.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails with an error once it is flushed.
    struct Failing(ErrorKind);

    impl Write for Failing {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(io::Error::from(self.0))
        }
    }

    #[test]
    fn a_closed_pipe_is_no_failure_and_a_full_disk_is() {
        let write = |kind| {
            let mut out = Output { out: Failing(kind), closed: false };
            writeln!(out, "text")?;
            out.finish()
        };
        write(ErrorKind::BrokenPipe).unwrap();
        let error = write(ErrorKind::StorageFull).unwrap_err().to_string();
        assert!(error.starts_with("cannot write to standard output: "), "{error}");
    }
}
