//! The random number generators of a run, and their states as text.

use tch::Device;

/// Lists the generators that a run on a device draws from, by their names in checkpoints.
pub(crate) fn generators(device: Device) -> impl Iterator<Item = (&'static str, Device)> {
    let on_device = if device.is_cuda() { Some(("cuda", device)) } else { None };
    std::iter::once(("cpu", Device::Cpu)).chain(on_device)
}

/// Writes bytes as hexadecimal digits.
pub(super) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads hexadecimal digits; `None` when they are none.
pub(super) fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = digits.as_bytes().chunks(2).map(|pair| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    });
    pairs.collect()
}
