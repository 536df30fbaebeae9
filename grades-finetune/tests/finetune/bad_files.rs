//! Models and data that cannot be used: each is named, with what would do, and no run folder is made.

use serde_json::json;

use crate::support::{Folder, Tiny};

#[test]
fn a_model_folder_that_is_not_there_is_named() {
    let folder = Folder::new();
    let error = folder.run_refused(&["model.path=gone"]);
    let expected = "model.path: there is no directory gone; to fetch a model of the Hugging Face Hub: ";
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn weights_that_are_missing_or_cut_off_are_named() {
    let folder = Folder::new();
    let whole = folder.bytes("model/model.safetensors");
    folder.write("model/model.safetensors", &whole[..whole.len() / 2]);
    let error = folder.run_refused(&[]);
    let expected = format!(
        "model/model.safetensors ({} bytes) is not a whole safetensors file, it is cut off or damaged: ",
        whole.len() / 2
    );
    assert!(error.starts_with(&expected), "{error}");

    std::fs::remove_file(folder.path("model/model.safetensors")).unwrap();
    let error = folder.run_refused(&[]);
    assert_eq!(error, "model has neither model.safetensors nor model.safetensors.index.json");
    folder.write("model/pytorch_model.bin", "");
    let error = folder.run_refused(&[]);
    assert!(error.contains("save_pretrained()"), "{error}");
}

#[test]
fn a_model_of_another_kind_is_named() {
    let mut tiny = Tiny::base();
    tiny.config["model_type"] = json!("distilbert");
    let error = Folder::with(&tiny).run_refused(&[]);
    assert_eq!(
        error,
        "model/config.json: \"model_type\" is \"distilbert\", which is not supported; supported: bert, llama, mistral, qwen3, phi3"
    );
}

#[test]
fn a_tensor_of_another_shape_is_named() {
    let mut tiny = Tiny::base();
    tiny.add("encoder.layer.1.output.dense.weight", &[12, 8]);
    let error = Folder::with(&tiny).run_refused(&[]);
    assert_eq!(
        error,
        "model/model.safetensors: tensor \"encoder.layer.1.output.dense.weight\" has shape [12, 8], \
         config.json asks for [8, 12]"
    );
}

#[test]
fn a_tokenizer_that_is_missing_or_broken_is_named() {
    let folder = Folder::new();
    folder.write("model/tokenizer.json", "{");
    let error = folder.run_refused(&[]);
    assert!(error.starts_with("model/tokenizer.json: is no tokenizer: "), "{error}");
    std::fs::remove_file(folder.path("model/tokenizer.json")).unwrap();
    let error = folder.run_refused(&[]);
    assert_eq!(error, "cannot read model/tokenizer.json: No such file or directory (os error 2)");
}

#[test]
fn data_that_cannot_be_used_is_named() {
    let folder = Folder::new();
    folder.write("empty.tsv", "");
    folder.write("header.tsv", "sentence\tlabel\n");
    folder.write("short.tsv", "good film\tyes\nbad film\tno\ngood day\n");
    folder.write("one.tsv", "good film\tyes\ngood day\tyes\n");
    folder.write("named.tsv", "sentence\tlabel\ngood film\tyes\nbad film\tno\n");
    folder.write("data.txt", "good film\tyes\nbad film\tno\n");
    folder.write("latin.tsv", b"good film\tyes\nbad caf\xe9\tno\n");
    for (assignments, expected) in [
        (&["data.train=gone.tsv"][..], "cannot read gone.tsv: No such file or directory (os error 2)"),
        (&["data.train=empty.tsv"], "empty.tsv: has no examples"),
        (&["data.train=header.tsv"], "header.tsv: has a header but no examples"),
        (
            &["data.train=short.tsv"],
            "short.tsv:3: has one column only, for both text and label; found \"good day\"; line 1 has 2 cells",
        ),
        (
            &["data.train=short.tsv", "data.label=1"],
            "short.tsv:3: no column 1 for the label; the line has 1 column(s): \"good day\", line 1 has 2",
        ),
        (
            &["data.train=one.tsv"],
            "one.tsv: every example has the label \"yes\"; a classifier needs at least two",
        ),
        (
            &["data.train=named.tsv", "data.text=text"],
            "named.tsv:1: no column \"text\" for the text; the columns are \"sentence\", \"label\"",
        ),
        (
            &["data.train=data.txt"],
            "data.txt: the extension names no format; expected .tsv, .csv or .jsonl, or give the format",
        ),
        (
            &["data.train=latin.tsv"],
            "latin.tsv:2: not valid UTF-8, from byte 8 of the line or cell on; if the file is Latin-1, `iconv -f ISO-8859-1 \
             -t UTF-8 latin.tsv > utf8-latin.tsv` makes UTF-8 of it",
        ),
    ] {
        assert_eq!(folder.run_refused(assignments), expected);
    }
}

#[test]
fn labels_that_nobody_knows_are_named() {
    let folder = Folder::new();
    folder.write("dev.tsv", "good film\tyes\nfilm\tmaybe\n");
    assert_eq!(folder.run_refused(&[]), "dev.tsv:2: unknown label \"maybe\"; the known labels are no, yes");

    let folder = Folder::with(&Tiny::classifier());
    folder.write("train.tsv", "good film\t1\nbad film\t0\n");
    let error = folder.run_refused(&[]);
    assert_eq!(
        error,
        "model/config.json: the classifier in the weights has 2 labels (no, yes), the labels asked for are 2 \
         (0, 1); use the model's own labels, or ask for a new head (model.new_head = true)"
    );
}

#[test]
fn more_tokens_than_the_model_has_positions_are_refused() {
    let folder = Folder::new();
    let error = folder.run_refused(&["data.max_tokens=17"]);
    assert_eq!(error, "max_tokens = 17 is beyond the 16 positions of the model");
    folder.run(&["data.max_tokens=16", "training.max_steps=1"]);
}

#[test]
fn a_gpu_that_is_not_there_is_named() {
    // The program sees no GPU in these tests, whatever the machine has.
    let error = Folder::new().refused(&["--device", "cuda:7"]);
    assert_eq!(error, "model.device: cuda:7 is not there: libtorch sees 0 GPUs; `finetune doctor` says why");
}
