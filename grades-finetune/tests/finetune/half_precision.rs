//! Half precision: bf16 weights with master copies, autocast, and the choice of `dtype = "auto"`.

use serde_json::Value;

use crate::decoder::{llama, losses};
use crate::support::Folder;

#[test]
fn bf16_trains_in_its_own_kind_and_under_autocast_in_f32() {
    let folder = llama();
    for (set, dtype) in [("model.dtype=bf16", "bfloat16"), ("model.autocast=true", "float32")] {
        let mut sets = vec![set, "training.epochs=30"];
        if set == "model.autocast=true" {
            sets.push("training.activation_checkpointing=true");
        }
        let run = folder.run(&sets);
        let config: Value = serde_json::from_slice(&run.files.bytes("model/config.json")).unwrap();
        assert_eq!(config["dtype"], dtype);
        let losses = losses(&run);
        assert!(losses[29] < 0.5 * losses[0], "{set}: {losses:?}");
    }
}

/// The losses of 30 steps of the tiny Llama with rates so small that bf16 weights do not move.
fn losses_at_a_small_rate(folder: &Folder, sets: &[&str]) -> Vec<f64> {
    let common = ["training.epochs=30", "optimizer.lr=2e-5", "optimizer.weight_decay=0.0"];
    losses(&folder.run(&[&common, sets].concat()))
}

#[test]
fn bf16_weights_train_as_f32_ones_do_through_their_master_copies() {
    let folder = llama();
    let single = losses_at_a_small_rate(&folder, &[]);
    let fell = single[0] - single[29];
    assert!(fell > 0.0, "{single:?}");
    let masters = losses_at_a_small_rate(&folder, &["model.dtype=bf16"]);
    let autocast = losses_at_a_small_rate(&folder, &["model.autocast=true"]);
    for half in [masters, autocast] {
        let own = half[0] - half[29];
        assert!((own / fell - 1.0).abs() < 0.3, "f32 {single:?}, bf16 {half:?}");
    }
    let run = folder.run(&["model.dtype=bf16", "optimizer.master_weights=false"]);
    assert!(run.log.notes.iter().any(|note| note.contains("is lost")), "{:?}", run.log.notes);
    let run = folder.run(&["optimizer.master_weights=false"]);
    let nothing = "optimizer.master_weights = false has no effect";
    assert!(run.log.notes.iter().any(|note| note.contains(nothing)), "{:?}", run.log.notes);
}

#[test]
fn adapters_train_under_autocast() {
    let folder = llama();
    let sets = ["lora.r=2", "training.epochs=30"];
    let single = losses(&folder.run(&sets));
    let half = losses(&folder.run(&[&sets[..], &["model.autocast=true"]].concat()));
    let fell = single[0] - single[29];
    assert!(fell > 0.0 && ((half[0] - half[29]) / fell - 1.0).abs() < 0.3, "{single:?} {half:?}");
}

#[test]
fn auto_is_f32_weights_and_says_how_they_are_multiplied() {
    let folder = llama();
    let run = folder.run(&["model.dtype=auto", "training.epochs=1"]);
    let chosen = "model.dtype = \"auto\": f32";
    assert!(run.log.notes.iter().any(|note| note.contains(chosen)), "{:?}", run.log.notes);
    let config = run.files.config();
    assert_eq!(config["model"]["dtype"].as_str(), Some("f32"), "the choice is written, for resumes");
    let error = folder.run_refused(&["model.dtype=f8"]);
    assert!(error.contains("model.dtype") && error.contains("bf16") && error.contains("auto"), "{error}");
}
