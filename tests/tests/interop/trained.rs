//! A model that `train` has trained and saved.

use grades_finetune::config::{Document, RunConfig};
use grades_finetune::run::Interrupt;
use grades_finetune::train::train;
use grades_policies as _;
use grades_tests::tolerance::TINY_BERT;

use crate::python::{assert_same, skipped};
use crate::tiny::Tiny;

#[test]
fn transformers_reads_a_trained_model() {
    if skipped() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    Tiny::base().write_to(&dir.path().join("model"));
    let examples: String = (0..6)
        .map(|i| if i % 2 == 0 { "a good film\tpositive\n" } else { "it was very bad\tnegative\n" })
        .collect();
    std::fs::write(dir.path().join("train.tsv"), examples).unwrap();

    let mut document = Document::parse(
        "[data]\nmax_tokens = 16\n[training]\nepochs = 3\nbatch_size = 2\nmax_steps = 3\n[optimizer]\nlr = 0.05\n\
         [model]\ndevice = 'cpu'\n[freezing]\n[freezing.policy]\nname = 'fixed-threshold'\ntau = 0.02\n",
    )
    .unwrap();
    for (key, file) in [("model.path", "model"), ("data.train", "train.tsv"), ("output.folder", "runs")] {
        document.put(key, dir.path().join(file).display().to_string()).unwrap();
    }
    let config = RunConfig::read(document.table()).unwrap();
    let outcome = train(&config, "interop", &Interrupt::never()).unwrap();
    assert_eq!((outcome.summary.steps.steps, outcome.warnings.len()), (3, 0));

    let sentences: [&[i64]; 3] = [&[2, 13, 4, 6, 3], &[2, 16, 11, 14, 5, 10, 9, 1, 3], &[2, 3]];
    assert_same(&dir.path().join("runs/interop/model"), &sentences, TINY_BERT);
}
