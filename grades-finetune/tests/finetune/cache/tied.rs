//! Embeddings that are the output matrix as well, once the first block is frozen.

use serde_json::json;

use super::{cache_flops, decoder, losses, steps, trained};
use crate::durable::broken::{Result, broken_off, resumed};

#[test]
fn each_setting_saves_what_it_can() {
    let folder = decoder(json!({"tie_word_embeddings": true, "pad_token_id": null}));
    for tied in ["keep", "head", "both"] {
        trained(&folder, tied, &[&format!("freezing.tied={tied}")]);
        let config = folder.toml(&format!("runs/{tied}/config.toml"));
        assert_eq!(config["freezing"]["tied"].as_str(), Some(tied));
    }
    let flops = |run| steps(&folder, run, |step| step.work.flops);
    let (keep, head, both) = (flops("keep"), flops("head"), flops("both"));
    assert_eq!((&keep[..2], &keep[..2]), (&head[..2], &both[..2]), "nothing is frozen yet");
    for step in 2..keep.len() {
        assert!(head[step] < keep[step], "step {step}: no backward pass below block 1");
        assert!(both[step] < head[step], "step {step}: no gradient of the head");
    }
    let saved = ["keep", "head", "both"].map(|run| cache_flops(&folder, run));
    assert_eq!(saved[..2], [0; 2], "the embedding moves");
    assert!(saved[2] > 0);
    let losses = |run: &str| losses(&folder, run);
    assert_eq!(losses("keep")[..3], losses("head")[..3]);
    assert_ne!(losses("keep")[3..], losses("head")[3..], "the input's part of the gradient is missing");
    assert_ne!(losses("head"), losses("both"));
}

#[test]
fn a_resumed_run_detaches_the_input_again() {
    for tied in ["head", "both"] {
        let folder = decoder(json!({"tie_word_embeddings": true, "pad_token_id": null}));
        let tied = format!("freezing.tied={tied}");
        trained(&folder, "whole", &[&tied, "checkpoint.every=3", "checkpoint.keep=99"]);
        let whole = Result::of(&folder, "whole");
        for step in [3, 9, 18] {
            broken_off(&folder, "whole", step, "copy");
            resumed(&folder, "copy");
            Result::of(&folder, "copy").assert_same(&whole, &format!("{tied} from step {step}"));
            std::fs::remove_dir_all(folder.path("runs/copy")).unwrap();
        }
    }
}
