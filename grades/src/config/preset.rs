//! Presets: defaults for the rest of the `[freezing]` table, by what one wants or of a published version of GradES.

use std::borrow::Cow;

use toml::{Table, Value};

use super::{Followers, Grace};
use crate::schema::field::{KeyField, optional_word};
use crate::schema::{Key, Section, Words, words};
use crate::statistic::Statistic;

words! {
    /// A wish, or a published version of GradES.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(super) enum Preset: "preset" {
        /// Freezes nothing in the first pass over the examples.
        Careful = "careful",
        /// Freezes as soon as gradients are noise.
        Balanced = "balanced",
        /// The same, and cools half as long.
        Fast = "fast",
        /// arXiv 2509.01842v1.
        PaperV1 = "paper-v1",
        /// arXiv 2509.01842v3.
        PaperV3 = "paper-v3",
        /// The Python package 1.0.6.
        Official = "official",
    }
}

/// The policy that needs no threshold by hand. It is in `grades-policies`.
pub(super) const AUTOMATIC: &str = "signal-fraction";

/// The key that names one.
pub(super) const KEY: Key =
    Key::described("preset", "What one wants, or a published version: its settings are the defaults", || {
        KeyField::<Option<Preset>>::facts(&optional_word())
    });

/// Adds to a `[freezing]` table the defaults of the preset that it names; a table that names none stays unchanged.
pub(super) fn fill(table: &Table) -> Cow<'_, Table> {
    match table.get(KEY.name) {
        // An unknown one is reported when the key is read; with all keys given no other problem follows from it.
        Some(name) => {
            let preset = name.as_str().and_then(Preset::from_word).unwrap_or(Preset::Official);
            Cow::Owned(merge(preset.table(), table))
        }
        None => Cow::Borrowed(table),
    }
}

/// Notes a preset that is not known.
pub(super) fn check(section: &mut Section<'_>) {
    KeyField::<Option<Preset>>::read(optional_word(), section, KEY.name, false);
}

impl Preset {
    // What each stands for, difference by difference, is in docs/compatibility.md.
    fn table(self) -> Table {
        // The paper's tau is the user's to give.
        match self {
            Self::Careful => wanted(Grace::Epochs { epochs: 1.0 }, 1.0),
            Self::Balanced => wanted(Grace::Share(0.0), 1.0),
            Self::Fast => wanted(Grace::Share(0.0), 0.5),
            Self::PaperV1 => Self::published(Statistic::GradL1, 0.55, None),
            Self::PaperV3 => Self::published(Statistic::GradDeltaL1, 0.55, None),
            Self::Official => Self::published(Statistic::WeightDeltaL1, 0.3, Some(1e-4)),
        }
    }

    fn published(metric: Statistic, grace: f64, tau: Option<f64>) -> Table {
        let name = ("name".to_owned(), Value::from("fixed-threshold"));
        let tau = tau.map(|tau| ("tau".to_owned(), Value::from(tau)));
        let policy: Table = [name].into_iter().chain(tau).collect();
        Table::from_iter(
            [
                ("metric", Value::from(metric.name())),
                ("grace", Value::from(grace)),
                ("check_every", Value::from(1)),
                ("stop_at", Value::from(1.0)),
                ("cooldown", Value::from(0)),
                ("followers", Value::from(Followers::Keep.name())),
                ("policy", Value::from(policy)),
            ]
            .map(|(key, value)| (key.to_owned(), value)),
        )
    }
}

/// Returns the automatic policy with windows in shares of the run, so that short runs decide too.
fn wanted(grace: Grace, cooldown: f64) -> Table {
    let share = |share: f64| Value::from(Table::from_iter([("share".to_owned(), Value::from(share))]));
    let grace = match grace {
        Grace::Share(share) => Value::from(share),
        Grace::Epochs { epochs } => {
            Value::from(Table::from_iter([("epochs".to_owned(), Value::from(epochs))]))
        }
    };
    let policy = [("name", Value::from(AUTOMATIC)), ("window", share(0.05))];
    let policy = Table::from_iter(policy.map(|(key, value)| (key.to_owned(), value)));
    Table::from_iter(
        [("grace", grace), ("cooldown", share(cooldown)), ("policy", Value::from(policy))]
            .map(|(key, value)| (key.to_owned(), value)),
    )
}

/// Merges the user's own keys over the defaults, table by table.
fn merge(mut defaults: Table, own: &Table) -> Table {
    for (key, value) in own {
        let merged = match (defaults.remove(key), value) {
            (Some(Value::Table(below)), Value::Table(above)) if !names_another(&below, above) => {
                Value::Table(merge(below, above))
            }
            _ => value.clone(),
        };
        defaults.insert(key.clone(), merged);
    }
    defaults
}

/// Returns whether a table names another policy than the defaults do, so that their keys are not its own.
fn names_another(below: &Table, above: &Table) -> bool {
    above.get("name").is_some_and(|name| below.get("name") != Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(table: &str) -> Table {
        fill(&table.parse().unwrap()).into_owned()
    }

    fn policy(keys: &str) -> Value {
        filled(&format!("preset = \"official\"\npolicy = {keys}"))["policy"].clone()
    }

    #[test]
    fn a_table_that_names_no_preset_stays_as_it_is() {
        let table: Table = "grace = 0.2\npolicy = { tau = 1 }".parse().unwrap();
        assert_eq!(*fill(&table), table);
        assert!(matches!(fill(&table), Cow::Borrowed(_)));
    }

    #[test]
    fn each_preset_gives_its_keys_but_a_threshold_that_the_paper_sets_by_hand() {
        let automatic = |grace: &str, cooldown: &str| {
            format!(
                "grace = {grace}\ncooldown = {{ share = {cooldown} }}\n\
                 policy = {{ name = \"signal-fraction\", window = {{ share = 0.05 }} }}"
            )
        };
        let paper = "check_every = 1\nstop_at = 1.0\ncooldown = 0\nfollowers = \"keep\"\npolicy = { name = \"fixed-threshold\" }";
        let cases = [
            ("careful", automatic("{ epochs = 1.0 }", "1.0")),
            ("balanced", automatic("0.0", "1.0")),
            ("fast", automatic("0.0", "0.5")),
            ("paper-v1", format!("metric = \"grad-l1\"\ngrace = 0.55\n{paper}")),
            ("paper-v3", format!("metric = \"grad-delta-l1\"\ngrace = 0.55\n{paper}")),
            (
                "official",
                "metric = \"weight-delta-l1\"\ngrace = 0.3\ncheck_every = 1\nstop_at = 1.0\ncooldown = 0\nfollowers = \"keep\"\n\
                 policy = { name = \"fixed-threshold\", tau = 1e-4 }"
                    .to_owned(),
            ),
        ];
        assert_eq!(cases.len(), Preset::ALL.len());
        for (name, expected) in cases {
            let mut found = filled(&format!("preset = \"{name}\""));
            assert_eq!(found.remove(KEY.name), Some(Value::from(name)));
            assert_eq!(found, expected.parse().unwrap(), "{name}");
        }
    }

    #[test]
    fn what_the_user_gives_lies_over_the_preset() {
        let found = filled(
            "preset = \"paper-v1\"\ngrace = 0.1\ncooldown = { share = 1.0 }\npolicy = { tau = 0.02 }\n\
             components = { layout = \"llama\" }\nkey_of_no_preset = 3",
        );
        let expected = "preset = \"paper-v1\"\nmetric = \"grad-l1\"\ngrace = 0.1\ncheck_every = 1\nstop_at = 1.0\n\
                        cooldown = { share = 1.0 }\nfollowers = \"keep\"\npolicy = { name = \"fixed-threshold\", tau = 0.02 }\n\
                        components = { layout = \"llama\" }\nkey_of_no_preset = 3";
        assert_eq!(found, expected.parse().unwrap());
    }

    #[test]
    fn the_keys_of_the_presets_policy_go_to_no_other() {
        let table = |text: &str| Value::Table(text.parse().unwrap());
        let given = table("name = \"fixed-threshold\"\ntau = 1e-4");
        let cases = [
            ("{}", given.clone()),
            ("{ name = \"fixed-threshold\" }", given),
            ("{ tau = 2 }", table("name = \"fixed-threshold\"\ntau = 2")),
            ("{ name = \"quota\" }", table("name = \"quota\"")),
            ("{ name = \"quota\", floor = 1 }", table("name = \"quota\"\nfloor = 1")),
            ("{ name = 3 }", table("name = 3")),
            ("3", Value::from(3)),
        ];
        for (own, expected) in cases {
            assert_eq!(policy(own), expected, "{own}");
        }
    }
}
