//! Saves the trained model; where that fails, waits for room, or saves it on another file system.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, anyhow};

use super::room::bytes;
use crate::causes::with_causes;
use crate::log::Loggers;
use crate::run::Interrupt;
use crate::storage::free_space;
use crate::tasks::{Task, TrainedAdapter};

/// The attempts before anything else is tried, and the pause between them: a network file system may come back.
const ATTEMPTS: usize = 3;
const PAUSE: Duration = Duration::from_millis(200);
/// The longest time to wait for room.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// The time between two checks of the room, and between two attempts although there seems to be none: a quota does not
/// show.
const POLL: Duration = Duration::from_secs(1);
const RETRY: Duration = Duration::from_secs(30);

/// Writes a model into a folder.
type WriteModel<'a> = dyn Fn(&Path) -> Result<()> + 'a;

/// A model that is to be saved.
pub(super) struct Saver<'a> {
    /// Writes the model into a folder.
    write: Box<WriteModel<'a>>,
    /// The name of the model's folder in the run's folder.
    name: &'static str,
    /// The run's folder.
    run: &'a Path,
    /// The bytes that the model needs.
    bytes: u64,
}

/// The folder in which a model was saved that could not be saved in the run's folder.
#[derive(Debug)]
pub(super) struct Rescue {
    /// The folder.
    pub(crate) folder: PathBuf,
    /// The error of the run.
    pub(crate) error: Error,
}

impl<'a> Saver<'a> {
    /// Makes the saver of an adapter, or of the whole model where none trains.
    pub(super) fn new(
        task: &'a dyn Task,
        adapter: Option<&'a TrainedAdapter>,
        run: &'a Path,
        bytes: u64,
    ) -> Self {
        let write = move |dir: &Path| match adapter {
            Some(adapter) => adapter.save(task, dir),
            None => task.save(dir).with_context(|| format!("saving the model in {}", dir.display())),
        };
        let name = if adapter.is_some() { "adapter" } else { "model" };
        Self { write: Box::new(write), name, run, bytes }
    }

    /// Saves the model in the run's folder; tries a failed write a few times.
    pub(super) fn save(&self) -> Result<()> {
        let mut saved = self.attempt();
        for _ in 1..ATTEMPTS {
            match saved.as_ref().err().and_then(kind_of) {
                // The limit stays, and everything but the system's errors too.
                None | Some(ErrorKind::FileTooLarge) => break,
                Some(_) => std::thread::sleep(PAUSE),
            }
            saved = self.attempt();
        }
        saved
    }

    fn attempt(&self) -> Result<()> {
        (self.write)(&self.run.join(self.name))
    }

    /// Saves the model in a folder on another file system that has room for it, after this error.
    pub(super) fn rescue(&self, error: &Error) -> Option<Rescue> {
        let folder = self.save_elsewhere()?;
        let error = anyhow!(
            "{}. The model is saved in {} instead, with its summary; move both into {}",
            with_causes(error),
            folder.join(self.name).display(),
            self.run.display()
        );
        Some(Rescue { folder, error })
    }

    fn save_elsewhere(&self) -> Option<PathBuf> {
        let device = |path: &Path| path.metadata().ok().map(|metadata| metadata.dev());
        let mut tried = vec![device(self.run)];
        let home = std::env::var_os("HOME").map(PathBuf::from);
        let places = [std::env::current_dir().ok(), home, Some(std::env::temp_dir())];
        for place in places.into_iter().flatten() {
            let on = device(&place);
            if on.is_none() || tried.contains(&on) {
                continue;
            }
            tried.push(on);
            if free_space(&place).is_some_and(|free| free > self.bytes)
                && let Some(folder) = self.save_in(&place)
            {
                return Some(folder);
            }
        }
        None
    }

    /// Saves the model in a new folder of this one.
    fn save_in(&self, place: &Path) -> Option<PathBuf> {
        let run = self.run.file_name().map(|name| name.to_string_lossy().into_owned());
        let first = format!("{}-rescued", run.unwrap_or_else(|| "run".to_owned()));
        let more = (2..100).map(|number| format!("{first}-{number}"));
        let folder = std::iter::once(first.clone())
            .chain(more)
            .map(|name| place.join(name))
            .find_map(|folder| std::fs::create_dir(&folder).is_ok().then_some(folder))?;
        if (self.write)(&folder.join(self.name)).is_ok() {
            return Some(folder);
        }
        // Half a model is of no use, and the next place may do.
        let _ = std::fs::remove_dir_all(&folder);
        None
    }

    /// Waits until the model can be saved in the run's folder.
    ///
    /// # Errors
    ///
    /// The error of the last attempt, when waiting is of no use, takes too long, or the user asks for an end.
    pub(super) fn wait(&self, error: Error, interrupt: &Interrupt, loggers: &mut Loggers<'_>) -> Result<()> {
        let mut error = error;
        let start = Instant::now();
        let mut tried = start;
        if kind_of(&error).is_some_and(|kind| kind != ErrorKind::FileTooLarge) {
            loggers.warn(&self.notice(&error));
        }
        while kind_of(&error).is_some_and(|kind| kind != ErrorKind::FileTooLarge)
            && start.elapsed() < LONGEST_WAIT
            && !interrupt.is_requested()
        {
            std::thread::sleep(POLL);
            let is_full = matches!(kind_of(&error), Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded));
            let room = is_full && free_space(self.run).is_some_and(|free| free > self.bytes);
            if !room && tried.elapsed() < RETRY {
                continue;
            }
            tried = Instant::now();
            match self.attempt() {
                Ok(()) => return Ok(()),
                Err(again) => error = again,
            }
        }
        Err(error)
    }

    fn notice(&self, error: &Error) -> String {
        let free = free_space(self.run).map(|free| format!(", {} are free", bytes(free))).unwrap_or_default();
        format!(
            "{}; the model needs {}{free}. The run waits up to an hour until it can be saved; a signal ends it without its \
             model",
            with_causes(error),
            bytes(self.bytes)
        )
    }
}

/// Adds the checkpoint that has all that was trained to the error of saving the model.
pub(super) fn in_checkpoint(error: &Error, checkpoint: &Path, run: &Path) -> Error {
    anyhow!(
        "{}. The checkpoint {} has all that was trained: once this is cured, `finetune train --resume {}` goes on from it",
        with_causes(error),
        checkpoint.display(),
        run.display()
    )
}

/// Returns the kind of the system's error that an error comes from.
pub(super) fn kind_of(error: &Error) -> Option<ErrorKind> {
    error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>()).map(std::io::Error::kind)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io;

    use super::*;

    fn full() -> Result<()> {
        Err(io::Error::from(ErrorKind::StorageFull)).context("saving")
    }

    fn saver<'a>(run: &'a Path, write: impl Fn(&Path) -> Result<()> + 'a) -> Saver<'a> {
        Saver { write: Box::new(write), name: "model", run, bytes: 1 }
    }

    #[test]
    fn an_error_that_passes_costs_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let count = Cell::new(0);
        let write = |folder: &Path| {
            count.set(count.get() + 1);
            assert_eq!(folder, dir.path().join("model"));
            if count.get() < ATTEMPTS { full() } else { Ok(()) }
        };
        let saver = saver(dir.path(), write);
        saver.save().unwrap();
        assert_eq!(count.get(), ATTEMPTS);
    }

    #[test]
    fn only_errors_of_the_system_are_tried_again() {
        let count = Cell::new(0);
        for error in [Some(ErrorKind::FileTooLarge), None] {
            let write = |_: &Path| {
                count.set(count.get() + 1);
                Err(match error {
                    Some(kind) => io::Error::from(kind).into(),
                    None => anyhow::anyhow!("the model is odd"),
                })
            };
            let saver = saver(Path::new("/"), write);
            let error = saver.save().unwrap_err();
            let interrupt = Interrupt::never();
            assert!(saver.wait(error, &interrupt, &mut Loggers::default()).is_err());
        }
        assert_eq!(count.get(), 2);
    }

    #[test]
    fn a_signal_ends_the_wait() {
        let interrupt = Interrupt::never();
        interrupt.request();
        let write = |_: &Path| full();
        let saver = saver(Path::new("/"), write);
        let error = saver.wait(full().unwrap_err(), &interrupt, &mut Loggers::default()).unwrap_err();
        assert_eq!(kind_of(&error), Some(ErrorKind::StorageFull));
    }

    #[test]
    fn half_a_model_is_not_left_behind() {
        let dir = tempfile::tempdir().unwrap();
        let works = Cell::new(false);
        let write = |folder: &Path| {
            std::fs::create_dir(folder)?;
            std::fs::write(folder.join("weights"), "half")?;
            if works.get() { Ok(()) } else { full() }
        };
        let saver = saver(Path::new("runs/mine"), write);
        assert_eq!(saver.save_in(dir.path()), None);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        works.set(true);
        assert_eq!(saver.save_in(dir.path()), Some(dir.path().join("mine-rescued")));
        assert_eq!(saver.save_in(dir.path()), Some(dir.path().join("mine-rescued-2")));
        assert!(dir.path().join("mine-rescued-2/model/weights").exists());
    }
}
