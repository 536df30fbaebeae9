//! The plan of the crates, read off their sources: which way imports point, no circles, files of one screen-full of purpose.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy allows them in test functions, but not in the functions that those share"
)]

mod sources;

use std::collections::{BTreeMap, BTreeSet};

use sources::{Crate, all_files, fields_of_structs, inline_paths};

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
    ("data", &["printable"]),
    ("config", &["data", "records"]),
    ("report", &["records", "storage"]),
    ("run", &["config", "records", "storage"]),
    ("card", &["config", "printable", "records", "storage"]),
    ("checkpoint", &["causes", "records", "state", "storage"]),
    ("log", &["causes", "printable", "records", "state", "storage"]),
    ("cache", &["config", "state", "storage"]),
    ("metrics", &["records"]),
    ("tasks", &["cache", "config", "data", "metrics", "records"]),
    ("predict", &["config", "data", "records", "tasks"]),
    (
        "train",
        &[
            "cache",
            "card",
            "causes",
            "checkpoint",
            "config",
            "data",
            "log",
            "records",
            "run",
            "state",
            "storage",
            "tasks",
        ],
    ),
    ("bench", &["cache", "config", "records", "run", "tasks", "train"]),
    ("compare", &["causes", "config", "log", "printable", "records", "run", "storage"]),
];

/// Those of the crate of adapters.
const LORA: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("config", &["error"]),
    ("layer", &["config", "error"]),
    ("files", &["config", "error"]),
    ("apply", &["config", "error", "files", "layer"]),
    ("freeze", &["apply", "error", "layer"]),
];

/// Those of the crate of models.
const MODELS: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("activation", &[]),
    ("flops", &[]),
    ("files", &["error"]),
    ("prefix", &["error"]),
    ("bert", &["activation", "error", "files", "flops", "prefix"]),
    ("decoder", &["activation", "error", "files", "flops", "prefix"]),
    ("family", &["bert", "decoder", "error", "files"]),
    ("model", &["bert", "decoder", "error", "flops"]),
];

/// Those of the crate of policies: a policy knows no other.
const POLICIES: &[(&str, &[&str])] = &[
    ("common", &[]),
    ("children", &[]),
    ("all_of", &["children"]),
    ("any_of", &["children"]),
    ("bottom_up", &["common"]),
    ("fixed_threshold", &[]),
    ("no_progress", &["common"]),
    ("patience", &["common"]),
    ("payoff", &["common"]),
    ("per_component_type", &[]),
    ("plateau", &["common"]),
    ("quota", &["common"]),
    ("relative_to_peak", &["common"]),
    ("signal_fraction", &["common"]),
    ("thaw", &["common"]),
    ("two_batch", &["common"]),
];

/// A module beside those that it may import from.
type Arrows = [(&'static str, &'static [&'static str])];

/// The lists of each crate; in those of `true` every module is listed.
const ARROWS: [(&str, &Arrows, bool); 5] = [
    ("grades", GRADES, false),
    ("grades-policies", POLICIES, true),
    ("grades-lora", LORA, true),
    ("grades-models", MODELS, true),
    ("grades-finetune", FINETUNE, false),
];

/// Structs of more than 12 fields, where grouping would be wrong.
const WIDE: &[(&str, &str)] = &[
    ("grades-finetune Arguments", "the options of one command, read by clap"),
    ("grades-finetune DataConfig", "the keys of the table [data]"),
    ("grades-finetune RunConfig", "the tables of a configuration, each a struct"),
    ("grades-lora File", "the keys of adapter_config.json"),
    ("grades-lora LoraConfig", "PEFT's LoraConfig, with its keys"),
    ("grades-models BertConfig", "the keys of config.json"),
    ("grades-models DecoderConfig", "the keys of config.json"),
];

/// The parts of a module path below its first.
fn top(module: &str) -> &str {
    module.split("::").next().unwrap_or_default()
}

#[test]
fn imports_point_one_way() {
    let mut wrong = BTreeSet::new();
    for (name, allowed, is_whole) in ARROWS {
        let source = Crate::read(name);
        let listed =
            |file: &&String| !file.is_empty() && !allowed.iter().any(|(module, _)| top(file) == *module);
        let missing: BTreeSet<&str> = source.files.keys().filter(listed).map(|file| top(file)).collect();
        assert!(!is_whole || missing.is_empty(), "{name}: no list of arrows for {missing:?}");
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
            let path = file.path.display();
            assert!(found.is_none(), "{path}: {found:?} imports from the crate's root, not a module");
            let from_root = |path: &String| {
                let name = path.strip_prefix("crate::").unwrap_or_default();
                !name.contains("::") && name.starts_with(|first: char| first.is_ascii_uppercase())
            };
            let found = inline_paths(&file.text).into_iter().find(from_root);
            assert!(found.is_none(), "{path}: {found:?} is a path from the crate's root, not a module");
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
    let files = all_files();
    assert!(files.len() > 500, "{} files were read", files.len());
    let mut found = Vec::new();
    for (path, text) in files {
        for (index, line) in text.lines().enumerate() {
            let line = line.trim_start();
            let what = |mark: &str| line.strip_prefix(mark).is_some_and(|text| text.starts_with(" What "));
            if what("///") || what("//!") {
                found.push(format!("{}:{}: {line}", path.display(), index + 1));
            }
        }
    }
    assert!(found.is_empty(), "docs begin with \"What\": {found:#?}");
}

#[test]
fn files_are_short() {
    for name in CRATES {
        for file in Crate::read(name).files.values() {
            let lines = file.text.lines().count();
            assert!(lines <= 400, "{} has {lines} lines; split it by purpose", file.path.display());
        }
    }
}

#[test]
fn structs_are_grouped() {
    let mut unused: BTreeSet<&str> = WIDE.iter().map(|(name, _)| *name).collect();
    for name in CRATES {
        for file in Crate::read(name).files.values() {
            for (found, fields) in fields_of_structs(&file.text) {
                let known = format!("{name} {found}");
                if fields > 12 && !unused.remove(known.as_str()) {
                    panic!("{}: {found} has {fields} fields; group them", file.path.display());
                }
            }
        }
    }
    assert!(unused.is_empty(), "these have no more than 12 fields: {unused:?}");
}

#[test]
fn fields_are_counted() {
    let text = "pub struct A<'a> {\n    pub(in crate::b) one: u8,\n    /// two: u8,\n    #[serde(default)]\n    three: \
                &'a str,\n}\nstruct B(u8);\nstruct C;\ntable! {\n    struct D: Default = \"d\" {\n        /// Help.\n        \
                key: u64 = count(1, 1),\n    }\n}\nenum E {\n    F {\n        g: u8,\n    },\n}\n";
    assert_eq!(fields_of_structs(text), [("A".to_owned(), 2), ("D".to_owned(), 1)]);
}

#[test]
fn paths_inside_of_code_are_read() {
    let text = "use crate::a::b::C;\n// crate::comment::f\npub(in crate::d) fn f() {\n    crate::e::g();\n    \
                super::h::I::new() // super::j::k\n}\nmacro_rules! m { () => { $crate::l::n() } }\n";
    assert_eq!(inline_paths(text), ["crate::e::g", "super::h::I::new"]);
}
