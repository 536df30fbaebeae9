//! `finetune compare` of a decoder, whose evaluations have no accuracy.

use grades_finetune::records::{Comparison, Metric, Quantity, Target};

use crate::decoder::llama;

#[test]
fn a_decoder_is_compared_by_its_loss() {
    let folder = llama();
    let config = folder.text("base.toml");
    let data = "train = 'train.jsonl'\neval = 'train.jsonl'\ntest = 'train.jsonl'\n";
    let training = "[training]\neval_every = 1\nmax_steps = 4\ncheckpointing = true\n";
    let config = config
        .replace("train = \"train.jsonl\"\n", data)
        .replace("[training]\n", training)
        .replace("epochs = 1", "epochs = 9");
    folder.write(
        "base.toml",
        config + "[lora]\nr = 1\n[early_stopping]\npatience = 1\nmin_delta = 100\n[evaluation]\nexact_match = true\n",
    );
    let rows = "full,full-es,full-grades,lora,lora-grades";
    let command = [
        "compare",
        "--config",
        "base.toml",
        "--seeds",
        "0,1",
        "--rows",
        rows,
        "--set",
        "compare.monitoring_steps=4",
    ];
    let ran = folder.finetune(&command);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let result = Comparison::read(&folder.path("runs/compare-base/compare.json")).unwrap();
    let row = |name: &str| result.row(name).unwrap();
    let mean = |name: &str, quantity| row(name).mean.get(quantity);
    let loss = mean("full", Quantity::EvalLoss).unwrap();
    assert_eq!(result.target, Some(Target { metric: Metric::Loss, value: loss }));
    let steps = (mean("full", Quantity::Steps), mean("full-es", Quantity::Steps));
    assert_eq!(steps, (Some(4.0), Some(2.0)));
    assert!(mean("full", Quantity::TestExactMatch).is_some());
    // Adapters have no weight gradients of the base, whose blocks are computed twice all the same.
    let flops = |name: &str| mean(name, Quantity::Flops).unwrap();
    assert!(flops("lora") < flops("full") && flops("lora") > flops("full") / 2.0);
    assert_eq!(row("lora-grades").paired_with_lora[&Quantity::EvalLoss].n, 2);
    assert_eq!(row("lora-grades").monitoring.unwrap().pairs, 2);
    for word in ["dev loss", "dev exact match", "test loss"] {
        assert!(ran.stdout.contains(word), "{}", ran.stdout);
    }
    assert!(!ran.stdout.contains("accuracy"), "{}", ran.stdout);
}
