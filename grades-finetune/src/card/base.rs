//! The base model of a run, as its card names it.

use std::path::Path;

use super::escape::hub_name;

/// A base model.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Base {
    /// Its name on the Hub where the path has that, else the name of its folder.
    pub(super) name: String,
    /// The keys of its own card that say how it is licensed.
    pub(super) licence: Vec<(&'static str, String)>,
}

/// The keys of a licence.
const KEYS: [&str; 3] = ["license", "license_name", "license_link"];

impl Base {
    /// Reads the name and the licence of the model in a folder.
    pub(super) fn of(model: &Path) -> Self {
        let card = grades_lora::read_regular_text(&model.join(super::FILE)).unwrap_or_default();
        Self { name: name(model), licence: licence(&card) }
    }
}

/// Returns the name of a model: `a/b` of `models--a--b/snapshots/…`, as the Hub's programs store it, else that of the folder.
fn name(model: &Path) -> String {
    let absolute = std::path::absolute(model).unwrap_or_else(|_| model.to_path_buf());
    let parts: Vec<String> =
        absolute.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
    let stored = parts.iter().rev().find_map(|part| part.strip_prefix("models--"));
    let name = match stored {
        Some(stored) => stored.split("--").filter_map(hub_name).collect::<Vec<_>>().join("/"),
        None => parts.last().and_then(|name| hub_name(name)).unwrap_or_default(),
    };
    if name.is_empty() { "base".to_owned() } else { name }
}

/// Reads the licence in the front matter of a card; empty where there is none.
fn licence(card: &str) -> Vec<(&'static str, String)> {
    let Some(rest) = card.strip_prefix("---") else { return Vec::new() };
    let lines = rest.lines().skip(1).take_while(|line| line.trim_end() != "---");
    let plain = |value: &str| {
        !value.is_empty() && value.chars().all(|c| c.is_ascii_alphanumeric() || "-._+/:".contains(c))
    };
    let found = lines.filter_map(|line| {
        let (key, value) = line.split_once(':')?;
        let key = KEYS.into_iter().find(|known| *known == key)?;
        let value = value.trim().trim_matches(['"', '\'']);
        plain(value).then(|| (key, value.to_owned()))
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_that_of_the_hub_or_of_the_folder() {
        assert_eq!(name(Path::new("models/all-MiniLM-L6-v2")), "all-MiniLM-L6-v2");
        assert_eq!(name(Path::new("/c/models--org--a-b/snapshots/12ab")), "org/a-b");
        assert_eq!(name(Path::new("/x/my \"model\"\n")), "my-model");
        assert_eq!(name(Path::new("/")), "base");
    }

    #[test]
    fn a_licence_is_only_what_the_base_says() {
        let card = "---\nlanguage: en\nlicense: \"apache-2.0\"\ntags:\n- license: mit\n---\nlicense: gpl\n";
        assert_eq!(licence(card), [("license", "apache-2.0".to_owned())]);
        let other = "---\r\nlicense: other\r\nlicense_link: https://x.org/l\r\nlicense_name: a b\r\n---\r\n";
        assert_eq!(
            licence(other),
            [("license", "other".to_owned()), ("license_link", "https://x.org/l".to_owned())]
        );
        assert!(licence("# A model\nlicense: mit\n").is_empty());
        assert!(licence("---\nlicense: [a, {b: c}]\n---\n").is_empty());
    }
}
