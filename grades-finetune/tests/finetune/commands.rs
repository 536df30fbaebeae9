//! `finetune logits`, `policies` and `doctor`.

use grades::policy::PolicyRegistry;
use grades_models::bert::{BertClassifier, LoadOptions};
use grades_policies as _;
use tch::{Kind, Tensor};

use crate::support::{Folder, LINKED, Ran, Tiny, VOCABULARY};
use crate::tolerance::{TINY_BERT, assert_within};

fn logits(folder: &Folder, ids: &str) -> Ran {
    folder.write("ids.json", ids);
    folder.finetune(&["logits", "--model", "model", "--ids", "ids.json", "--out", "out.safetensors"])
}

#[test]
fn logits_are_those_of_the_model() {
    let folder = Folder::with(&Tiny::classifier());
    let lists: Vec<Vec<i64>> =
        (0..70).map(|i| (0..=i % 16).map(|j| (i * 7 + j * 3) % VOCABULARY).collect()).collect();
    let ran = logits(&folder, &serde_json::to_string(&lists).unwrap());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.stdout, "wrote [70, 2] logits to out.safetensors\n");
    let file = Tensor::read_safetensors(folder.path("out.safetensors")).unwrap();
    let [(name, found)] = &file[..] else { panic!("{file:?}") };
    assert_eq!((name.as_str(), found.kind(), found.size()), ("logits", Kind::Float, vec![70, 2]));

    // Each list alone: padding is without effect, and so are the limits of batches.
    let (model, _) = BertClassifier::load(&folder.path("model"), LoadOptions::default()).unwrap();
    for (list, found) in lists.iter().zip(found.unbind(0)) {
        let ids = Tensor::from_slice(list).unsqueeze(0);
        let alone = tch::no_grad(|| model.forward(&ids, &ids.ones_like(), false)).unwrap();
        let tolerance = TINY_BERT.tolerance(Kind::Float);
        assert_within(&found, &alone.squeeze_dim(0), tolerance, format!("{list:?}"));
    }
}

#[test]
fn the_logits_of_a_trained_model_can_be_asked_for() {
    let folder = Folder::new();
    folder.trained(&["--max-steps", "1"]);
    folder.write("ids.json", "[[2, 4, 3]]");
    let ran = folder.finetune(&[
        "logits",
        "--model",
        "runs/base/model",
        "--ids",
        "ids.json",
        "--out",
        "out.safetensors",
        "--device",
        "cpu",
    ]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "wrote [1, 2] logits to out.safetensors\n"));
}

#[test]
fn ids_that_cannot_be_used_are_named() {
    let folder = Folder::with(&Tiny::classifier());
    let long = format!("[[1], {:?}]", [1; 17]);
    let cases = [
        ("ids", "ids.json: expected a JSON list of lists of token ids, [[…], …]: expected value at line 1"),
        ("[1, 2]", "ids.json: expected a JSON list of lists of token ids, [[…], …]: invalid type: integer"),
        ("[]", "ids.json: the list is empty"),
        ("[[1], []]", "ids.json: list 1 has 0 ids; expected 1 to 16"),
        (&long, "ids.json: list 1 has 17 ids; expected 1 to 16"),
        ("[[1, 40]]", "ids.json: list 0 has the id 40; the vocabulary has 0 to 39"),
        ("[[-1]]", "ids.json: list 0 has the id -1; the vocabulary has 0 to 39"),
    ];
    for (ids, expected) in cases {
        let ran = logits(&folder, ids);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.error().starts_with(expected), "{ids}: {}", ran.error());
    }
    assert!(!folder.path("out.safetensors").exists());
    std::fs::remove_file(folder.path("ids.json")).unwrap();
    let arguments = ["logits", "--model", "model", "--ids", "ids.json", "--out", "gone/out.safetensors"];
    let error = folder.finetune(&arguments).error();
    assert_eq!(error, "cannot read ids.json: No such file or directory (os error 2)");
    folder.write("ids.json", "[[1]]");
    let error = folder.finetune(&arguments).error();
    assert_eq!(error, "cannot write gone/out.safetensors: No such file or directory (os error 2)");
}

#[test]
fn a_model_without_a_head_has_no_logits() {
    let mut tiny = Tiny::base();
    let error = |tiny: &Tiny| {
        let ran = logits(&Folder::with(tiny), "[[1]]");
        assert_eq!(ran.code, Some(1), "{ran:?}");
        ran.error()
    };
    let found = error(&tiny);
    assert!(found.starts_with("model/config.json: ") && found.contains("no classifier"), "{found}");
    tiny.config["id2label"] = serde_json::json!({"0": "no", "1": "yes"});
    assert_eq!(error(&tiny), "model has no classification head, so there are no logits to write");
}

#[test]
fn policies_are_listed_with_their_keys() {
    let ran = Folder::new().finetune(&["policies"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    let mut lines = ran.stdout.lines();
    for plugin in PolicyRegistry::linked().unwrap().plugins() {
        let words = |line: Option<&str>| {
            let (name, help) = line.unwrap().trim_start().split_once(' ').unwrap();
            (name.to_owned(), help.trim().to_owned())
        };
        assert_eq!(words(lines.next()), (plugin.name().to_owned(), plugin.summary().to_owned()));
        for key in plugin.keys() {
            assert_eq!(words(lines.next()), (key.name.to_owned(), key.line()));
        }
    }
    assert_eq!(lines.next(), None);
    for name in ["fixed-threshold", "patience"] {
        assert!(ran.stdout.contains(&format!("{name} ")), "{name} is not linked");
    }
    let floor = "the share of signal that counts as none (a share from 0 to 1; default: 0.005)";
    assert!(ran.stdout.to_lowercase().contains(floor), "{}", ran.stdout);
}

#[test]
fn doctor_tells_what_there_is() {
    let ran = Folder::new().finetune(&["doctor"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    let line = |start: &str| {
        let found = ran.stdout.lines().find(|line| line.starts_with(start));
        found.unwrap_or_else(|| panic!("no {start} in {}", ran.stdout)).to_owned()
    };
    assert!(line("finetune ").ends_with(env!("CARGO_PKG_VERSION")));
    assert!(line("libtorch ").contains(" 2."));
    let library = line("loaded from ");
    let library = library.trim_start_matches("loaded from").trim();
    assert!(std::path::Path::new(library).is_file(), "{library}");
    assert!(line("CPU ").ends_with(", 1 threads"));
    for kernel in ["adam_ ", "adamw_ ", "sgd_ "] {
        assert!(line(&format!("fused kernel     aten::_fused_{kernel}")).contains("CPU: yes"));
    }
    assert_eq!(line("policies "), format!("policies         {LINKED}"));

    // No device is visible to it, whatever the machine has; a reason is given.
    let cuda = ran.stdout.lines().rfind(|line| line.starts_with("CUDA ")).unwrap();
    let reason = cuda.split_once("not seen: ").unwrap_or_else(|| panic!("{cuda}")).1;
    let known = ["has no libtorch_cuda", "without CUDA", "no NVIDIA driver", "CUDA_VISIBLE_DEVICES"];
    assert!(known.iter().any(|part| reason.contains(part)), "{reason}");
}
