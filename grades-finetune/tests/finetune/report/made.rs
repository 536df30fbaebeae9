//! Folders of runs, as `finetune train` writes them.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use grades_finetune::report::Subject;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A run to be written.
pub(crate) struct Made {
    /// Names, kinds and blocks.
    pub(crate) components: Vec<(String, &'static str, Option<u32>)>,
    pub(crate) steps: u64,
    pub(crate) planned: u64,
    /// Whether components cool and freeze, one after the other.
    pub(crate) freezes: bool,
    /// Whether the run has a policy at all.
    pub(crate) watched: bool,
    /// Every so many losses are not finite; 0 for none.
    pub(crate) nan_every: u64,
    pub(crate) ended: Option<&'static str>,
    pub(crate) seed: u64,
}

/// The kinds of a block of Llama.
pub(crate) const KINDS: [&str; 7] = ["query", "key", "value", "output", "gate", "up", "down"];

impl Made {
    /// So many blocks of seven matrices, half of which freeze.
    pub(crate) fn new(blocks: u32, steps: u64) -> Self {
        let components = (0..blocks)
            .flat_map(|block| KINDS.map(|kind| (format!("model.layers.{block}.{kind}"), kind, Some(block))))
            .collect();
        Self {
            components,
            steps,
            planned: steps,
            freezes: true,
            watched: true,
            nan_every: 0,
            ended: Some("all-steps"),
            seed: 0,
        }
    }

    /// Writes `folder/name`.
    pub(crate) fn write(&self, folder: &Path, name: &str) -> PathBuf {
        let path = folder.join(name);
        std::fs::create_dir_all(&path).unwrap();
        let freezing =
            if self.watched { "[freezing]\n[freezing.policy]\nname = \"signal-fraction\"\n" } else { "" };
        let config = format!(
            "[output]\nfolder = \"runs\"\nname = {name:?}\n[model]\npath = \"models/tiny\"\n[data]\ntrain = \"train.tsv\"\n\
             [training]\nepochs = 3\nseed = {}\n{freezing}",
            self.seed
        );
        std::fs::write(path.join("config.toml"), config).unwrap();
        let named: Vec<Value> = self
            .components
            .iter()
            .map(|(name, kind, layer)| json!({"name": name, "kind": kind, "layer": layer, "parameters": 100}))
            .collect();
        let mut statistics = json!({"components": named}).to_string() + "\n";
        let (mut steps, mut freezes) = (String::new(), String::new());
        let count = self.components.len() as u64;
        // Component i cools from this step on, and freezes a tenth of the run later; the second half never does.
        let decided = |index: u64| (self.steps * (index + 2) / (2 * count + 2)).max(2);
        let froze = |index: u64| (decided(index) + self.steps / 10).min(self.steps);
        let freezes_at_all = |index: u64| self.freezes && self.watched && index < count / 2 && self.steps > 2;
        let (mut cooling, mut frozen) = (0u64, 0u64);
        for step in 1..=self.steps {
            for index in (0..count).filter(|index| freezes_at_all(*index)) {
                let (name, kind, layer) = &self.components[index as usize];
                let mut event = |what: &str| {
                    let line = json!({
                        "event": what, "step": step, "component": name, "kind": kind, "layer": layer,
                        "statistic": "signal-fraction", "value": 0.004, "threshold": 0.005,
                        "policy": "signal-fraction", "parameters": 100,
                    });
                    writeln!(freezes, "{line}").unwrap();
                };
                if decided(index) == step && froze(index) > step {
                    event("cool");
                    cooling += 1;
                }
                if froze(index) == step {
                    event("freeze");
                    cooling = cooling.saturating_sub(1);
                    frozen += 1;
                }
            }
            if self.watched {
                let value = |index: u64| {
                    let asked = !freezes_at_all(index) || step <= decided(index);
                    asked.then(|| 0.5 / (1.0 + step as f64 / (1.0 + index as f64)) + 0.004)
                };
                let values: Vec<Option<f64>> = (0..count).map(value).collect();
                let line = json!({
                    "step": step, "policy": "signal-fraction", "statistic": "signal-fraction", "threshold": 0.005,
                    "values": values,
                });
                writeln!(statistics, "{line}").unwrap();
            }
            let bad = self.nan_every > 0 && step % self.nan_every == 0;
            let loss = if bad { None } else { Some(1.0 / step as f64 + 0.1) };
            let line = json!({
                "step": step, "epoch": 1, "loss": loss, "learning_rate": 1e-4, "grad_norm": 1.0, "examples": 8,
                "tokens": 64, "seconds": step as f64 * 0.25, "cooling": cooling, "frozen": frozen,
                "memory_bytes": 500_000_000u64, "training_bytes": 90_000_000u64,
            });
            writeln!(steps, "{line}").unwrap();
        }
        std::fs::write(path.join("steps.jsonl"), steps).unwrap();
        std::fs::write(path.join("freezes.jsonl"), freezes).unwrap();
        std::fs::write(path.join("statistics.jsonl"), statistics).unwrap();
        if let Some(ended) = self.ended {
            let summary = json!({
                "ended": ended, "wall_seconds": self.steps as f64 * 0.3, "train_seconds": self.steps as f64 * 0.25,
                "steps": self.steps, "planned_steps": self.planned, "components_frozen": frozen,
                "components_total": count, "eval_accuracy": 0.8 + self.seed as f64 / 100.0, "eval_loss": 0.5,
                "test_accuracy": 0.79, "test_loss": 0.52, "eval_seconds": 1.5, "peak_memory_bytes": 600_000_000u64,
            });
            std::fs::write(path.join("summary.json"), summary.to_string()).unwrap();
        }
        path
    }
}

/// The page of a made run.
pub(crate) fn page_of(made: &Made) -> String {
    let dir = TempDir::new().unwrap();
    let path = made.write(dir.path(), "run");
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
