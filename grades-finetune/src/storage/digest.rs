//! Checksums of files, which detect damage and changes.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use grades_lora::open_regular;
use serde::{Deserialize, Serialize};

/// Returns the CRC-32 of bytes as eight hexadecimal digits.
pub fn checksum(bytes: &[u8]) -> String {
    hex(crc32fast::hash(bytes))
}

/// Returns a cheap checksum that detects a changed file: of a large file, that of its length and its two ends.
///
/// # Errors
///
/// When the file cannot be read.
pub fn fingerprint(path: &Path) -> io::Result<String> {
    const END: u64 = 8 << 20;
    let mut file = open_regular(path)?;
    let length = file.metadata()?.len();
    let mut hasher = crc32fast::Hasher::new();
    if length > 2 * END {
        hasher.update(&length.to_le_bytes());
        hash(&mut (&mut file).take(END), &mut hasher)?;
        file.seek(SeekFrom::Start(length - END))?;
    }
    hash(&mut file, &mut hasher)?;
    Ok(hex(hasher.finalize()))
}

/// The length and the checksum of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Digest {
    bytes: u64,
    crc32: String,
}

impl Digest {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn of(path: &Path) -> io::Result<Self> {
        let mut digest = RunningDigest::default();
        digest.read(&mut open_regular(path)?)?;
        Ok(digest.digest())
    }

    /// Returns the length in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the checksum, as eight hexadecimal digits.
    pub fn crc32(&self) -> &str {
        &self.crc32
    }

    /// Checks that a file has this digest.
    ///
    /// # Errors
    ///
    /// The difference, in words.
    pub fn check(&self, path: &Path) -> Result<(), String> {
        let unread = |error| format!("{} cannot be read: {error}", path.display());
        // The length first: a file that was cut off is not read at all.
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

/// The digest of bytes that are added a piece at a time.
#[derive(Debug, Clone, Default)]
pub struct RunningDigest {
    bytes: u64,
    hasher: crc32fast::Hasher,
}

impl RunningDigest {
    /// Reads the first bytes of a file, or the whole file where it is shorter.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn of_start(file: &mut impl Read, bytes: u64) -> io::Result<Self> {
        let mut digest = Self::default();
        digest.read(&mut file.take(bytes))?;
        Ok(digest)
    }

    /// Adds bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.hasher.update(bytes);
    }

    /// Returns the number of bytes so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the digest of the bytes so far.
    pub fn digest(&self) -> Digest {
        Digest { bytes: self.bytes, crc32: hex(self.hasher.clone().finalize()) }
    }

    fn read(&mut self, file: &mut impl Read) -> io::Result<()> {
        self.bytes += hash(file, &mut self.hasher)?;
        Ok(())
    }
}

fn hex(checksum: u32) -> String {
    format!("{checksum:08x}")
}

/// Hashes all that is left of a file, a piece at a time; returns the number of bytes.
fn hash(file: &mut impl Read, hasher: &mut crc32fast::Hasher) -> io::Result<u64> {
    let mut piece = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok(bytes),
            Ok(count) => {
                bytes += count as u64;
                hasher.update(piece.get(..count).unwrap_or_default());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_or_shortened_file_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, b"123456789").unwrap();
        let digest = Digest::of(&path).unwrap();
        assert_eq!(digest, Digest { bytes: 9, crc32: "cbf43926".to_owned() }); // the check value of CRC-32
        assert_eq!(
            (checksum(b"123456789"), fingerprint(&path).unwrap()),
            ("cbf43926".into(), "cbf43926".into())
        );
        assert_eq!(digest.check(&path), Ok(()));
        let start = RunningDigest::of_start(&mut open_regular(&path).unwrap(), 4).unwrap();
        let mut running = RunningDigest::default();
        [&b"12"[..], b"34"].into_iter().for_each(|piece| running.add(piece));
        assert_eq!((start.digest(), start.bytes()), (running.digest(), 4));
        running.add(b"56789");
        assert_eq!(running.digest(), digest);
        std::fs::write(&path, b"123456780").unwrap();
        assert!(digest.check(&path).unwrap_err().contains("expected cbf43926"));
        std::fs::write(&path, b"12345678").unwrap();
        assert!(digest.check(&path).unwrap_err().ends_with("has 8 bytes, expected 9"));
    }

    #[test]
    fn the_fingerprint_of_a_large_file_is_of_its_length_and_ends() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let mut bytes = vec![7; (16 << 20) + 3];
        let of = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            fingerprint(&path).unwrap()
        };
        let first = of(&bytes);
        assert_ne!(of(&bytes[1..]), first);
        bytes[8 << 20] = 0;
        assert_eq!(of(&bytes), first);
        bytes[0] = 0;
        assert_ne!(of(&bytes), first);
    }
}
