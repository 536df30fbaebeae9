//! Limits on the tokenizers of strangers: a normalizer may neither multiply a text without end, nor ask for memory that
//! its file does not have.

use serde_json::{Map, Value};

/// The most that a tokenizer may lengthen a text: published ones have 3 for `▁`, and 2 for each rule about spaces.
const LONGEST: u64 = 4096;

/// The most parts of one tokenizer.
const MOST_PARTS: usize = 1000;

/// Refuses a `tokenizer.json` that the library should not read.
///
/// # Errors
///
/// The reason.
pub(super) fn check(file: &Map<String, Value>) -> Result<(), String> {
    for part in ["normalizer", "pre_tokenizer", "post_processor", "decoder"] {
        let mut found = Found { factor: 1, parts: 0 };
        if let Some(value) = file.get(part) {
            found.add(value).map_err(|reason| format!("its {part} {reason}"))?;
        }
    }
    Ok(())
}

struct Found {
    factor: u64,
    parts: usize,
}

impl Found {
    fn add(&mut self, value: &Value) -> Result<(), String> {
        match value {
            Value::Array(list) => list.iter().try_for_each(|item| self.add(item)),
            Value::Object(object) => {
                self.one(object)?;
                object.values().try_for_each(|item| self.add(item))
            }
            _ => Ok(()),
        }
    }

    fn one(&mut self, object: &Map<String, Value>) -> Result<(), String> {
        let Some(kind) = object.get("type").and_then(Value::as_str) else { return Ok(()) };
        self.parts += 1;
        if self.parts > MOST_PARTS {
            return Err(format!("has more than {MOST_PARTS} parts"));
        }
        let length = |key: &str| object.get(key).and_then(Value::as_str).map_or(0, str::len) as u64;
        if kind == "Replace" {
            let text =
                object.get("pattern").and_then(|pattern| pattern.get("String")).and_then(Value::as_str);
            // A regular expression may match between all letters.
            let factor = match text.map_or(0, str::len) as u64 {
                0 => length("content") + 1,
                pattern => length("content").div_ceil(pattern),
            };
            self.factor = self.factor.saturating_mul(factor.max(1));
        }
        if self.factor > LONGEST || length("prepend") > LONGEST {
            return Err(format!("makes texts more than {LONGEST} times as long"));
        }
        if let Some(map) = object.get("precompiled_charsmap").and_then(Value::as_str) {
            let bytes = map.len() as u64 / 4 * 3;
            if declared_size(map).is_some_and(|size| u64::from(size) > bytes) {
                return Err("has a table of characters that is longer than itself".to_owned());
            }
        }
        Ok(())
    }
}

/// Returns the number that the first four bytes of a text in base64 stand for.
fn declared_size(base64: &str) -> Option<u32> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let bits = base64.bytes().take(6).map(digit).try_fold((0u64, 0u32), |(bits, count), digit| {
        digit.map(|digit| (bits << 6 | u64::from(digit), count + 6))
    });
    let (bits, count) = bits?;
    let bits = (count == 36).then_some(bits >> 4)?;
    u32::try_from(bits).ok().map(u32::swap_bytes)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    fn check(normalizer: serde_json::Value) -> Result<(), String> {
        super::check(json!({"normalizer": normalizer}).as_object().unwrap())
    }

    #[test]
    fn what_multiplies_texts_is_refused() {
        let replace = |text: &str| json!({"type": "Replace", "pattern": {"String": "a"}, "content": text});
        let sequence = |count| json!({"type": "Sequence", "normalizers": vec![replace("aaaaaaaa"); count]});
        assert_eq!(check(sequence(4)), Ok(()));
        assert!(check(sequence(5)).unwrap_err().contains("4096 times as long"));
        assert_eq!(check(replace("▁")), Ok(()));
        let everywhere = json!({"type": "Replace", "pattern": {"Regex": ""}, "content": "a".repeat(5000)});
        assert!(check(everywhere).is_err());
    }

    #[test]
    fn a_table_has_no_more_than_its_bytes() {
        assert_eq!(super::declared_size("BAAAAAEC"), Some(4));
        assert_eq!(super::declared_size("/////w=="), Some(u32::MAX));
        let table = |text: &str| json!({"type": "Precompiled", "precompiled_charsmap": text});
        assert_eq!(check(table("BAAAAAECAwQ=")), Ok(()));
        assert!(check(table("/////wAAAAA=")).unwrap_err().contains("longer than itself"));
    }
}
