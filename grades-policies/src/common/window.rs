//! The number of checks that an average or a line reaches over.

use grades::Problems;
use grades::policy::RunPlan;
use grades::schema::Section;
use grades::schema::field::Field;
use serde::Serialize;

/// The accepted values, for errors.
const EXPECTED: &str =
    "a whole number of checks, at least 1, or { share = S } of the run's with S above 0, up to 1";

/// Returns the accepted values of a window of at least this many checks.
fn expected(least: u64) -> String {
    EXPECTED.replace("at least 1", &format!("at least {least}"))
}

/// The window of a policy that no run has been planned for, unless one is given.
const DEFAULT: u64 = 20;

/// The default of such a window, in words.
const DEFAULT_NOTE: &str = "20, or the run's checks if fewer";

/// The checks that a share of a run has at least, where the run has as many: fewer say nothing about their error.
const LEAST_OF_SHARE: u64 = 5;

/// The length of a window, before the run is known.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(untagged)]
pub(crate) enum Length {
    Checks(u64),
    /// This share of the run's checks.
    Share {
        share: f64,
    },
}

impl Length {
    /// A tenth of the run.
    pub(crate) const TENTH: Length = Length::Share { share: 0.1 };

    fn checks(self) -> u64 {
        match self {
            Self::Checks(checks) => checks,
            Self::Share { .. } => DEFAULT,
        }
    }
}

/// The number of checks that an average or a line reaches over.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    length: Length,
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

/// As in TOML.
impl Serialize for Window {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.length.serialize(serializer)
    }
}

impl Window {
    /// Creates a window of this many checks.
    pub(crate) fn of(checks: u64) -> Self {
        Self { length: Length::Checks(checks), checks, source: Source::Code }
    }

    /// Describes a window of 20 checks.
    pub(crate) fn field() -> Field<Self> {
        Field::new(Self::unread(Length::Checks(DEFAULT)), EXPECTED, Self::read).note(DEFAULT_NOTE)
    }

    /// Describes a window of a tenth of the run, which accepts `least` checks or more. [`check_error`](Self::check_error)
    /// refuses one check.
    pub(crate) fn tenth(least: u64) -> Field<Self> {
        Field::new(Self::unread(Length::TENTH), expected(least), Self::read)
    }

    /// Describes a window of 20 checks, of which fewer than `least` have this problem.
    pub(crate) fn of_at_least(least: u64, problem: &'static str) -> Field<Self> {
        let read = move |section: &mut Section<'_>, key: &str, default: Self| {
            let window = Self::read(section, key, default)?;
            if window.checks < least {
                section.problem(key, problem);
                return None;
            }
            Some(window)
        };
        Field::new(Self::unread(Length::Checks(DEFAULT)), expected(least), read).note(DEFAULT_NOTE)
    }

    fn unread(length: Length) -> Self {
        Self { length, checks: length.checks(), source: Source::Code }
    }

    fn read(section: &mut Section<'_>, key: &str, default: Self) -> Option<Self> {
        let path = section.path_of(key);
        if !section.has(key) {
            return Some(Self { source: Source::Default(path), ..default });
        }
        let share = section.value_or(key, None, EXPECTED, |value| {
            if value.is_integer() {
                return Some(None);
            }
            let share = value.as_table().filter(|table| table.len() == 1)?.get("share")?;
            let share = share.as_float().or_else(|| share.as_integer().map(|share| share as f64))?;
            (share > 0.0 && share <= 1.0).then_some(Some(Length::Share { share }))
        })?;
        let length = match share {
            Some(share) => share,
            None => Length::Checks(section.integer_or(key, DEFAULT, "at least 1", |checks| checks >= 1)?),
        };
        Some(Self { length, checks: length.checks(), source: Source::Given(path) })
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

    /// Adds a problem unless the window is long enough for a standard error; after [`plan`](Self::plan).
    pub(crate) fn check_error(&self, problems: &mut Problems) {
        if let Some(key) = self.key().filter(|_| self.checks < 2) {
            problems.push(key, "expected at least 2: one value says nothing about its own error");
        }
    }

    /// Fits the window to a run. A window longer than the run could never be filled.
    pub(crate) fn plan(&mut self, run: &RunPlan, problems: &mut Problems) {
        let most = run.checks().max(1);
        match (self.length, &self.source) {
            (Length::Share { share }, _) => {
                self.checks = ((share * most as f64).round() as u64).max(LEAST_OF_SHARE).min(most);
            }
            (Length::Checks(checks), Source::Given(key)) if checks > most => {
                let run = run.checks();
                problems.push(key, format!("{checks} checks are more than the {run} that the run has"));
            }
            (Length::Checks(_), Source::Default(_)) => self.checks = DEFAULT.min(most),
            (Length::Checks(_), Source::Given(_) | Source::Code) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use grades::Problems;
    use grades::policy::RunPlan;

    use super::{Length, Source, Window};

    fn planned(length: Length, source: Source, steps: u64) -> (u64, usize) {
        let mut window = Window { length, checks: length.checks(), source };
        let mut problems = Problems::default();
        window.plan(&RunPlan::new(steps, 1), &mut problems);
        (window.checks(), problems.as_slice().len())
    }

    #[test]
    fn a_share_follows_the_run_and_has_some_checks_at_least() {
        let tenth = |steps| planned(Length::TENTH, Source::Default("window".to_owned()), steps);
        assert_eq!(tenth(2170), (217, 0));
        assert_eq!(tenth(90), (9, 0));
        assert_eq!(tenth(20), (5, 0));
        assert_eq!(tenth(3), (3, 0));
        assert_eq!(planned(Length::Share { share: 1.0 }, Source::Given("window".to_owned()), 50), (50, 0));
    }

    #[test]
    fn a_number_must_fit_and_a_default_is_cut() {
        let given = |steps| planned(Length::Checks(30), Source::Given("window".to_owned()), steps);
        assert_eq!((given(30), given(29)), ((30, 0), (30, 1)));
        assert_eq!(planned(Length::Checks(20), Source::Default("window".to_owned()), 12), (12, 0));
        assert_eq!(planned(Length::Checks(20), Source::Code, 12), (20, 0));
    }
}
