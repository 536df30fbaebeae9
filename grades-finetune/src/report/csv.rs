//! Logs of runs as CSV.

use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use csv::{Terminator, WriterBuilder};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

/// Writes a log, one JSON object a line, as CSV by RFC 4180: a row a line, a column for each key that any line has. What is
/// not a single value is written as JSON.
///
/// The log is read twice, a line at a time, so that it may be of any length. Lines that a resumed run has written again are
/// left out, and so is a last line that is not finished; what is added after the first reading is not written.
///
/// # Errors
///
/// When the log is missing or damaged, with its line, or the CSV cannot be written.
pub(crate) fn write_csv(log: &Path, out: impl Write) -> Result<()> {
    let Shape { columns, lines, jumps } = Shape::read(log)?;
    let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(out);
    if columns.is_empty() {
        bail!("{} has no line yet", log.display());
    }
    writer.write_record(&columns)?;
    let mut row = vec![String::new(); columns.len()];
    for_each_line(log, Some(lines), |number, fields| {
        let step = fields.step();
        if step.is_some_and(|step| jumps.iter().any(|(later, to)| *later > number && *to <= step)) {
            return Ok(());
        }
        row.iter_mut().for_each(String::clear);
        for (name, value) in fields.0 {
            if let Some(cell) =
                columns.iter().position(|column| *column == name).and_then(|at| row.get_mut(at))
            {
                *cell = text(value);
            }
        }
        writer.write_record(&row)?;
        Ok(())
    })?;
    writer.flush()?;
    Ok(())
}

/// The facts about a log that must be known before its first row is written.
struct Shape {
    /// The keys, in the order in which they first appear.
    columns: Vec<String>,
    /// The number of its complete lines.
    lines: usize,
    /// The lines at which the steps go back, and the step to which they go.
    jumps: Vec<(usize, u64)>,
}

impl Shape {
    fn read(log: &Path) -> Result<Self> {
        let mut shape = Self { columns: Vec::new(), lines: 0, jumps: Vec::new() };
        let mut last = 0;
        for_each_line(log, None, |number, fields| {
            let step = fields.step().unwrap_or(last);
            if step < last {
                shape.jumps.push((number, step));
            }
            last = step;
            for (name, _) in fields.0 {
                if !shape.columns.contains(&name) {
                    shape.columns.push(name);
                }
            }
            shape.lines = number + 1;
            Ok(())
        })?;
        Ok(shape)
    }
}

/// Calls a function with each line and its number, counted from 0; a last line that is not finished is left out.
fn for_each_line(
    log: &Path,
    most: Option<usize>,
    mut each: impl FnMut(usize, Fields) -> Result<()>,
) -> Result<()> {
    let file = grades_lora::open_regular(log).with_context(|| format!("cannot read {}", log.display()))?;
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    let mut number = 0;
    while most.is_none_or(|most| number < most) {
        line.clear();
        reader.read_until(b'\n', &mut line).with_context(|| format!("cannot read {}", log.display()))?;
        if !line.ends_with(b"\n") {
            return Ok(());
        }
        let fields = serde_json::from_slice(&line).map_err(|error| {
            // serde counts lines of its own; there is one only.
            let text = error.to_string();
            let reason = text.split(" at line ").next().unwrap_or_default();
            anyhow!("{}:{}: {reason}", log.display(), number + 1)
        })?;
        each(number, fields)?;
        number += 1;
    }
    Ok(())
}

/// Writes a value as a cell; nothing for null.
fn text(value: Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// The keys and values of a JSON object, in its own order.
struct Fields(Vec<(String, Value)>);

impl Fields {
    fn step(&self) -> Option<u64> {
        self.0.iter().find(|(name, _)| name == "step").and_then(|(_, value)| value.as_u64())
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn csv(log: &str) -> Result<String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.jsonl");
        std::fs::write(&path, log).unwrap();
        let mut out = Vec::new();
        write_csv(&path, &mut out)
            .map_err(|error| anyhow!(error.to_string().replace(&path.display().to_string(), "log")))?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn rows_are_those_of_rfc_4180() {
        let log = "{\"step\":1,\"loss\":0.5,\"name\":\"a,\\\"b\\\"\\nc\"}\n{\"loss\":null,\"step\":2,\"by\":[1,2],\"final\":true}\n";
        let expected = "step,loss,name,by,final\r\n1,0.5,\"a,\"\"b\"\"\nc\",,\r\n2,,,\"[1,2]\",true\r\n";
        assert_eq!(csv(log).unwrap(), expected);
    }

    #[test]
    fn lines_that_were_written_again_and_a_line_that_is_cut_are_left_out() {
        let steps = [1, 2, 3, 2, 3, 1, 2, 2];
        let lines: String =
            steps.iter().enumerate().map(|(n, step)| format!("{{\"step\":{step},\"n\":{n}}}\n")).collect();
        assert_eq!(csv(&(lines + "{\"step\":3,\"n\"")).unwrap(), "step,n\r\n1,5\r\n2,6\r\n2,7\r\n");
    }

    #[test]
    fn a_damaged_line_and_an_empty_log_are_errors() {
        let error = |log| csv(log).unwrap_err().to_string();
        assert_eq!(error("{\"step\":1}\n[2]\n"), "log:2: invalid type: sequence, expected a JSON object");
        assert_eq!(error(""), "log has no line yet");
    }
}
