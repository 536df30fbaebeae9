//! `run.toml` of a checkpoint: everything but the tensors, behind a line with its checksum.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::rng;
use crate::state::TrainState;
use crate::storage::{Digest, checksum};

/// The version of the format that this program writes, and the newest that it reads.
///
/// 2 added `validation_flops` and `evaluation_due` to the counters.
const VERSION: u32 = 2;

/// The beginning of the first line; the checksum of everything after that line follows it.
const FIRST: &str = "# checksum ";

/// Everything that a run depends on, without tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunToml {
    version: u32,
    /// The configuration, as in `config.toml`.
    pub(crate) config: String,
    /// The state of the run.
    #[serde(flatten)]
    pub(crate) state: TrainState,
    /// The lengths of the logs in bytes, by name.
    pub(crate) logs: BTreeMap<String, u64>,
    /// The checksums of the logs up to those lengths, by name; none in a file of an earlier program.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    log_checksums: BTreeMap<String, String>,
    /// The files that the run reads, by key of the configuration.
    pub(crate) inputs: BTreeMap<String, String>,
    /// The states of the random number generators by device, as hexadecimal digits.
    generators: BTreeMap<String, String>,
    /// The other files of the checkpoint.
    pub(crate) files: BTreeMap<String, Digest>,
}

/// The reason why a checkpoint cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// It was damaged or is something else.
    Damaged(String),
    /// A newer program wrote it.
    Newer(u32),
}

impl RunToml {
    /// Makes the file of a run, still without logs, random numbers and files.
    pub(crate) fn new(state: TrainState, config: String, inputs: BTreeMap<String, String>) -> Self {
        Self {
            version: VERSION,
            config,
            state,
            logs: BTreeMap::new(),
            log_checksums: BTreeMap::new(),
            inputs,
            generators: BTreeMap::new(),
            files: BTreeMap::new(),
        }
    }

    /// Sets the lengths and checksums of the logs.
    pub(crate) fn set_logs(&mut self, digests: BTreeMap<String, Digest>) {
        self.logs = digests.iter().map(|(name, digest)| (name.clone(), digest.bytes())).collect();
        self.log_checksums =
            digests.into_iter().map(|(name, digest)| (name, digest.crc32().to_owned())).collect();
    }

    /// Returns the checksum of a log up to the length in `logs`; `None` in a file of an earlier program.
    pub(super) fn log_checksum(&self, name: &str) -> Option<&str> {
        self.log_checksums.get(name).map(String::as_str)
    }

    /// Adds the state of a device's random number generator.
    pub(crate) fn set_generator(&mut self, device: &str, state: &[u8]) {
        self.generators.insert(device.to_owned(), rng::to_hex(state));
    }

    /// Returns the state of a device's random number generator; `None` when it is missing or damaged.
    pub(crate) fn generator(&self, device: &str) -> Option<Vec<u8>> {
        rng::from_hex(self.generators.get(device)?)
    }

    /// Writes the text of the file.
    pub(super) fn to_text(&self) -> Result<String, toml::ser::Error> {
        let body = toml::to_string(self)?;
        Ok(format!("{FIRST}{}\n{body}", checksum(body.as_bytes())))
    }

    /// Reads the text of a file.
    pub(super) fn from_text(text: &str) -> Result<Self, Unusable> {
        let damaged = |reason: &str| Unusable::Damaged(reason.to_owned());
        let (first, body) = text.split_once('\n').ok_or_else(|| damaged("it has no checksum"))?;
        let written = first.strip_prefix(FIRST).ok_or_else(|| damaged("it has no checksum"))?;
        let found = checksum(body.as_bytes());
        if written != found {
            return Err(Unusable::Damaged(format!("its checksum is {written}, its bytes give {found}")));
        }
        let table: toml::Table = body.parse().map_err(|_| damaged("it is not TOML"))?;
        let version = table.get("version").and_then(toml::Value::as_integer).unwrap_or(0);
        match u32::try_from(version) {
            Ok(version @ 1..) if version <= VERSION => {}
            Ok(version @ 1..) => return Err(Unusable::Newer(version)),
            _ => return Err(damaged("it has no version")),
        }
        toml::from_str(body).map_err(|error| Unusable::Damaged(error.message().to_owned()))
    }

    /// Returns the newest version that can be read.
    pub(super) fn newest_version() -> u32 {
        VERSION
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{Counters, EarlyStoppingState};
    use crate::storage::RunningDigest;

    fn run_toml() -> RunToml {
        let mut state = TrainState { step: 7, ..TrainState::default() };
        state.counters.last_loss = Some(0.1 + 0.2);
        state.counters.clock.wall = (0.1 + 0.7).into();
        state.counters.totals.flops = u128::MAX;
        state.early_stopping = Some(EarlyStoppingState::default());
        let mut run = RunToml::new(state, "[a]\nb = \"\"\"c\"\"\"\n".to_owned(), BTreeMap::new());
        run.set_generator("cpu", &[0, 255, 16, 1]);
        let mut log = RunningDigest::default();
        log.add(b"123456789");
        run.set_logs(BTreeMap::from([("steps.jsonl".to_owned(), log.digest())]));
        run
    }

    #[test]
    fn a_state_comes_back_bit_by_bit() {
        let again = RunToml::from_text(&run_toml().to_text().unwrap()).unwrap();
        assert_eq!(again, run_toml());
        assert_eq!(again.generator("cpu"), Some(vec![0, 255, 16, 1]));
        assert_eq!(again.generator("cuda:0"), None);
        assert_eq!((again.logs["steps.jsonl"], again.log_checksum("steps.jsonl")), (9, Some("cbf43926")));
        assert_eq!(again.log_checksum("evals.jsonl"), None);
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let text = run_toml().to_text().unwrap().into_bytes();
        for place in 0..text.len() {
            let mut changed = text.clone();
            changed[place] ^= 1;
            let read = String::from_utf8(changed).map(|text| RunToml::from_text(&text).is_err());
            assert!(read.unwrap_or(true), "byte {place}");
        }
        for length in 0..text.len() {
            assert!(RunToml::from_text(std::str::from_utf8(&text[..length]).unwrap()).is_err());
        }
    }

    #[test]
    fn a_newer_version_is_not_reported_as_damage() {
        let mut newer = run_toml();
        newer.version = 3;
        assert_eq!(RunToml::from_text(&newer.to_text().unwrap()), Err(Unusable::Newer(3)));
        newer.version = 0;
        assert!(matches!(RunToml::from_text(&newer.to_text().unwrap()), Err(Unusable::Damaged(_))));
    }

    /// A file of version 1, as it was written before evaluations were counted.
    #[test]
    fn files_of_earlier_versions_are_read() {
        let body = "version = 1\nstep = 3\nconfig = \"\"\n[counters]\nnanoseconds = 5\nwall_seconds = 2.5\n\
                    loop_seconds = 1.5\neval_seconds = 0.0\nvalidation_seconds = 0.0\nvalidations = 0\nexamples = 6\n\
                    tokens = 7\nflops = \"8\"\nflops_without_freezing = \"9\"\nresumes = 1\n[guard]\nbad = 1\n\
                    in_a_row = 0\nspikes = 2\nsum = 0.5\nweight = 0.25\nseen = 3\n[stopping]\nlast = 2\n\
                    [stopping.patience]\nbest_step = 2\nbest = 0.5\nwaited = 1\n[logs]\n\"steps.jsonl\" = 4\n\
                    [inputs]\n[generators]\n[files]\n";
        let text = format!("{FIRST}{}\n{body}", checksum(body.as_bytes()));
        let run = RunToml::from_text(&text).unwrap();
        assert_eq!(run.log_checksum("steps.jsonl"), None);
        let RunToml { state, logs, .. } = run;
        let Counters { clock, totals, resumes, .. } = &state.counters;
        assert_eq!((state.step, *resumes, clock.nanoseconds, clock.cpu_seconds), (3, 1, 5, None));
        assert_eq!((clock.wall.seconds(), clock.training_loop.seconds()), (2.5, 1.5));
        assert_eq!((totals.flops, totals.flops_without_freezing, totals.validation_flops), (8, 9, 0));
        assert_eq!((state.loss_monitor.bad_steps, state.loss_monitor.spikes), (1, 2));
        assert_eq!(state.early_stopping.unwrap().patience.best, Some(0.5));
        assert_eq!(logs["steps.jsonl"], 4);
    }
}
