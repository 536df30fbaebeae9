//! README and the book: their Rust compiles, their links lead somewhere, and README is a page.

// Clippy allows these in test functions, but not in the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

use regex::Regex;

mod prelude;

/// The Rust blocks, each a function that is compiled and not run.
#[allow(
    unused,
    clippy::all,
    clippy::pedantic,
    unreachable_pub,
    missing_docs,
    reason = "blocks are fragments"
)]
mod blocks {
    use super::prelude::*;

    include!(concat!(env!("OUT_DIR"), "/book.rs"));
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// All pages, with their text.
fn pages() -> Vec<(PathBuf, String)> {
    let mut files: Vec<PathBuf> = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"]
        .map(|name| root().join(name))
        .into();
    let docs = std::fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    files.extend(docs.filter(|path| path.extension().is_some_and(|end| end == "md")));
    files.into_iter().map(|path| (path.clone(), std::fs::read_to_string(path).unwrap())).collect()
}

/// The text without its code blocks.
fn prose(text: &str) -> String {
    let mut code = false;
    let keep = text.lines().filter(|line| {
        let fence = line.starts_with("```");
        code ^= fence;
        !code && !fence
    });
    keep.collect::<Vec<_>>().join("\n")
}

/// The anchor that a heading has in HTML.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.collect::<String>().trim().to_lowercase().replace(' ', "-")
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let mut checked = 0;
    for (page, text) in pages() {
        for found in link.captures_iter(&prose(&text)) {
            let target = found[1].to_owned();
            if target.starts_with("https://") || target.starts_with("http://") {
                continue;
            }
            let (file, heading) = target.split_once('#').unwrap_or((&target, ""));
            let path = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            assert!(path.exists(), "{}: the link {target} leads nowhere", page.display());
            if !heading.is_empty() {
                let other = std::fs::read_to_string(&path).unwrap();
                let known: Vec<String> = prose(&other)
                    .lines()
                    .filter(|line| line.starts_with('#'))
                    .map(|line| anchor(line.trim_start_matches('#')))
                    .collect();
                assert!(known.contains(&heading.to_owned()), "{}: {target}: no such heading", page.display());
            }
            checked += 1;
        }
    }
    assert!(checked > 40, "only {checked} links were found");
}

#[test]
fn the_book_lists_all_its_pages() {
    let summary = std::fs::read_to_string(root().join("docs/SUMMARY.md")).unwrap();
    for (page, _) in pages() {
        let name = page.file_name().unwrap().to_string_lossy().into_owned();
        if page.parent().unwrap().ends_with("docs") && name != "SUMMARY.md" {
            assert!(summary.contains(&format!("({name})")), "docs/SUMMARY.md does not list {name}");
        }
    }
}

#[test]
fn readme_is_a_page() {
    let lines = std::fs::read_to_string(root().join("README.md")).unwrap().lines().count();
    assert!(lines <= 150, "README.md has {lines} lines; 150 are the limit");
}
