//! Presets: what a published version of GradES does, as defaults for the rest of the `[freezing]` table.

use std::borrow::Cow;

use toml::{Table, Value};

use crate::schema::Section;
use crate::statistic::Statistic;

/// The key that names one.
pub(super) const KEY: &str = "preset";

/// Its line of help.
pub(super) const HELP: &str = "defaults of a published version: paper-v1, paper-v3 or official (none)";

/// The settings by which published versions differ; the rest is in [`Preset::table`].
#[derive(Debug)]
struct Preset {
    name: &'static str,
    metric: Statistic,
    grace: f64,
    /// The user's to give when absent.
    tau: Option<f64>,
}

// What each stands for, difference by difference, is in docs/compatibility.md.
const PAPER_V1: Preset = Preset { name: "paper-v1", metric: Statistic::GradL1, grace: 0.55, tau: None };
const PAPER_V3: Preset = Preset { name: "paper-v3", metric: Statistic::GradDeltaL1, ..PAPER_V1 };
const OFFICIAL: Preset =
    Preset { name: "official", metric: Statistic::WeightDeltaL1, grace: 0.3, tau: Some(1e-4) };
const ALL: [&Preset; 3] = [&PAPER_V1, &PAPER_V3, &OFFICIAL];

/// A `[freezing]` table with the defaults of the preset that it names; as it stands when it names none.
pub(super) fn fill(table: &Table) -> Cow<'_, Table> {
    match table.get(KEY) {
        // One that is not known is noted by `check`; where all is given no other problem follows from it.
        Some(name) => Cow::Owned(merge(name.as_str().and_then(find).unwrap_or(&OFFICIAL).table(), table)),
        None => Cow::Borrowed(table),
    }
}

/// Notes a preset that is not known.
pub(super) fn check(section: &mut Section<'_>) {
    if !section.has(KEY) {
        return;
    }
    if let Some(name) = section.text(KEY).filter(|name| find(name).is_none()) {
        section.unknown(KEY, "preset", &name, ALL.map(|preset| preset.name));
    }
}

fn find(name: &str) -> Option<&'static Preset> {
    ALL.into_iter().find(|preset| preset.name == name)
}

impl Preset {
    fn table(&self) -> Table {
        let name = ("name".to_owned(), Value::from("fixed-threshold"));
        let tau = self.tau.map(|tau| ("tau".to_owned(), Value::from(tau)));
        let policy: Table = [name].into_iter().chain(tau).collect();
        Table::from_iter(
            [
                ("metric", Value::from(self.metric.name())),
                ("grace", Value::from(self.grace)),
                ("check_every", Value::from(1)),
                ("stop_at", Value::from(1.0)),
                ("cooldown", Value::from(0)),
                ("followers", Value::from("keep")),
                ("policy", Value::from(policy)),
            ]
            .map(|(key, value)| (key.to_owned(), value)),
        )
    }
}

/// The defaults with the user's own keys over them, table by table.
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

/// Whether a table names another policy than the defaults do, so that their keys are not its own.
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
    fn each_preset_gives_all_keys_but_a_threshold_that_the_paper_sets_by_hand() {
        let paper = "check_every = 1\nstop_at = 1.0\ncooldown = 0\nfollowers = \"keep\"\npolicy = { name = \"fixed-threshold\" }";
        let cases = [
            ("paper-v1", format!("metric = \"grad-l1\"\ngrace = 0.55\n{paper}")),
            ("paper-v3", format!("metric = \"grad-delta-l1\"\ngrace = 0.55\n{paper}")),
            (
                "official",
                "metric = \"weight-delta-l1\"\ngrace = 0.3\ncheck_every = 1\nstop_at = 1.0\ncooldown = 0\nfollowers = \"keep\"\n\
                 policy = { name = \"fixed-threshold\", tau = 1e-4 }"
                    .to_owned(),
            ),
        ];
        assert_eq!(cases.len(), ALL.len());
        for (name, expected) in cases {
            let mut found = filled(&format!("preset = \"{name}\""));
            assert_eq!(found.remove(KEY), Some(Value::from(name)));
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
