//! The loggers of a run.

use super::event::{Event, Logger};
use crate::causes::with_causes;

/// Sends each event to all loggers of a run.
#[derive(Default)]
pub(crate) struct Loggers<'a> {
    loggers: Vec<Box<dyn Logger + 'a>>,
    errors: Vec<String>,
}

impl<'a> Loggers<'a> {
    /// Adds a logger. Each event goes to the loggers in the order in which they were added.
    pub(crate) fn add(&mut self, logger: impl Logger + 'a) {
        self.loggers.push(Box::new(logger));
    }

    /// Logs an event, and the warnings of loggers that begin to fail.
    pub(crate) fn log(&mut self, event: &Event<'_>) {
        self.send(event);
        let warnings: Vec<String> =
            self.loggers.iter_mut().filter_map(|logger| logger.new_warning()).collect();
        for warning in warnings {
            self.send(&Event::Warning(&warning));
        }
    }

    fn send(&mut self, event: &Event<'_>) {
        self.loggers.retain_mut(|logger| match logger.log(event) {
            Ok(()) => true,
            Err(error) => {
                self.errors.push(with_causes(&error));
                false
            }
        });
    }

    /// Logs a fact for the user.
    pub(crate) fn note(&mut self, text: &str) {
        self.log(&Event::Note(text));
    }

    /// Logs a warning, line by line.
    pub(crate) fn warn(&mut self, text: &str) {
        for line in text.lines() {
            self.log(&Event::Warning(line));
        }
    }

    /// Returns the errors of the loggers that failed, and warnings about events that others could not write.
    pub(crate) fn errors(&mut self) -> Vec<String> {
        let incomplete = self.loggers.iter_mut().filter_map(|logger| logger.incomplete());
        self.errors.iter().cloned().chain(incomplete).collect()
    }
}

#[cfg(test)]
mod tests {
    use anyhow::{Result, bail};

    use super::*;
    use crate::log::memory::MemoryLogger;

    struct Broken(u64);

    impl Logger for Broken {
        fn log(&mut self, _: &Event<'_>) -> Result<()> {
            self.0 += 1;
            if self.0 > 1 { bail!("number {} is too much", self.0) } else { Ok(()) }
        }
    }

    /// Cannot write its second event at first.
    struct Waiting(u64);

    impl Logger for Waiting {
        fn log(&mut self, _: &Event<'_>) -> Result<()> {
            self.0 += 1;
            Ok(())
        }

        fn new_warning(&mut self) -> Option<String> {
            (self.0 == 2).then(|| "an event waits".to_owned())
        }

        fn incomplete(&mut self) -> Option<String> {
            Some(format!("{} events wait", self.0))
        }
    }

    #[test]
    fn a_logger_that_warns_goes_on() {
        let (mut waiting, mut memory) = (Waiting(0), MemoryLogger::default());
        let mut loggers = Loggers::default();
        loggers.add(&mut waiting);
        loggers.add(&mut memory);
        for text in ["a", "b", "c"] {
            loggers.warn(text);
        }
        assert_eq!(loggers.errors(), ["4 events wait"]);
        drop(loggers);
        assert_eq!(memory.warnings, ["a", "b", "an event waits", "c"]);
    }

    #[test]
    fn a_logger_that_fails_is_left_out_and_the_others_go_on() {
        let (mut broken, mut memory) = (Broken(0), MemoryLogger::default());
        let mut loggers = Loggers::default();
        loggers.add(&mut broken);
        loggers.add(&mut memory);
        for text in ["a", "b", "c\nd"] {
            loggers.warn(text);
        }
        assert_eq!(loggers.errors(), ["number 2 is too much"]);
        drop(loggers);
        assert_eq!((broken.0, memory.warnings.len()), (2, 4));
    }
}
