//! One event file.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;

use super::message::{
    Content, Dimension, Event, Metadata, PluginData, START, STRING, SessionLog, Shape, Summary,
    TensorMessage, Value, What,
};
use super::record;

/// The largest number of bytes that wait to be written. Beyond it further events are lost.
const LIMIT: usize = 16 << 20;

/// An event file that TensorBoard reads while it grows.
///
/// Events that cannot be written wait and are tried again at the next [`flush`](Self::flush), so that a disk that is full for a
/// while costs none.
///
/// ```
/// use grades_finetune::log::tensorboard::EventFile;
///
/// let dir = tempfile::tempdir()?;
/// let mut file = EventFile::create(dir.path(), 1)?;
/// file.scalars(1, [("train/loss".to_owned(), 0.7)]);
/// file.text(1, "freezes", "**froze** `layer.0.query`");
/// file.flush()?;
/// assert!(file.path().metadata()?.len() > 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    file: File,
    /// Events, or what is left of them, in the order of the file.
    waiting: Vec<u8>,
    lost: u64,
}

impl EventFile {
    /// Creates a new file in a folder, which is created as well. `first_step` is the first step that will be written:
    /// where it is not 1, or the folder has another file, the events of other files from that step on are void.
    ///
    /// # Errors
    ///
    /// When the folder or the file cannot be created or written.
    pub fn create(folder: &Path, first_step: u64) -> io::Result<Self> {
        let named = |error: io::Error, path: &Path| {
            io::Error::new(error.kind(), format!("{}: {error}", path.display()))
        };
        fs::create_dir_all(folder).map_err(|error| named(error, folder))?;
        // Hides the events that an earlier process wrote from this step on.
        let goes_on = fs::read_dir(folder).map_err(|error| named(error, folder))?.next().is_some();
        let seconds = now().floor();
        // TensorBoard reads the files in the order of their names.
        let mut number = 0u64;
        let (path, file) = loop {
            let path = folder.join(format!("events.out.tfevents.{seconds:010}.finetune.{number:04}"));
            match File::create_new(&path) {
                Ok(file) => break (path, file),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(named(error, &path)),
            }
        };
        let mut file = Self { path, file, waiting: Vec::new(), lost: 0 };
        file.event(0, What::FileVersion("brain.Event:2".to_owned()));
        if first_step > 1 || goes_on {
            file.event(first_step, What::SessionLog(SessionLog { status: START }));
        }
        file.flush()?;
        Ok(file)
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the number of events that were lost.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Adds scalars by tag; [`flush`](Self::flush) writes them.
    pub fn scalars(&mut self, step: u64, scalars: impl IntoIterator<Item = (String, f64)>) {
        let value = |(tag, value): (String, f64)| Value {
            tag,
            content: Some(Content::Simple(value as f32)),
            metadata: None,
        };
        let value: Vec<Value> = scalars.into_iter().map(value).collect();
        if !value.is_empty() {
            self.event(step, What::Summary(Summary { value }));
        }
    }

    /// Adds a text in Markdown; [`flush`](Self::flush) writes it.
    pub fn text(&mut self, step: u64, tag: &str, text: &str) {
        let tensor = TensorMessage {
            dtype: STRING,
            shape: Some(Shape { dim: vec![Dimension { size: 1 }] }),
            string_val: vec![text.as_bytes().to_vec()],
        };
        let value = Value {
            tag: tag.to_owned(),
            content: Some(Content::Tensor(tensor)),
            metadata: Some(Metadata { plugin_data: Some(PluginData { plugin_name: "text".to_owned() }) }),
        };
        self.event(step, What::Summary(Summary { value: vec![value] }));
    }

    /// Writes all buffered events, so that readers see them and a killed process loses none.
    ///
    /// # Errors
    ///
    /// When the file cannot be written; the events that are not in it wait.
    pub fn flush(&mut self) -> io::Result<()> {
        while !self.waiting.is_empty() {
            match self.file.write(&self.waiting) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => drop(self.waiting.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn event(&mut self, step: u64, what: What) {
        let step = i64::try_from(step).unwrap_or(i64::MAX);
        let event = Event { wall_time: now(), step, what: Some(what) };
        if self.waiting.len() < LIMIT {
            self.waiting.extend(record::record(&event.encode_to_vec()));
        } else {
            self.lost += 1;
        }
    }
}

impl Drop for EventFile {
    fn drop(&mut self) {
        let _ = self.flush();
    }
}

/// Returns the seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_wait_until_they_can_be_written() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = EventFile::create(dir.path(), 1).unwrap();
        // A handle that cannot be written, as on a full disk.
        let good = std::mem::replace(&mut file.file, File::open(dir.path()).unwrap());
        let loss = |step| [("loss".to_owned(), step as f64)];
        for step in 1..4 {
            file.scalars(step, loss(step));
            file.flush().unwrap_err();
        }
        file.file = good;
        file.flush().unwrap();
        let mut whole = EventFile::create(&dir.path().join("whole"), 1).unwrap();
        (1..4).for_each(|step| whole.scalars(step, loss(step)));
        whole.flush().unwrap();
        let length = |file: &EventFile| fs::metadata(file.path()).unwrap().len();
        assert_eq!((length(&file), file.lost()), (length(&whole), 0));
    }

    #[test]
    fn the_events_that_wait_are_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = EventFile::create(dir.path(), 1).unwrap();
        file.file = File::open(dir.path()).unwrap();
        for step in 0..20 {
            file.text(step, "text", &"x".repeat(1 << 20));
        }
        assert!(file.lost() > 0 && file.waiting.len() < LIMIT + (2 << 20));
    }
}
