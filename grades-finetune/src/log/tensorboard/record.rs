//! TFRecord: a length, its checksum, the bytes, their checksum.

/// Returns one record.
pub(super) fn record(bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u64).to_le_bytes();
    [&length, &masked(&length).to_le_bytes()[..], bytes, &masked(bytes).to_le_bytes()].concat()
}

/// Rotates and moves a CRC-32C as the format has it: a checksum of bytes that include their own checksum is weak.
fn masked(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_both_checksums() {
        // The result of `masked_crc32c` of tensorboard.compat.tensorflow_stub.pywrap_tensorflow (2.21.0) gives for
        // struct.pack("<Q", 3) and for b"abc".
        let expected = [&3u64.to_le_bytes()[..], &LENGTH_CHECK, b"abc", &BYTES_CHECK].concat();
        assert_eq!(record(b"abc"), expected);
    }

    const LENGTH_CHECK: [u8; 4] = [176, 153, 73, 14];
    const BYTES_CHECK: [u8; 4] = [110, 87, 241, 33];
}
