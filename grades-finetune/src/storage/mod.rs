//! Writing files so that a crash, a full disk or a read-only folder never damages what was there before.
//!
//! A file is written under a temporary name in the destination's own folder, flushed to the disk and only
//! then renamed over the destination. Several files that belong together are all written first and
//! renamed afterwards with [`commit_all`], so that a full disk leaves the whole old set in place. A folder of files is made in the same way, as an [`AtomicFolder`].

mod digest;
mod folder;
mod lock;
mod named;
mod scratch;
mod space;

pub use digest::{Digest, RunningDigest, checksum, fingerprint};
pub use folder::{AtomicFolder, remove_whole, sweep};
pub use grades_models::files::atomic::{AtomicFile, Staged, commit_all, write_atomic};
pub use lock::Lock;
pub use named::write_named;
pub use scratch::ScratchFile;
pub use space::{free_space, used_space};
