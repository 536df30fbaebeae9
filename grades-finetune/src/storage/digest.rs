//! The length and the checksum of a file.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The length and CRC-32 of a file, to detect that it was damaged or changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Digest {
    bytes: u64,
    crc32: String,
}

impl Digest {
    /// Reads a file in chunks.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let mut hasher = crc32fast::Hasher::new();
        let mut chunk = vec![0; 1 << 20];
        let mut bytes = 0;
        loop {
            match file.read(&mut chunk)? {
                0 => break,
                count => {
                    bytes += count as u64;
                    hasher.update(chunk.get(..count).unwrap_or_default());
                }
            }
        }
        Ok(Self { bytes, crc32: format!("{:08x}", hasher.finalize()) })
    }

    /// Checks that a file has this digest; the error says what differs.
    pub(crate) fn check(&self, path: &Path) -> Result<(), String> {
        let unread = |error| format!("{} cannot be read: {error}", path.display());
        // The length first: a truncated file is not read at all.
        let bytes = path.symlink_metadata().map_err(unread)?.len();
        if bytes != self.bytes {
            return Err(format!("{} has {bytes} bytes, expected {}", path.display(), self.bytes));
        }
        let found = Self::of(path).map_err(unread)?;
        if found == *self {
            return Ok(());
        }
        Err(format!("the checksum of {} is {}, expected {}", path.display(), found.crc32, self.crc32))
    }
}
