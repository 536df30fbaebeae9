//! `run.toml` of a checkpoint: all that is no tensor, behind a line with its checksum.

use std::collections::BTreeMap;

use crate::storage::{Digest, checksum};
use serde::{Deserialize, Serialize};

use crate::state::FlopMeter;
use crate::train::early_stopping::PatienceState;
use crate::train::guard::GuardState;
use grades_models::flops::Products;

/// The version of the format that this program writes, and the newest that it reads.
///
/// 2 added `validation_flops` and `evaluation_due` to the counters.
const VERSION: u32 = 2;

/// What the first line begins with; the checksum of all that follows comes behind it.
const FIRST: &str = "# checksum ";

/// All that a run depends on but tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunState {
    version: u32,
    /// The steps that were taken, skipped ones included: the position in the data.
    pub(crate) step: u64,
    /// The configuration, as in `config.toml`.
    pub(crate) config: String,
    pub(crate) counters: Counters,
    pub(crate) guard: GuardState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stopping: Option<Stopping>,
    /// The lengths of the logs in bytes, by name.
    pub(crate) logs: BTreeMap<String, u64>,
    /// What was read, by key of the configuration.
    pub(crate) inputs: BTreeMap<String, String>,
    /// The state of random numbers by device, as hexadecimal digits.
    generators: BTreeMap<String, String>,
    /// The other files of the checkpoint.
    pub(super) files: BTreeMap<String, Digest>,
}

/// What a summary adds up.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Counters {
    /// Nanoseconds in steps.
    pub(crate) nanoseconds: u64,
    /// Seconds since the run began, breaks left out.
    pub(crate) wall_seconds: f64,
    /// Seconds of processors in steps; absent where the system did not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cpu_seconds: Option<f64>,
    /// Seconds since the first step began, breaks left out.
    pub(crate) loop_seconds: f64,
    /// Seconds in evaluations, and in those between steps, and how many these were.
    pub(crate) eval_seconds: f64,
    pub(crate) validation_seconds: f64,
    pub(crate) validations: u64,
    /// Whether the run was ended before the evaluation that its last step was due.
    #[serde(default)]
    pub(crate) evaluation_due: bool,
    pub(crate) examples: u64,
    pub(crate) tokens: u64,
    /// As text: they may be more than TOML has integers for.
    pub(crate) flops: String,
    pub(crate) flops_without_freezing: String,
    #[serde(default)]
    pub(crate) validation_flops: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) first_freeze: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_freeze: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_loss: Option<f64>,
    /// How often the run was resumed.
    pub(crate) resumes: u64,
}

impl Counters {
    /// Takes over the FLOPs of a meter.
    pub(crate) fn take_flops(&mut self, meter: &FlopMeter) {
        self.flops = meter.total().to_string();
        self.flops_without_freezing = meter.without_freezing().to_string();
        self.validation_flops = meter.validation().to_string();
    }

    /// A meter that goes on: of a run that began with `all` products and now has `now`.
    pub(crate) fn flop_meter(&self, all: Products, now: Products) -> FlopMeter {
        let number = |text: &str| text.parse().unwrap_or(0);
        let [steps, without, validation] =
            [&self.flops, &self.flops_without_freezing, &self.validation_flops].map(|text| number(text));
        let mut meter = FlopMeter::new(all).resumed(steps, without, validation);
        meter.change(now);
        meter
    }
}

/// What early stopping has seen.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stopping {
    /// The step of the last evaluation.
    pub(crate) last: u64,
    pub(crate) patience: PatienceState,
}

/// Why a text is no state.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// It was damaged or is something else.
    Damaged(String),
    /// A newer program wrote it.
    Newer(u32),
}

impl RunState {
    /// The state of a run, still without files and random numbers.
    pub(crate) fn new(step: u64, config: String, inputs: BTreeMap<String, String>) -> Self {
        Self {
            version: VERSION,
            step,
            config,
            counters: Counters::default(),
            guard: GuardState::default(),
            stopping: None,
            logs: BTreeMap::new(),
            inputs,
            generators: BTreeMap::new(),
            files: BTreeMap::new(),
        }
    }

    /// Adds the state of a device's random numbers.
    pub(crate) fn put_generator(&mut self, device: &str, state: &[u8]) {
        let digits = state.iter().map(|byte| format!("{byte:02x}")).collect();
        self.generators.insert(device.to_owned(), digits);
    }

    /// How long a log was.
    pub(crate) fn log(&self, name: &str) -> u64 {
        self.logs.get(name).copied().unwrap_or(0)
    }

    /// The state of a device's random numbers; `None` when it is not there or damaged.
    pub(crate) fn generator(&self, device: &str) -> Option<Vec<u8>> {
        let digits = self.generators.get(device)?.as_bytes();
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let pairs = digits.chunks(2).map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        });
        pairs.collect()
    }

    /// The text of the file.
    pub(super) fn to_text(&self) -> Result<String, String> {
        let body = toml::to_string(self).map_err(|error| error.to_string())?;
        Ok(format!("{FIRST}{}\n{body}", checksum(body.as_bytes())))
    }

    /// Reads the text of a file.
    pub(super) fn from_text(text: &str) -> Result<Self, Unfit> {
        let damaged = |reason: &str| Unfit::Damaged(reason.to_owned());
        let (first, body) = text.split_once('\n').ok_or_else(|| damaged("it has no checksum"))?;
        let written = first.strip_prefix(FIRST).ok_or_else(|| damaged("it has no checksum"))?;
        let found = checksum(body.as_bytes());
        if written != found {
            return Err(Unfit::Damaged(format!("its checksum is {written}, its bytes give {found}")));
        }
        let table: toml::Table = body.parse().map_err(|_| damaged("it is not TOML"))?;
        let version = table.get("version").and_then(toml::Value::as_integer).unwrap_or(0);
        match u32::try_from(version) {
            Ok(version @ 1..) if version <= VERSION => {}
            Ok(version @ 1..) => return Err(Unfit::Newer(version)),
            _ => return Err(damaged("it has no version")),
        }
        toml::from_str(body).map_err(|error| Unfit::Damaged(error.message().to_owned()))
    }

    /// The newest version that can be read.
    pub(super) fn newest_version() -> u32 {
        VERSION
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> RunState {
        let mut state = RunState::new(7, "[a]\nb = \"\"\"c\"\"\"\n".to_owned(), BTreeMap::new());
        state.counters.last_loss = Some(0.1 + 0.2);
        state.put_generator("cpu", &[0, 255, 16, 1]);
        state
    }

    #[test]
    fn a_state_comes_back_bit_by_bit() {
        let again = RunState::from_text(&state().to_text().unwrap()).unwrap();
        assert_eq!(again, state());
        assert_eq!(again.generator("cpu"), Some(vec![0, 255, 16, 1]));
        assert_eq!(again.generator("cuda:0"), None);
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let text = state().to_text().unwrap().into_bytes();
        for place in 0..text.len() {
            let mut changed = text.clone();
            changed[place] ^= 1;
            let read = String::from_utf8(changed).map(|text| RunState::from_text(&text).is_err());
            assert!(read.unwrap_or(true), "byte {place}");
        }
        for length in 0..text.len() {
            assert!(RunState::from_text(std::str::from_utf8(&text[..length]).unwrap()).is_err());
        }
    }

    #[test]
    fn a_newer_version_is_told_from_damage() {
        let mut newer = state();
        newer.version = 3;
        assert_eq!(RunState::from_text(&newer.to_text().unwrap()), Err(Unfit::Newer(3)));
        newer.version = 0;
        assert!(matches!(RunState::from_text(&newer.to_text().unwrap()), Err(Unfit::Damaged(_))));
    }
}
