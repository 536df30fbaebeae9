//! The names of tensors in a file.

/// PEFT's prefix of a module's name.
pub(super) const PREFIX: &str = "base_model.model.";

/// Returns a tensor's name without the prefix and the adapter's own name, which some writers leave in; `None` without
/// prefix.
pub(super) fn plain(key: &str) -> Option<String> {
    let name = key.strip_prefix(PREFIX)?;
    for part in [".lora_A", ".lora_B"] {
        if let Some((module, end)) = name.rsplit_once(part)
            && (end == ".weight" || is_named(end, ".weight"))
        {
            return Some(format!("{module}{part}.weight"));
        }
    }
    if let Some((module, end)) = name.rsplit_once(".lora_magnitude_vector")
        && (matches!(end, "" | ".weight") || is_named(end, "") || is_named(end, ".weight"))
    {
        return Some(format!("{module}.lora_magnitude_vector"));
    }
    Some(name.to_owned())
}

/// Returns whether a text is a dot, a name without dots, and this end.
fn is_named(text: &str, end: &str) -> bool {
    let name = text.strip_prefix('.').and_then(|text| text.strip_suffix(end));
    name.is_some_and(|name| !name.is_empty() && !name.contains('.'))
}

/// Returns whether a tensor is unused. With `bias = "all"` PEFT also writes the biases of what `modules_to_save`
/// replaced and, a second time, those of what replaced it; neither is used.
pub(super) fn is_unused(name: &str) -> bool {
    name.ends_with(".original_module.bias")
        || name.contains(".original_module.") && name.ends_with(".bias")
        || name.contains(".modules_to_save.") && name.ends_with(".bias")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_their_prefix_and_the_adapters_name() {
        let cases = [
            ("base_model.model.h.0.q.lora_A.weight", Some("h.0.q.lora_A.weight")),
            ("base_model.model.h.0.q.lora_B.default.weight", Some("h.0.q.lora_B.weight")),
            ("base_model.model.q.lora_magnitude_vector", Some("q.lora_magnitude_vector")),
            ("base_model.model.q.lora_magnitude_vector.mine", Some("q.lora_magnitude_vector")),
            ("base_model.model.q.lora_magnitude_vector.mine.weight", Some("q.lora_magnitude_vector")),
            ("base_model.model.q.lora_A.a.b.weight", Some("q.lora_A.a.b.weight")),
            ("base_model.model.q.lora_B.bias", Some("q.lora_B.bias")),
            ("base_model.model.classifier.weight", Some("classifier.weight")),
            ("h.0.q.lora_A.weight", None),
        ];
        for (key, expected) in cases {
            assert_eq!(plain(key).as_deref(), expected, "{key}");
        }
    }
}
