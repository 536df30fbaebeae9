//! Folders of runs, as `finetune train` writes them.

use std::path::PathBuf;

use grades::component::ComponentKind;
use grades::observe::{ComponentRecord, StatisticsHeader, StatisticsRecord, Thresholds};
use grades::policy::Measure;
use grades::statistic::Statistic;
use grades::tracker::{FreezeEvent, Transition};
use grades_finetune::records::{
    BestStep, ComponentCounts, DataCounts, FREEZES, FlopCounts, FreezeCounts, MemoryCounts, STATISTICS,
    STEPS, Scores, StepCounts, StepMemory, StepRecord, StepWork, StopReason, Summary, Times, write_line,
};
use grades_finetune::report::Subject;
use serde_json::Value;

use crate::support::Folder;

/// A run to be written.
pub(crate) struct Made {
    pub(crate) components: Vec<ComponentRecord>,
    pub(crate) steps: u64,
    pub(crate) planned: u64,
    /// Whether components cool and freeze, one after the other.
    pub(crate) freezes: bool,
    /// Whether the run has a policy at all.
    pub(crate) watched: bool,
    /// Each loss whose step is a multiple of it is not finite; 0 for none.
    pub(crate) nan_every: u64,
    pub(crate) ended: Option<StopReason>,
    pub(crate) seed: u64,
}

/// The kinds of a block of Llama.
pub(crate) const KINDS: [ComponentKind; 7] = [
    ComponentKind::Query,
    ComponentKind::Key,
    ComponentKind::Value,
    ComponentKind::Output,
    ComponentKind::Gate,
    ComponentKind::Up,
    ComponentKind::Down,
];

/// The policy of made runs, which is called as its statistic is, and its threshold.
const POLICY: &str = "signal-fraction";
const THRESHOLD: f64 = 0.005;

pub(crate) fn component(name: impl Into<String>, kind: ComponentKind, layer: Option<u32>) -> ComponentRecord {
    ComponentRecord { name: name.into(), kind, layer, parameters: 100 }
}

impl Made {
    /// Blocks of seven matrices, half of which freeze.
    pub(crate) fn new(blocks: u32, steps: u64) -> Self {
        let block = |block| {
            KINDS.map(|kind| component(format!("model.layers.{block}.{}", kind.name()), kind, Some(block)))
        };
        Self {
            components: (0..blocks).flat_map(block).collect(),
            steps,
            planned: steps,
            freezes: true,
            watched: true,
            nan_every: 0,
            ended: Some(StopReason::AllSteps),
            seed: 0,
        }
    }

    /// Writes a run of this name and returns its folder.
    pub(crate) fn write(&self, folder: &Folder, name: &str) -> PathBuf {
        let path = folder.path(name);
        std::fs::create_dir_all(&path).unwrap();
        let freezing =
            if self.watched { "[freezing]\n[freezing.policy]\nname = \"signal-fraction\"\n" } else { "" };
        let config = format!(
            "[output]\nfolder = \"runs\"\nname = {name:?}\n[model]\npath = \"models/tiny\"\n[data]\ntrain = \"train.tsv\"\n\
             [training]\nepochs = 3\nseed = {}\n{freezing}",
            self.seed
        );
        let (mut steps, mut freezes, mut statistics) = (Vec::new(), Vec::new(), Vec::new());
        write_line(&mut statistics, &StatisticsHeader { components: self.components.clone() }).unwrap();
        let mut counts = ComponentCounts::default();
        for step in 1..=self.steps {
            for event in self.events(step) {
                match event.event {
                    Transition::Cool => counts.cooling += 1,
                    _ => {
                        counts.cooling = counts.cooling.saturating_sub(1);
                        counts.frozen += 1;
                    }
                }
                write_line(&mut freezes, &event).unwrap();
            }
            if self.watched {
                write_line(&mut statistics, &self.check(step)).unwrap();
            }
            write_line(&mut steps, &self.step(step, counts)).unwrap();
        }
        let files = [
            ("config.toml", config.into_bytes()),
            (STEPS, steps),
            (FREEZES, freezes),
            (STATISTICS, statistics),
        ];
        for (file, content) in files {
            std::fs::write(path.join(file), content).unwrap();
        }
        if let Some(ended) = self.ended {
            let summary = serde_json::to_string(&self.summary(ended, counts.frozen)).unwrap();
            std::fs::write(path.join(Summary::FILE), summary).unwrap();
        }
        path
    }

    /// The step from which a component cools; it freezes a tenth of the run later. `None` of the second half, which never
    /// does.
    fn decided(&self, index: usize) -> Option<u64> {
        let (index, count) = (index as u64, self.components.len() as u64);
        let freezes = self.freezes && self.watched && index < count / 2 && self.steps > 2;
        freezes.then(|| (self.steps * (index + 2) / (2 * count + 2)).max(2))
    }

    fn events(&self, step: u64) -> Vec<FreezeEvent> {
        let mut events = Vec::new();
        for (index, component) in self.components.iter().enumerate() {
            let Some(decided) = self.decided(index) else { continue };
            let froze = (decided + self.steps / 10).min(self.steps);
            let event = |event| FreezeEvent {
                event,
                step,
                component: component.name.clone(),
                kind: component.kind,
                layer: component.layer,
                statistic: Measure::Statistic(Statistic::SignalFraction),
                value: 0.004,
                threshold: THRESHOLD,
                policy: POLICY.into(),
                parameters: component.parameters,
                index,
            };
            if decided == step && froze > step {
                events.push(event(Transition::Cool));
            }
            if froze == step {
                events.push(event(Transition::Freeze));
            }
        }
        events
    }

    /// The values of a check: of those that are still asked.
    fn check(&self, step: u64) -> StatisticsRecord {
        let value = |index: usize| {
            let asked = self.decided(index).is_none_or(|decided| step <= decided);
            asked.then(|| 0.5 / (1.0 + step as f64 / (1.0 + index as f64)) + 0.004)
        };
        StatisticsRecord {
            step,
            policy: POLICY.into(),
            statistic: Measure::Statistic(Statistic::SignalFraction),
            threshold: Thresholds::One(Some(THRESHOLD)),
            values: (0..self.components.len()).map(value).collect(),
        }
    }

    fn step(&self, step: u64, components: ComponentCounts) -> StepRecord {
        let bad = self.nan_every > 0 && step.is_multiple_of(self.nan_every);
        StepRecord {
            step,
            epoch: 1,
            loss: if bad { f64::NAN } else { 1.0 / step as f64 + 0.1 },
            learning_rate: 1e-4,
            grad_norm: Some(1.0),
            work: StepWork { examples: 8, tokens: 64, flops: 0, cache_flops: 0, seconds: step as f64 * 0.25 },
            components,
            memory: StepMemory {
                memory_bytes: Some(500_000_000),
                training_bytes: 90_000_000,
                cache_bytes: 0,
            },
            skipped: None,
        }
    }

    fn summary(&self, ended: StopReason, components_frozen: usize) -> Summary {
        let steps = self.steps as f64;
        Summary {
            ended,
            time: Times {
                wall_seconds: steps * 0.3,
                train_seconds: steps * 0.25,
                eval_seconds: 1.5,
                ..Times::default()
            },
            steps: StepCounts { steps: self.steps, planned_steps: self.planned, ..StepCounts::default() },
            freezing: FreezeCounts {
                components_frozen,
                components_total: self.components.len(),
                ..FreezeCounts::default()
            },
            data: DataCounts::default(),
            final_train_loss: None,
            eval: Scores {
                accuracy: Some(0.8 + self.seed as f64 / 100.0),
                loss: Some(0.5),
                ..Scores::default()
            },
            test: Scores { accuracy: Some(0.79), loss: Some(0.52), ..Scores::default() },
            eval_classes: None,
            test_classes: None,
            best: BestStep::default(),
            flops: FlopCounts::default(),
            memory: MemoryCounts { peak_memory_bytes: Some(600_000_000), ..MemoryCounts::default() },
            device: String::new(),
        }
    }
}

/// The page of a made run.
pub(crate) fn page_of(made: &Made) -> String {
    let folder = Folder::empty();
    let path = made.write(&folder, "run");
    Subject::read(&[path]).unwrap().page().unwrap()
}

/// Asserts that a page loads nothing, has unique identifiers and well-formed pictures.
pub(crate) fn assert_sound(page: &str) {
    let outside = page.replace("http://www.w3.org/2000/svg", "");
    for word in ["http:", "https:", "@import", "url(//", "src=", "href="] {
        assert!(!outside.contains(word), "the page refers to something outside by {word}");
    }
    let mut ids: Vec<&str> =
        page.split(" id=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    ids.sort_unstable();
    let all = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), all, "an identifier is there twice");
    for picture in pictures(page) {
        let parsed = roxmltree::Document::parse(picture);
        assert!(parsed.is_ok(), "{parsed:?}: {}", &picture[..picture.len().min(600)]);
        for word in ["NaN", "inf\"", "inf "] {
            assert!(
                !picture.contains(&format!("\"{word}")) && !picture.contains(&format!(" {word}")),
                "{word}"
            );
        }
    }
    for name in ["wide", "narrow"] {
        assert_eq!(
            page.matches(&format!("<div class=\"{name}\"><svg")).count() * 2,
            pictures(page).len(),
            "each picture is there for both screens"
        );
    }
    assert_eq!(page.matches("</script>").count(), 2, "the data ends no script");
    let data = page.split("id=\"data\">").nth(1).unwrap().split("</script>").next().unwrap();
    let data: Value = serde_json::from_str(data).unwrap();
    assert!(data["charts"].is_object());
    assert!(page.len() < 2_000_000, "{} bytes", page.len());
}

/// The SVG elements of a page.
pub(crate) fn pictures(page: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = page;
    while let Some(at) = rest.find("<svg ") {
        let end = rest[at..].find("</svg>").unwrap() + at + "</svg>".len();
        found.push(&rest[at..end]);
        rest = &rest[end..];
    }
    found
}

/// The identifiers of a page's figures.
pub(crate) fn figures(page: &str) -> Vec<&str> {
    page.split("<figure id=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}
