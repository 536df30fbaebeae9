//! The lines of the output.

use std::io::{BufWriter, IsTerminal, Write};

use anyhow::Result;

use crate::cli::output::Output;
use crate::printable::{printable, printable_lines};

/// The lines of the output: exact in files and pipes, with control characters escaped on terminals.
pub(super) struct Lines {
    out: BufWriter<Output>,
    terminal: bool,
}

impl Lines {
    /// Opens standard output.
    pub(super) fn open() -> Self {
        Self { out: BufWriter::new(Output::open()), terminal: std::io::stdout().is_terminal() }
    }

    /// Writes one line, whose cells are between tabs.
    pub(super) fn row(&mut self, line: &str) -> Result<()> {
        if self.terminal {
            let cells: Vec<_> = line.split('\t').map(printable).collect();
            writeln!(self.out, "{}", cells.join("\t"))?;
        } else {
            writeln!(self.out, "{line}")?;
        }
        Ok(())
    }

    /// Writes a text of one or several lines.
    pub(super) fn text(&mut self, text: &str) -> Result<()> {
        let shown = if self.terminal { printable_lines(text) } else { text.into() };
        Ok(writeln!(self.out, "{shown}")?)
    }

    /// Writes all that is buffered.
    pub(super) fn finish(self) -> Result<()> {
        self.out.into_inner().map_err(std::io::IntoInnerError::into_error)?.finish()
    }
}

/// Returns a text as a cell: tabs and line ends would be other cells and lines.
pub(super) fn cell(text: &str) -> String {
    text.replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r")
}
