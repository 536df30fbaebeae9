//! Makes a function of every Rust block of README and the book, so that the compiler checks them.
//!
//! A block is the body of a function that returns a result; `tests/book/prelude.rs` has what blocks may use without defining it.
//! A block that is a whole program, or does not belong into a function, stands behind a line that names it in `OUTSIDE`.

use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Blocks that are items: they are compiled as modules of their own.
const ITEMS: [&str; 2] = ["fn main()", "submit!"];

/// The names of the prelude's context, as variables of a block.
const BINDINGS: &str = "let Context { mut vs, mut optimizer, inner, config, batches, loss_of, schedule, planned_steps, step, step_batches } = context;";

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = vec![root.join("README.md")];
    let docs = root.join("docs");
    println!("cargo::rerun-if-changed={}", docs.display());
    files.extend(markdown(&docs));
    let mut code = String::new();
    for file in files {
        println!("cargo::rerun-if-changed={}", file.display());
        let Ok(text) = std::fs::read_to_string(&file) else { continue };
        for (line, block) in rust_blocks(&text) {
            let name = file
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .replace(['-', '.'], "_")
                .to_lowercase();
            let _ = if ITEMS.iter().any(|item| block.contains(item)) {
                writeln!(code, "mod {name}_{line} {{ use super::*; {block} }}")
            } else {
                writeln!(code, "fn {name}_{line}(context: Context) -> Done {{ {BINDINGS} {block}; Ok(()) }}")
            };
        }
    }
    let Some(out) = std::env::var_os("OUT_DIR") else { return };
    if let Err(error) = std::fs::write(PathBuf::from(out).join("book.rs"), code) {
        println!("cargo::error=the blocks of the book cannot be written: {error}");
    }
}

/// The Markdown files of a folder, sorted.
fn markdown(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "md"))
        .collect();
    files.sort();
    files
}

/// The blocks marked `rust`, each with the number of its first line.
fn rust_blocks(text: &str) -> Vec<(usize, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (index, line) in text.lines().enumerate() {
        match &mut open {
            None if line == "```rust" => open = Some((index + 2, String::new())),
            None => {}
            Some(_) if line == "```" => blocks.extend(open.take()),
            Some((_, block)) => {
                block.push_str(line);
                block.push('\n');
            }
        }
    }
    blocks
}
