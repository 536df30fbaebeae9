//! The model card of a run: `README.md` in the saved model.

use crate::support::{FREEZE_ALL, Folder, copy_folder};

/// The card of the run `base`: its front matter and its text.
fn card(folder: &Folder, saved: &str) -> (String, String) {
    let text = folder.text(&format!("runs/base/{saved}/README.md"));
    let (front, body) = text.strip_prefix("---\n").unwrap().split_once("\n---\n").unwrap();
    (front.to_owned(), body.to_owned())
}

#[test]
fn a_saved_model_has_a_card() {
    let folder = Folder::new();
    folder.write("model/README.md", "---\nlicense: apache-2.0\n---\n# The base\n");
    folder.run(&[FREEZE_ALL, "data.test=\"dev.tsv\""]);
    let (front, body) = card(&folder, "model");
    let accuracy = folder.files("base").summary().eval.accuracy.unwrap();
    let start = "base_model: \"model\"\nbase_model_relation: finetune\nlibrary_name: transformers\nlicense: \"apache-2.0\"\n\
                 pipeline_tag: text-classification\ndatasets:\n- ";
    assert!(front.starts_with(start), "{front}");
    assert!(
        front.contains("\nmetrics:\n- \"accuracy\"\n") && front.contains("\ntags:\n- \"grades\"\n"),
        "{front}"
    );
    let result =
        format!("split: validation\n    metrics:\n    - type: \"accuracy\"\n      value: {accuracy}\n");
    assert!(front.contains(&result), "{front}");
    assert!(front.contains("split: test\n"), "{front}");
    for part in [
        "# base\n\nA fine-tuned version of model on ",
        "ended with: all frozen after 2 of 6 steps.",
        "24 examples, 2 labels.\n\nLabels: no, yes.",
        &format!("| accuracy | {accuracy:.4} | {accuracy:.4} |"),
        "12 of 12 components froze by gradient-based early stopping (GradES).",
        "| query | 2 | 2 | 2 |",
        "[freezing.policy]\nname = \"fixed-threshold\"",
        "\nfinetune 0.",
    ] {
        assert!(body.contains(part), "{part} is missing: {body}");
    }
    // Absolute paths may name a person.
    assert!(!body.contains(&folder.path("").display().to_string()), "{body}");
}

#[test]
fn an_adapter_has_the_fields_of_peft() {
    let folder = Folder::new();
    folder.run(&["lora.r=2", "training.max_steps=1"]);
    let (front, body) = card(&folder, "adapter");
    assert!(front.starts_with("base_model: \"model\"\nlibrary_name: peft\npipeline_tag: "), "{front}");
    assert!(
        front.contains("tags:\n- \"base_model:adapter:model\"\n- \"lora\"\n- \"transformers\"\n"),
        "{front}"
    );
    assert!(!front.contains("license"), "the base names none: {front}");
    assert!(body.contains("A LoRA adapter of model on "), "{body}");
    assert!(body.contains("Freezing saved nothing: none of "), "{body}");
}

#[test]
fn names_of_others_are_only_text() {
    let folder = Folder::new();
    let name = "x\"\n---\nlicense: mit\n<script>|`[a](b)";
    copy_folder(&folder.path("model"), &folder.path(name));
    for file in ["train", "dev"] {
        let text = folder.text(&format!("{file}.tsv")).replace("\tyes", "\t<b>|yes: \"#");
        folder.write(&format!("{file}{name}.tsv"), text);
    }
    let set = |key: &str, value: String| format!("{key}={}", toml::Value::from(value));
    let run = folder.run(&[
        &set("model.path", name.to_owned()),
        &set("data.train", format!("train{name}.tsv")),
        &set("data.eval", format!("dev{name}.tsv")),
        &set("output.name", name.to_owned()),
        "training.max_steps=1",
    ]);
    let text = String::from_utf8(run.files.bytes("model/README.md")).unwrap();
    let (front, body) = text.strip_prefix("---\n").unwrap().split_once("\n---\n").unwrap();
    assert!(front.starts_with("base_model: \"x-license-mit-script-a-b\"\n"), "{front}");
    let expected = format!("\n- name: {}\n", serde_json::to_string(name).unwrap());
    assert!(front.contains(&expected.replace("\\n", "\\u000a")), "{front}");
    assert!(!front.lines().any(|line| line.starts_with("license") || line == "---"), "{front}");
    let title = "\n# x\\\"\\\\n---\\\\nlicense\\: mit\\\\n\\<script\\>\\|\\`\\[a\\]\\(b\\)\n";
    assert!(body.starts_with(title), "{body}");
    assert!(
        body.contains("Labels: \\<b\\>\\|yes\\: \\\"\\#, no.")
            || body.contains("Labels: no, \\<b\\>\\|yes\\: \\\"\\#."),
        "{body}"
    );
    let outside = body.split("```toml").next().unwrap();
    assert!(!outside.contains("<script>") && !outside.contains("<b>"), "{outside}");
}

#[test]
fn a_card_of_the_users_stays() {
    let folder = Folder::new();
    folder.run_until(2, &[]);
    let first = folder.text("runs/base/model/README.md");
    assert!(first.contains("ended with: interrupted after 2 of 6 steps"), "{first}");
    copy_folder(&folder.path("runs/base"), &folder.path("runs/own"));
    folder.write("runs/own/model/README.md", format!("{first}My own words.\n"));
    // A card that nobody has changed is that of the resumed run.
    folder.trained(&["--resume", "runs/base"]);
    let second = folder.text("runs/base/model/README.md");
    assert!(second.contains("ended with: all steps after 6 of 6 steps"), "{second}");
    folder.trained(&["--resume", "runs/own"]);
    assert_eq!(folder.text("runs/own/model/README.md"), format!("{first}My own words.\n"));
}
