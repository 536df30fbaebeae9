//! `finetune compare` of a decoder, whose evaluations have no accuracy.

use serde_json::json;

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
    let result = folder.json("runs/compare-base/compare.json");
    let row = |name: &str| result["rows"].as_array().unwrap().iter().find(|row| row["name"] == name).unwrap();
    let loss = row("full")["mean"]["eval_loss"].as_f64().unwrap();
    assert_eq!(result["target"], json!({"metric": "loss", "value": loss}));
    assert_eq!((&row("full")["mean"]["steps"], &row("full-es")["mean"]["steps"]), (&json!(4), &json!(2)));
    assert!(row("full")["mean"]["test_exact_match"].is_number());
    // Adapters have no weight gradients of the base, whose blocks are computed twice all the same.
    let flops = |name: &str| row(name)["mean"]["flops"].as_f64().unwrap();
    assert!(flops("lora") < flops("full") && flops("lora") > flops("full") / 2.0);
    assert!(row("lora-grades")["paired_with_lora"]["eval_loss"]["n"] == 2);
    assert_eq!(row("lora-grades")["monitoring"]["pairs"], 2);
    for word in ["dev loss", "dev exact match", "test loss"] {
        assert!(ran.stdout.contains(word), "{}", ran.stdout);
    }
    assert!(!ran.stdout.contains("accuracy"), "{}", ran.stdout);
}
