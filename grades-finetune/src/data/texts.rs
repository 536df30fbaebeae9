//! Texts without labels, a row at a time: files of any length.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use csv::{ByteRecord, ReaderBuilder};
use serde_json::{Map, Value};

use super::column::{Column, Format, Header};
use super::content::{self, utf8};
use super::error::{Error, Result};
use super::names::{self, Role};
use super::record::{Record, Records, Source};

/// The longest line that is read, in bytes.
const LONGEST_LINE: usize = 64 << 20;

/// No window has more bytes of text than this, unless one text alone does.
const WINDOW_BYTES: usize = 8 << 20;

/// Reads texts, or pairs of them, one after the other. A row is read when it is asked for, so memory does not grow with the
/// file.
///
/// Files have their columns by name or position, as training data has them, and need no label. A `.txt` file, standard
/// input without a format, and a list of texts have a text a line; of those an empty one is a text as well.
pub struct TextReader {
    path: PathBuf,
    rows: Rows,
    source: Source,
    columns: Option<Columns>,
    /// The lines read so far.
    line: u64,
}

impl std::fmt::Debug for TextReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextReader")
            .field("path", &self.path)
            .field("line", &self.line)
            .finish_non_exhaustive()
    }
}

type Input = Box<dyn BufRead + Send>;

enum Rows {
    List(std::vec::IntoIter<(String, Option<String>)>),
    Lines(Input),
    Tsv(Input),
    Csv(Box<csv::Reader<Input>>),
    Jsonl(Input),
}

/// Where the texts of a row are.
enum Columns {
    Cells { text: usize, pair: Option<usize>, width: usize },
    Keys { text: String, pair: Option<String> },
}

impl TextReader {
    /// Opens a file; its format is that of `source`, or of its extension, where `.txt` is a text a line.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when it cannot be read, [`Error::File`] for an unknown extension or what is no UTF-8.
    pub fn open(path: &Path, source: &Source) -> Result<Self> {
        let io = |source| Error::Io { path: path.to_path_buf(), source };
        if path.is_dir() {
            return Err(Error::file(path, "is no regular file"));
        }
        let text = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("txt"));
        let format = source.format.or_else(|| Format::from_path(path));
        if format.is_none() && !text {
            let message = "the extension names no format; expected .txt (a text a line), .tsv, .csv or .jsonl, or give the \
                           format";
            return Err(Error::file(path, message));
        }
        let file = File::open(path).map_err(io)?;
        Self::of(path.to_path_buf(), Box::new(BufReader::with_capacity(1 << 16, file)), format, source)
    }

    /// Reads standard input: a text a line, unless `source` has a format.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn stdin(source: &Source) -> Result<Self> {
        let input = BufReader::with_capacity(1 << 16, io::stdin());
        Self::of(PathBuf::from("standard input"), Box::new(input), source.format, source)
    }

    /// Reads a list of texts and second texts.
    pub fn list(texts: Vec<(String, Option<String>)>) -> Self {
        Self {
            path: PathBuf::from("TEXT"),
            rows: Rows::List(texts.into_iter()),
            source: Source::default(),
            columns: None,
            line: 0,
        }
    }

    fn of(path: PathBuf, mut input: Input, format: Option<Format>, source: &Source) -> Result<Self> {
        let io = |source| Error::Io { path: path.clone(), source };
        let beginning = input.fill_buf().map_err(io)?;
        let mark = content::mark(&path, beginning)?;
        let separator = if format == Some(Format::Csv) {
            separator(beginning.get(mark..).unwrap_or_default())
        } else {
            b','
        };
        input.consume(mark);
        let rows = match format {
            None => Rows::Lines(input),
            Some(Format::Tsv) => Rows::Tsv(input),
            Some(Format::Jsonl) => Rows::Jsonl(input),
            Some(Format::Csv) => Rows::Csv(Box::new(
                ReaderBuilder::new()
                    .has_headers(false)
                    .flexible(true)
                    .delimiter(separator)
                    .from_reader(input),
            )),
        };
        Ok(Self { path, rows, source: source.clone(), columns: None, line: 0 })
    }

    /// Returns the name of the file, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Passes on all texts, a window of at most `size` of them at a time; a window with much text is shorter.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next), after the texts before that line were passed on, and those of `receive`.
    pub fn windows<E: From<Error>>(
        &mut self,
        size: usize,
        receive: &mut dyn FnMut(&Records) -> Result<(), E>,
    ) -> Result<(), E> {
        loop {
            let mut window = Records { path: self.path.clone(), ..Records::default() };
            let (mut bytes, mut failed) = (0, None);
            while window.list.len() < size.max(1) && bytes < WINDOW_BYTES && failed.is_none() {
                match self.next() {
                    Some(Ok(text)) => {
                        bytes += text.text.len() + text.pair.as_ref().map_or(0, String::len);
                        window.list.push(text);
                    }
                    Some(Err(error)) => failed = Some(error),
                    None => break,
                }
            }
            let ended = window.list.is_empty();
            if !ended {
                receive(&window)?;
            }
            if let Some(error) = failed {
                return Err(error.into());
            }
            if ended {
                return Ok(());
            }
        }
    }

    /// Reads the next row that has a text; `None` at the end.
    fn read(&mut self) -> Result<Option<Record>> {
        let record = |line, text, pair| Record { line, text, pair, label: String::new() };
        loop {
            let cells = match &mut self.rows {
                Rows::List(list) => {
                    self.line += 1;
                    return Ok(list.next().map(|(text, pair)| record(self.line, text, pair)));
                }
                Rows::Lines(input) => {
                    let Some(line) = next_line(&self.path, input, &mut self.line)? else { return Ok(None) };
                    return Ok(Some(record(self.line, text_of(&self.path, self.line, &line)?, None)));
                }
                Rows::Jsonl(input) => {
                    let Some(line) = next_line(&self.path, input, &mut self.line)? else { return Ok(None) };
                    let text = utf8(&self.path, self.line, &line)?;
                    if text.trim().is_empty() {
                        continue;
                    }
                    let object: Map<String, Value> = content::object(&self.path, self.line, text)?;
                    return self.of_object(object).map(Some);
                }
                Rows::Tsv(input) => {
                    let Some(line) = next_line(&self.path, input, &mut self.line)? else { return Ok(None) };
                    if line.is_empty() {
                        continue;
                    }
                    let line = text_of(&self.path, self.line, &line)?;
                    line.split('\t').map(str::to_owned).collect::<Vec<_>>()
                }
                Rows::Csv(reader) => {
                    let mut row = ByteRecord::new();
                    let more = reader.read_byte_record(&mut row).map_err(|error| {
                        let line = error.position().map_or(0, csv::Position::line);
                        Error::line(&self.path, line, error.to_string())
                    })?;
                    if !more {
                        return Ok(None);
                    }
                    self.line = row.position().map_or(0, csv::Position::line);
                    let cells = row.iter().map(|cell| utf8(&self.path, self.line, cell).map(str::to_owned));
                    cells.collect::<Result<Vec<_>>>()?
                }
            };
            if self.columns.is_none() {
                let (columns, header) = self.find_columns(&cells)?;
                self.columns = Some(columns);
                if header {
                    continue;
                }
            }
            return self.of_cells(cells).map(Some);
        }
    }

    fn of_cells(&self, mut cells: Vec<String>) -> Result<Record> {
        let Some(Columns::Cells { text, pair, width }) = self.columns else {
            return Err(Error::file(&self.path, "has rows of two forms"));
        };
        if cells.len() != width {
            let message = format!("has {} cells, the first line has {width}", cells.len());
            return Err(Error::line(&self.path, self.line, message));
        }
        let pair = pair.and_then(|pair| cells.get_mut(pair)).map(std::mem::take);
        let text = cells.get_mut(text).map(std::mem::take).unwrap_or_default();
        Ok(Record { line: self.line, text, pair, label: String::new() })
    }

    fn of_object(&mut self, mut object: Map<String, Value>) -> Result<Record> {
        let columns = match self.columns.take() {
            Some(columns) => columns,
            None => self.keys(&object)?,
        };
        let line = self.line;
        let mut value = |key: &str| match object.remove(key) {
            Some(Value::String(text)) => Ok(text),
            found => {
                let found = found.map_or("no such key".to_owned(), |found| found.to_string());
                let found: String = found.chars().take(60).collect();
                Err(Error::line(&self.path, line, format!("\"{key}\": expected a string, found {found}")))
            }
        };
        let Columns::Keys { text, pair } = &columns else {
            return Err(Error::file(&self.path, "has rows of two forms"));
        };
        let (text, pair) = (value(text)?, pair.as_deref().map(value).transpose()?);
        self.columns = Some(columns);
        Ok(Record { line, text, pair, label: String::new() })
    }

    /// Finds the keys of the texts in the first object.
    fn keys(&self, object: &Map<String, Value>) -> Result<Columns> {
        let keys: Vec<&str> = object.keys().map(String::as_str).collect();
        let named = |at: usize| keys.get(at).map(|key| (*key).to_owned());
        let given = |column: &Column, role: Role| match column {
            Column::Name(name) => Ok(Some(name.clone())),
            Column::Auto => Ok(None),
            Column::Position(position) => {
                let what = role.word();
                let message =
                    format!("{what} = {position}: JSONL has keys, not positions; give the key's name");
                Err(Error::file(&self.path, message))
            }
        };
        let (text, pair) =
            (given(&self.source.text, Role::Text)?, given(&self.source.text_pair, Role::Pair)?);
        let known = names::pair(keys.iter().copied());
        let known = known.and_then(|(first, second)| named(first).zip(named(second)));
        let (text, pair) = match (text, pair, known) {
            (None, None, Some((first, second))) => (Some(first), Some(second)),
            (text, pair, _) => (text.or_else(|| Role::Text.find(keys.iter().copied()).and_then(named)), pair),
        };
        // Of one key it is the text.
        let text = text.or_else(|| if keys.len() == 1 { named(0) } else { None });
        match text {
            Some(text) => Ok(Columns::Keys { text, pair }),
            None => {
                let listed: Vec<String> = keys.iter().map(|key| format!("\"{key}\"")).collect();
                let message = format!(
                    "nothing says which key is the text; say so with --text KEY; the keys are {}",
                    listed.join(", ")
                );
                Err(Error::line(&self.path, self.line, message))
            }
        }
    }

    /// Finds the columns of the texts in the first row; returns as well whether that is a header.
    fn find_columns(&self, first: &[String]) -> Result<(Columns, bool)> {
        let cells = || first.iter().map(String::as_str);
        let (text, pair) = (&self.source.text, &self.source.text_pair);
        let named = [text, pair].into_iter().any(|column| matches!(column, Column::Name(_)));
        let header = match self.source.header {
            Header::Yes => true,
            Header::No if named => {
                let message = "a column is given by name, but the first line is no header; give its position";
                return Err(Error::file(&self.path, message));
            }
            Header::No => false,
            Header::Auto => {
                named
                    || names::pair(cells()).is_some()
                    || cells().any(|cell| Role::Label.certain(cell) || Role::Text.certain(cell))
            }
        };
        let given = |column: &Column, role: Role| match column {
            Column::Auto => Ok(None),
            Column::Position(position) => {
                let count = i64::try_from(first.len()).unwrap_or(i64::MAX);
                let at = if *position < 0 { position + count } else { *position };
                usize::try_from(at).ok().filter(|&at| at < first.len()).map(Some).ok_or_else(|| {
                    let message =
                        format!("no column {position} for the {}; the line has {count}", role.word());
                    Error::line(&self.path, self.line, message)
                })
            }
            Column::Name(name) => {
                let at = first.iter().position(|cell| cell.trim().eq_ignore_ascii_case(name));
                at.map(Some).ok_or_else(|| {
                    let known: Vec<String> = cells().map(|cell| format!("\"{}\"", cell.trim())).collect();
                    let known = known.join(", ");
                    let message =
                        format!("no column \"{name}\" for the {}; the columns are {known}", role.word());
                    Error::line(&self.path, self.line, message)
                })
            }
        };
        let (text, pair) = (given(text, Role::Text)?, given(pair, Role::Pair)?);
        let known = if header { names::pair(cells()) } else { None };
        let (text, pair) = match (text, pair, known) {
            (None, None, Some((first, second))) => (Some(first), Some(second)),
            (text, pair, _) => (text.or_else(|| if header { Role::Text.find(cells()) } else { None }), pair),
        };
        // As in training data: of one or two columns the text is the first.
        let text = text.or(if first.len() <= 2 { Some(0) } else { None });
        match text {
            Some(text) => Ok((Columns::Cells { text, pair, width: first.len() }, header)),
            None => {
                let listed: Vec<String> =
                    cells().enumerate().map(|(at, cell)| format!("{at} \"{}\"", cell.trim())).collect();
                let message = format!(
                    "has {} columns ({}), and nothing says which is the text; say so with --text COLUMN",
                    first.len(),
                    listed.join(", ")
                );
                Err(Error::line(&self.path, self.line, message))
            }
        }
    }
}

impl Iterator for TextReader {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

/// Reads a line without its end; `None` at the end of the file.
fn next_line(path: &Path, input: &mut Input, line: &mut u64) -> Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(LONGEST_LINE).unwrap_or(u64::MAX);
    let read = input.by_ref().take(limit).read_until(b'\n', &mut bytes);
    read.map_err(|source| Error::Io { path: path.to_path_buf(), source })?;
    if bytes.is_empty() {
        return Ok(None);
    }
    *line += 1;
    if bytes.len() == LONGEST_LINE {
        return Err(Error::line(path, *line, format!("is longer than {} MiB", LONGEST_LINE >> 20)));
    }
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    Ok(Some(bytes))
}

fn text_of(path: &Path, line: u64, bytes: &[u8]) -> Result<String> {
    utf8(path, line, bytes).map(str::to_owned)
}

/// Returns the separator of a CSV file by its first row: the one that gives the most cells, the comma of equal ones.
fn separator(beginning: &[u8]) -> u8 {
    let cells = |separator: u8| {
        let mut reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(separator)
            .from_reader(beginning);
        let mut row = ByteRecord::new();
        reader.read_byte_record(&mut row).map_or(0, |_| row.len())
    };
    if cells(b',') > 1 {
        return b',';
    }
    [b';', b'\t', b'|'].into_iter().find(|&separator| cells(separator) > 1).unwrap_or(b',')
}
