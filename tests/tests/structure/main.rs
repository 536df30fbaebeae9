//! The plan of the crates, read off their sources: which way imports point, no circles, files of one screen-full of purpose.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy allows them in test functions, but not in the functions that those share"
)]

mod sources;

use std::collections::{BTreeMap, BTreeSet};

use sources::Crate;

const CRATES: [&str; 5] = ["grades", "grades-policies", "grades-lora", "grades-models", "grades-finetune"];

/// The top-level modules of `grades` and the modules below that each may import from.
const GRADES: &[(&str, &[&str])] = &[
    ("schema", &["error"]),
    ("component", &["error", "schema"]),
    ("statistic", &["error", "schema"]),
    ("torch", &["error"]),
    ("parameters", &["error", "torch"]),
    ("optim", &["error", "parameters", "statistic", "torch"]),
    ("distributed", &["error", "optim", "torch"]),
    ("policy", &["component", "error", "schema", "statistic"]),
    ("config", &["component", "error", "policy", "schema", "statistic"]),
    ("tracker", &["component", "config", "error", "policy", "schema", "statistic"]),
    ("observe", &["component", "error", "policy", "statistic", "tracker"]),
    ("checkpoint", &["error", "statistic", "torch", "tracker"]),
    (
        "freezing",
        &[
            "checkpoint",
            "component",
            "config",
            "distributed",
            "error",
            "observe",
            "optim",
            "parameters",
            "policy",
            "statistic",
            "torch",
            "tracker",
        ],
    ),
];

/// Those of the program; a module that is not listed may import from any.
const FINETUNE: &[(&str, &[&str])] = &[
    ("records", &[]),
    ("state", &["records"]),
    ("storage", &[]),
    ("data", &[]),
    ("config", &["data", "records"]),
    ("report", &["records", "storage"]),
    ("run", &["config", "records", "storage"]),
    ("checkpoint", &["causes", "records", "state", "storage"]),
    ("log", &["causes", "records", "state", "storage"]),
    ("tasks", &["config", "data", "records"]),
    (
        "train",
        &["causes", "checkpoint", "config", "data", "log", "records", "run", "state", "storage", "tasks"],
    ),
    ("bench", &["config", "records", "run", "tasks", "train"]),
    ("compare", &["causes", "config", "log", "records", "run", "storage"]),
];

/// Files of more than 400 lines.
const LONG: &[&str] = &["grades freezing::monitor", "grades freezing::optimizer"];

/// The parts of a module path below its first.
fn top(module: &str) -> &str {
    module.split("::").next().unwrap_or_default()
}

#[test]
fn imports_point_one_way() {
    let mut wrong = BTreeSet::new();
    for (name, allowed) in [("grades", GRADES), ("grades-finetune", FINETUNE)] {
        let source = Crate::read(name);
        for (module, targets) in allowed {
            let files: Vec<&String> = source.files.keys().filter(|file| top(file) == *module).collect();
            assert!(!files.is_empty(), "{name} has no module {module}");
            for file in files {
                for target in source.imports(file) {
                    if top(&target) != *module && !targets.contains(&top(&target)) {
                        wrong.insert(format!("{name}: {file} imports from {target}"));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn imports_name_modules() {
    let root = regex::Regex::new(r"(?m)^\s*(pub )?use crate::(\{\s*)?[A-Z]").unwrap();
    for name in CRATES {
        for file in Crate::read(name).files.values() {
            let found = root.find(&file.text).map(|found| found.as_str());
            assert!(
                found.is_none(),
                "{}: {found:?} imports from the crate's root, not a module",
                file.path.display()
            );
        }
    }
}

#[test]
fn no_circles() {
    let mut circles = BTreeSet::new();
    for name in CRATES {
        let source = Crate::read(name);
        // Of two files, the parts of a folder in which their paths part.
        let mut arrows: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
        for file in source.files.keys() {
            for target in source.imports(file) {
                let (from, to): (Vec<&str>, Vec<&str>) =
                    (file.split("::").collect(), target.split("::").collect());
                let common = from.iter().zip(&to).take_while(|(one, two)| one == two).count();
                let part = |path: &[&str]| path.get(common).map_or("mod", |part| *part).to_owned();
                let folder = from[..common].join("::");
                arrows.entry((folder, part(&from))).or_default().insert(part(&to));
            }
        }
        for (folder, part) in arrows.keys() {
            let mut reached = BTreeSet::new();
            let mut next = vec![part.clone()];
            while let Some(at) = next.pop() {
                for to in arrows.get(&(folder.clone(), at)).into_iter().flatten() {
                    if reached.insert(to.clone()) {
                        next.push(to.clone());
                    }
                }
            }
            if reached.contains(part) {
                circles.insert(format!("{name} {folder}/{part}"));
            }
        }
    }
    assert!(circles.is_empty(), "in a circle: {circles:#?}");
}

#[test]
fn docs_do_not_begin_with_what() {
    for name in CRATES {
        let found: Vec<String> = Crate::read(name)
            .files
            .values()
            .flat_map(|file| {
                let docs = file.text.lines().enumerate().filter(|(_, line)| {
                    let line = line.trim_start();
                    let what =
                        |mark: &str| line.strip_prefix(mark).is_some_and(|text| text.starts_with(" What "));
                    what("///") || what("//!")
                });
                docs.map(|(index, line)| format!("{}:{}: {}", file.path.display(), index + 1, line.trim()))
                    .collect::<Vec<_>>()
            })
            .collect();
        assert!(found.is_empty(), "{name}: docs begin with \"What\": {found:#?}");
    }
}

#[test]
fn files_are_short() {
    for name in CRATES {
        for (module, file) in Crate::read(name).files {
            let lines = file.text.lines().count();
            let known = LONG.contains(&format!("{name} {module}").as_str());
            assert!(lines <= 400 || known, "{} has {lines} lines; split it by purpose", file.path.display());
        }
    }
}
