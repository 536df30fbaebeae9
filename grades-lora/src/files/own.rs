//! Files that are a folder's own.

use std::io;
use std::path::{Path, PathBuf};

/// Returns the path of a file in a folder, once it is known that no link leads out of the folder.
///
/// A folder that comes from somewhere else could otherwise pass off any file of this machine as one of its own. Links are
/// followed within the folder, and from a snapshot of Hugging Face's cache to the `blobs` beside `snapshots`, which is how
/// that cache is laid out. The folder itself may be a link: whoever named it meant it.
///
/// ```
/// let folder = tempfile::tempdir()?;
/// std::fs::write(folder.path().join("own"), "")?;
/// assert!(grades_lora::own_file(folder.path(), "own").is_ok());
/// assert!(grades_lora::own_file(folder.path(), "../other").is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// [`InvalidInput`](io::ErrorKind::InvalidInput) for a name that is empty, absolute or has `..`, or a link that leads out;
/// the system's error when a link leads nowhere. A file that does not exist is no error.
pub fn own_file(folder: &Path, name: &str) -> io::Result<PathBuf> {
    let outside = |message: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, message.to_owned()));
    let plain = Path::new(name).components().all(|part| matches!(part, std::path::Component::Normal(_)));
    if !plain || name.is_empty() {
        return outside("it is outside the folder; expected a plain file name");
    }
    let path = folder.join(name);
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(path),
        found => found?,
    };
    let (target, inside) = (path.canonicalize()?, folder.canonicalize()?);
    // …/snapshots/REVISION beside …/blobs
    let snapshots = inside.parent().filter(|parent| parent.ends_with("snapshots"));
    let blobs = snapshots.and_then(Path::parent).map(|cache| cache.join("blobs"));
    if target.starts_with(&inside) || blobs.is_some_and(|blobs| target.starts_with(blobs)) {
        return Ok(path);
    }
    outside("it is a link that leads out of the folder; put the file itself there")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed_within_a_folder_and_a_cache_alone() {
        let dir = tempfile::tempdir().unwrap();
        let cache = dir.path().join("models--a--b");
        let folder = cache.join("snapshots/rev");
        for path in [&folder, &cache.join("blobs"), &cache.join("other")] {
            std::fs::create_dir_all(path).unwrap();
        }
        for name in ["blobs/x", "other/x", "snapshots/rev/own"] {
            std::fs::write(cache.join(name), "").unwrap();
        }
        struct Case<'a> {
            name: &'static str,
            target: &'a Path,
            fine: bool,
        }
        for Case { name, target, fine } in [
            Case { name: "a", target: "own".as_ref(), fine: true },
            Case { name: "b", target: "../../blobs/x".as_ref(), fine: true },
            Case { name: "c", target: "../../other/x".as_ref(), fine: false },
            Case { name: "d", target: cache.join("other/x").as_path(), fine: false },
            Case { name: "e", target: Path::new("/etc/passwd"), fine: false },
            Case { name: "f", target: "nowhere".as_ref(), fine: false },
            Case { name: "g", target: "../../other".as_ref(), fine: false },
        ] {
            symlink(target, folder.join(name)).unwrap();
            assert_eq!(own_file(&folder, name).is_ok(), fine, "{name}");
        }
        assert!(own_file(&folder, "g/x").is_err(), "a folder on the way may be a link as well");
        assert!(own_file(&folder, "missing").is_ok());
        // The folder itself may be a link, which is no reason to trust what is in it.
        symlink(&folder, dir.path().join("linked")).unwrap();
        assert!(own_file(&dir.path().join("linked"), "own").is_ok());
        assert!(own_file(&dir.path().join("linked"), "e").is_err());
        for name in ["", "..", "../own", "/etc/passwd", "a/../../x", "./own/.."] {
            assert!(own_file(&folder, name).is_err(), "{name}");
        }
    }
}
