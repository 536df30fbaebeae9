//! The room on a file system.

use std::path::Path;

/// Returns the bytes that a user may still write to the file system of a folder; `None` where the system does not say.
pub fn free_space(folder: &Path) -> Option<u64> {
    let system = rustix::fs::statvfs(folder).ok()?;
    Some(system.f_bavail.saturating_mul(system.f_frsize))
}

/// Returns the bytes of a file, or of all files in a folder; what cannot be read counts nothing.
pub fn used_space(path: &Path) -> u64 {
    let Ok(metadata) = path.symlink_metadata() else { return 0 };
    if !metadata.is_dir() {
        return metadata.len();
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().filter_map(Result::ok);
    entries.map(|entry| used_space(&entry.path())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_measured() {
        let dir = tempfile::tempdir().unwrap();
        assert!(free_space(dir.path()).unwrap() > 0);
        assert_eq!(free_space(&dir.path().join("gone")), None);
        std::fs::create_dir(dir.path().join("a")).unwrap();
        std::fs::write(dir.path().join("a/one"), [0; 700]).unwrap();
        std::fs::write(dir.path().join("two"), [0; 50]).unwrap();
        std::os::unix::fs::symlink("/", dir.path().join("a/link")).unwrap();
        let link = dir.path().join("a/link").symlink_metadata().unwrap().len();
        assert_eq!((used_space(dir.path()), used_space(&dir.path().join("gone"))), (750 + link, 0));
    }
}
