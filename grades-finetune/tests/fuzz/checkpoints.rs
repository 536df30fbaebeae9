//! Checkpoints and logs of runs that are to go on.

use std::collections::HashMap;
use std::path::Path;

use grades::optim::AdamConfig;
use grades::{FreezingConfig, FreezingOptimizer};
use grades_finetune::checkpoint::{Newest, newest_checkpoint};
use grades_finetune::config::{Document, RunConfig};
use grades_finetune::run::Interrupt;
use grades_finetune::train::{Resume, resume, train};
use grades_models::bert::{BertClassifier, LoadOptions};
use safetensors::SafeTensors;

use crate::driver::{fuzz, refusal};
use crate::tiny::Tiny;

const WORDS: [&str; 6] =
    ["version = 3", "steps = ", "[[parameters]]", "held = true", "frozen_at = 1", "[counters]"];

/// A file of the optimizer whose text is this, with a checksum that is right.
fn sealed(whole: &[u8], text: &str) -> Vec<u8> {
    let file = SafeTensors::deserialize(whole).unwrap();
    let (_, metadata) = SafeTensors::read_metadata(whole).unwrap();
    let mut metadata: HashMap<String, String> = metadata.metadata().clone().unwrap();
    let mut tensors = file.tensors();
    tensors.sort_by(|one, other| one.0.cmp(&other.0));
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(text.as_bytes());
    for (name, view) in &tensors {
        hasher.update(name.as_bytes());
        hasher.update(view.data());
    }
    metadata.insert("checksum".to_owned(), format!("{:08x}", hasher.finalize()));
    metadata.insert("state".to_owned(), text.to_owned());
    safetensors::serialize(tensors, Some(metadata)).unwrap()
}

#[test]
fn optimizers() {
    let tiny = Tiny::classifier();
    tiny.write_to(tiny.path());
    let (model, _) = BertClassifier::load(tiny.path(), LoadOptions::default()).unwrap();
    let config = FreezingConfig::from_toml("[freezing]\nfollowers = \"with-block\"").unwrap();
    let inner = AdamConfig::adamw().build(model.var_store(), 0.01).unwrap();
    let mut optimizer = FreezingOptimizer::new(inner, model.var_store(), &config, 10).unwrap();
    let ids = tch::Tensor::from_slice2(&[[2i64, 4, 5, 3]]);
    for _ in 0..4 {
        let loss = model.forward(&ids, &ids.ones_like(), false).unwrap().square().sum(tch::Kind::Float);
        optimizer.backward_step(&loss).unwrap();
    }
    let path = tiny.file("optimizer.safetensors");
    optimizer.save(&path).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let mut load = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        refusal(optimizer.load(&path))
    };
    fuzz("optimizer.safetensors", (60, 20_000), std::slice::from_ref(&whole), &WORDS, &mut load);
    // The checksum keeps most damage from being looked at; a file that was made on purpose has a right one.
    let (_, metadata) = SafeTensors::read_metadata(&whole).unwrap();
    let text = metadata.metadata().as_ref().unwrap()["state"].clone();
    fuzz("optimizer-state.toml", (60, 20_000), &[text.into_bytes()], &WORDS, |bytes| {
        load(&sealed(&whole, &String::from_utf8_lossy(bytes)))
    });
}

/// A run that has taken all its steps but is not known to have ended.
fn run(dir: &Path) -> RunConfig {
    let tiny = Tiny::classifier();
    tiny.write_to(&dir.join("model"));
    std::fs::write(dir.join("train.tsv"), "very good\tyes\nbad film\tno\n".repeat(4)).unwrap();
    let text = format!(
        "[output]\nfolder = '{0}/runs'\nname = 'run'\nquiet = true\n[model]\npath = '{0}/model'\n[data]\ntrain = '{0}/train.tsv'\n\
         max_tokens = 12\n[training]\nepochs = 1\nbatch_size = 2\n[checkpoint]\nevery = 2\n[freezing]\n",
        dir.display()
    );
    let config = RunConfig::read(Document::parse(&text).unwrap().table()).unwrap();
    train(&config, "run", &Interrupt::never()).unwrap();
    std::fs::remove_file(dir.join("runs/run/summary.json")).unwrap();
    config
}

#[test]
fn states_of_runs() {
    let dir = tempfile::tempdir().unwrap();
    run(dir.path());
    let run = dir.path().join("runs/run");
    let path = run.join("checkpoints/step-00000002/run.toml");
    let whole = std::fs::read(&path).unwrap();
    let read = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        match newest_checkpoint(&run) {
            Ok(Newest { checkpoint: Some((2, _)), .. }) => None,
            Ok(Newest { warnings, .. }) => Some(warnings.join("\n")),
            Err(error) => Some(error.to_string()),
        }
    };
    fuzz("run.toml", (100, 30_000), std::slice::from_ref(&whole), &WORDS, read);
    let text = String::from_utf8(whole.clone()).unwrap();
    let body = text.split_once('\n').unwrap().1.as_bytes().to_vec();
    fuzz("run.toml-sealed", (100, 30_000), &[body], &WORDS, |bytes| {
        read(&[format!("# checksum {:08x}\n", crc32fast::hash(bytes)).as_bytes(), bytes].concat())
    });
}

#[test]
fn runs_that_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let config = run(dir.path());
    let folder = dir.path().join("runs/run");
    let state = folder.join("checkpoints/step-00000002/run.toml");
    let checkpoint = folder.join("checkpoints/step-00000002");
    let names_of_files = ["steps.jsonl", "freezes.jsonl", "config.toml"];
    let files = names_of_files.map(|name| folder.join(name));
    let others = ["parameters.safetensors", "optimizer.safetensors"].map(|name| checkpoint.join(name));
    let others = others.map(|path| (std::fs::read(&path).unwrap(), path));
    let kept: Vec<Vec<u8>> = files.iter().map(|path| std::fs::read(path).unwrap()).collect();
    let text = String::from_utf8(std::fs::read(&state).unwrap()).unwrap();
    let body = text.split_once('\n').unwrap().1.as_bytes().to_vec();
    let outside = names(dir.path());
    let mut turn = 0;
    fuzz("resume", (16, 2_000), std::slice::from_ref(&body), &WORDS, |bytes| {
        let sealed =
            |body: &[u8]| [format!("# checksum {:08x}\n", crc32fast::hash(body)).as_bytes(), body].concat();
        std::fs::create_dir_all(&checkpoint).unwrap();
        std::fs::write(&state, sealed(&body)).unwrap();
        for (kept, path) in &others {
            std::fs::write(path, kept).unwrap();
        }
        for (path, kept) in files.iter().zip(&kept) {
            std::fs::write(path, kept).unwrap();
        }
        let _ = std::fs::remove_file(folder.join("summary.json"));
        // The state that the checkpoint has, or one of the files that a run goes on with.
        match turn % 4 {
            0 => std::fs::write(&state, sealed(bytes)).unwrap(),
            place => std::fs::write(&files[place - 1], if bytes == body { &kept[place - 1] } else { bytes })
                .unwrap(),
        }
        turn += 1;
        let how = Resume { folder: &folder, allow_changes: turn % 2 == 0 };
        let done = refusal(resume(&config, &how, &Interrupt::never()));
        assert_eq!(names(dir.path()), outside, "nothing is written outside");
        done
    });
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = ["", "runs"]
        .iter()
        .flat_map(|part| std::fs::read_dir(dir.join(part)).unwrap())
        .map(|entry| entry.unwrap().path().display().to_string())
        .collect();
    names.sort();
    names
}
