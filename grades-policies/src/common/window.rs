//! The number of checks that an average or a line reaches over.

use grades::Problems;
use grades::policy::RunPlan;
use grades::schema::{Key, Section};

/// The key of an average's window.
pub(crate) const WINDOW: Key =
    Key::new("window", "checks that the average reaches over, at least 1 (20, or the run's checks if fewer)");

/// The window of a policy that no run has been planned for, unless one is given.
const DEFAULT: u64 = 20;

/// The number of checks that an average or a line reaches over.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    checks: u64,
    source: Source,
}

#[derive(Debug, Clone)]
enum Source {
    /// Set in code: used unchanged.
    Code,
    /// Read under this dotted key: must fit into the run.
    Given(String),
    /// Not given under this dotted key: cut to the length of the run.
    Default(String),
}

impl Window {
    /// Creates a window of this many checks.
    pub(crate) fn of(checks: u64) -> Self {
        Self { checks, source: Source::Code }
    }

    /// Reads the key `window`.
    pub(crate) fn read(section: &mut Section<'_>) -> Option<Self> {
        let checks = section.integer_or("window", DEFAULT, "at least 1", |window| window >= 1)?;
        let key = section.path_of("window");
        let source = if section.has("window") { Source::Given(key) } else { Source::Default(key) };
        Some(Self { checks, source })
    }

    /// Returns the number of checks.
    pub(crate) fn checks(&self) -> u64 {
        self.checks
    }

    /// Returns the dotted key that it was read under.
    pub(crate) fn key(&self) -> Option<&str> {
        match &self.source {
            Source::Code => None,
            Source::Given(key) | Source::Default(key) => Some(key),
        }
    }

    /// Fits the window to a run. A window longer than the run could never be filled.
    pub(crate) fn plan(&mut self, run: &RunPlan, problems: &mut Problems) {
        let most = run.checks().max(1);
        match &self.source {
            Source::Code => {}
            Source::Given(key) if self.checks > most => {
                let checks = run.checks();
                problems
                    .push(key, format!("{} checks are more than the {checks} that the run has", self.checks));
            }
            Source::Given(_) => {}
            Source::Default(_) => self.checks = DEFAULT.min(most),
        }
    }
}
