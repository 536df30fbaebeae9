//! Whether a file is still the one that it was.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// The checksum of a file, or where it is large that of its length and its ends.
///
/// # Errors
///
/// When the file cannot be read.
pub fn fingerprint(path: &Path) -> io::Result<String> {
    const END: u64 = 8 << 20;
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut hasher = crc32fast::Hasher::new();
    let mut bytes = Vec::new();
    if length > 2 * END {
        hasher.update(&length.to_le_bytes());
        (&mut file).take(END).read_to_end(&mut bytes)?;
        file.seek(SeekFrom::Start(length - END))?;
    }
    file.read_to_end(&mut bytes)?;
    hasher.update(&bytes);
    Ok(format!("{:08x}", hasher.finalize()))
}
