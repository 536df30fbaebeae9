//! The files of a run, read through the types that write them.

use std::path::PathBuf;

use grades::observe::{StatisticsHeader, StatisticsRecord};
use grades::tracker::FreezeEvent;
use grades_finetune::records::{
    EVALS, Ending, EvalRecord, FREEZES, STATISTICS, STEPS, StatisticsLine, StepRecord, Summary, read_lines,
};
use serde::de::DeserializeOwned;

/// The folder of a run.
#[derive(Debug, Clone)]
pub(crate) struct RunFiles {
    pub(crate) path: PathBuf,
}

impl RunFiles {
    pub(crate) fn steps(&self) -> Vec<StepRecord> {
        self.lines(STEPS)
    }

    pub(crate) fn freezes(&self) -> Vec<FreezeEvent> {
        self.lines(FREEZES)
    }

    pub(crate) fn evals(&self) -> Vec<EvalRecord> {
        self.lines(EVALS)
    }

    /// The components, and the values of each check.
    pub(crate) fn statistics(&self) -> (StatisticsHeader, Vec<StatisticsRecord>) {
        let mut lines = self.lines(STATISTICS).into_iter();
        let Some(StatisticsLine::Header(header)) = lines.next() else {
            panic!("{STATISTICS} does not begin with the components")
        };
        let check = |line| match line {
            StatisticsLine::Check(record) => record,
            StatisticsLine::Header(_) => panic!("{STATISTICS} has the components twice"),
        };
        (header, lines.map(check).collect())
    }

    pub(crate) fn summary(&self) -> Summary {
        let summary = Summary::read(&self.path).unwrap();
        summary.unwrap_or_else(|| panic!("{} has no summary", self.path.display()))
    }

    /// The configuration in force.
    pub(crate) fn config(&self) -> toml::Table {
        String::from_utf8(self.bytes("config.toml")).unwrap().parse().unwrap()
    }

    /// The bytes of the model's parameters.
    pub(crate) fn parameters(&self) -> Vec<u8> {
        self.bytes("model/model.safetensors")
    }

    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        let path = self.path.join(name);
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// The records of a log, each line of which must be whole.
    fn lines<T: DeserializeOwned>(&self, name: &str) -> Vec<T> {
        let bytes = self.bytes(name);
        assert!(bytes.is_empty() || bytes.ends_with(b"\n"), "{name} ends within a line");
        read_lines(&self.path.join(name), Ending::Whole).unwrap()
    }
}
