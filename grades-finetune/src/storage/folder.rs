//! Folders that appear whole or not at all.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use grades_models::files::atomic::{SUFFIX, sync_folder, with_path};
use rustix::fs::{CWD, RenameFlags, renameat_with};

/// A folder being filled under a temporary name beside its destination; dropping it removes the temporary folder.
#[derive(Debug)]
pub struct AtomicFolder {
    temporary: PathBuf,
    destination: PathBuf,
    armed: bool,
}

impl AtomicFolder {
    /// Makes a temporary folder beside `destination`, whose own folder must exist.
    ///
    /// # Errors
    ///
    /// The system's error, with the destination in its text.
    pub fn create(destination: &Path) -> io::Result<Self> {
        let temporary = beside(destination, "new")?;
        match std::fs::create_dir(&temporary) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // Left over by a killed process that had the same id.
                std::fs::remove_dir_all(&temporary)?;
                std::fs::create_dir(&temporary)
            }
            made => made,
        }
        .map_err(|error| with_path(error, destination))?;
        Ok(Self { temporary, destination: destination.to_path_buf(), armed: true })
    }

    /// Returns the temporary folder; the caller flushes the files in it to the disk.
    pub fn path(&self) -> &Path {
        &self.temporary
    }

    /// Renames the folder to its destination; a folder of that name is replaced in one step, where the file system can.
    ///
    /// # Errors
    ///
    /// The system's error, with the destination in its text.
    pub fn commit(mut self) -> io::Result<()> {
        let named = |error| with_path(error, &self.destination);
        // Some file systems refuse to sync a folder; its files are on the disk by now.
        let _ = File::open(&self.temporary).and_then(|folder| folder.sync_all());
        if self.destination.symlink_metadata().is_ok() {
            if exchange(&self.temporary, &self.destination) {
                // Dropping it removes the old folder, which now has the temporary name.
                return sync_folder(&self.destination);
            }
            remove_whole(&self.destination)?;
        }
        std::fs::rename(&self.temporary, &self.destination).map_err(named)?;
        self.armed = false;
        sync_folder(&self.destination)
    }
}

impl Drop for AtomicFolder {
    fn drop(&mut self) {
        if self.armed {
            // A drop cannot return a failure; the files only cost space.
            let _ = discard(&self.temporary);
        }
    }
}

/// Exchanges the names of two folders in one step; returns whether it did.
fn exchange(one: &Path, other: &Path) -> bool {
    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).is_ok()
}

/// Removes a folder so that a crash in between leaves it whole or under a temporary name.
///
/// # Errors
///
/// The system's error, with the path in its text; the rest of a folder that cannot be removed has the temporary name.
pub fn remove_whole(folder: &Path) -> io::Result<()> {
    let aside = beside(folder, "old")?;
    std::fs::rename(folder, &aside).map_err(|error| with_path(error, folder))?;
    discard(&aside).map_err(|error| with_path(error, &aside))
}

/// Removes the temporary files and folders that killed processes left in a folder; no other process may write there.
/// Returns the error of each that stays, with its path in the text.
pub fn sweep(folder: &Path) -> Vec<io::Error> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => return vec![with_path(error, folder)],
    };
    let swept = entries.map(|entry| {
        let entry = entry.map_err(|error| with_path(error, folder))?;
        match is_temporary(&entry.file_name().to_string_lossy()) {
            true => discard(&entry.path()).map_err(|error| with_path(error, &entry.path())),
            false => Ok(()),
        }
    });
    swept.filter_map(Result::err).collect()
}

/// Returns whether a name is one under which this program fills a file or a folder.
fn is_temporary(name: &str) -> bool {
    // Earlier versions left the suffix out where they wrote adapters and optimizers: six random letters ended the name.
    let is_of_earlier_version = |prefix: &str| {
        let random = name.strip_prefix(prefix);
        random.is_some_and(|random| random.len() == 6 && random.chars().all(|c| c.is_ascii_alphanumeric()))
    };
    name.starts_with('.') && name.ends_with(SUFFIX)
        || [".adapter", ".checkpoint-"].iter().any(|prefix| is_of_earlier_version(prefix))
}

/// Removes a folder, a file or a link, not what the link leads to.
fn discard(path: &Path) -> io::Result<()> {
    if path.symlink_metadata()?.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }
}

fn beside(destination: &Path, what: &str) -> io::Result<PathBuf> {
    let name = destination.file_name().map(OsStr::to_os_string).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("{} names no folder", destination.display()))
    })?;
    let mut temporary = OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}-{what}{SUFFIX}", std::process::id()));
    Ok(destination.with_file_name(temporary))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the names in a folder, sorted.
    fn names(dir: &Path) -> Vec<OsString> {
        let mut names: Vec<OsString> =
            std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_folder_appears_when_it_is_whole_and_replaces_an_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        for text in ["one", "two"] {
            let folder = AtomicFolder::create(&path).unwrap();
            std::fs::write(folder.path().join(text), text).unwrap();
            assert_eq!(path.exists(), text == "two");
            folder.commit().unwrap();
            assert_eq!((names(dir.path()), names(&path)), (vec!["a".into()], vec![text.into()]));
        }
        drop(AtomicFolder::create(&path).unwrap());
        assert_eq!(names(dir.path()), ["a"]);
        remove_whole(&path).unwrap();
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn leftovers_of_a_killed_process_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        std::mem::forget(AtomicFolder::create(&dir.path().join("a")).unwrap());
        std::fs::write(dir.path().join(".b.1-0.tmp"), "").unwrap();
        std::os::unix::fs::symlink("/", dir.path().join(".c.tmp")).unwrap();
        for name in [".adapterXy12ab", ".checkpoint-Xy12ab", ".kept", ".adapter_notes", ".adapters"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        assert!(sweep(dir.path()).is_empty());
        assert_eq!(names(dir.path()), [".adapter_notes", ".adapters", ".kept"]);
        let error = sweep(&dir.path().join("gone")).remove(0).to_string();
        assert!(error.contains("gone"), "{error}");
    }
}
