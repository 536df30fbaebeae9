//! Explains why a directory is not a model directory, where the reason is known.

use std::path::{Component, Path};

/// Returns what a directory without `config.json` is, and what to do, as the end of a sentence.
pub(super) fn no_model_hint(dir: &Path) -> Option<String> {
    let shown = dir.display();
    if !dir.exists() {
        let parts: Vec<_> = dir.components().collect();
        let name = matches!(parts[..], [Component::Normal(_), Component::Normal(_)]);
        let folder = dir.file_name().unwrap_or_default().display();
        return name.then(|| {
            format!(
                "; if \"{shown}\" is a model on the Hugging Face Hub, download it and name the folder: \
                 huggingface-cli download {shown} --local-dir models/{folder}"
            )
        });
    }
    if dir.join("snapshots").is_dir() {
        let revision = grades_lora::read_regular_text(&dir.join("refs/main")).unwrap_or_default();
        let revision = if revision.trim().is_empty() { "REVISION" } else { revision.trim() };
        return Some(format!(
            "; it is a model's root in a Hub cache: name the snapshot in it, {shown}/snapshots/{revision}"
        ));
    }
    if dir.join("adapter_config.json").exists() {
        return Some("; it is an adapter: name its base model here".to_owned());
    }
    let mut entries = std::fs::read_dir(dir).ok()?.filter_map(Result::ok);
    let cached = entries.find(|entry| entry.file_name().to_string_lossy().starts_with("models--"))?;
    Some(format!(
        "; it is a Hub cache: name a snapshot of a model in it, such as {}/snapshots/REVISION",
        cached.path().display()
    ))
}
