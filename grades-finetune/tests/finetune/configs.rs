//! Every configuration in `examples/configs` can be read.

use std::path::{Path, PathBuf};

use grades_finetune::config::{Document, RunConfig};
use grades_policies as _;

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            files.push(path);
        }
    }
    files
}

#[test]
fn every_configuration_can_be_read() {
    let all = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/configs"));
    assert!(all.len() >= 14, "{all:?}");
    for path in all {
        let document = Document::read(&path).unwrap();
        let config = RunConfig::read(document.table());
        assert!(config.is_ok(), "{}: {}", path.display(), config.unwrap_err());
    }
}
