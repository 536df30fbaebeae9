//! Ways to damage a file.

/// A reproducible stream of numbers (SplitMix64).
#[derive(Debug, Clone)]
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    /// A number below `usual`, or once in `rate` times below `rare`.
    pub(crate) fn seldom(&mut self, rate: usize, rare: usize, usual: usize) -> usize {
        let bound = if self.below(rate) == 0 { rare } else { usual };
        self.below(bound)
    }

    pub(crate) fn one<'a, T: ?Sized>(&mut self, list: &[&'a T]) -> &'a T {
        list[self.below(list.len())]
    }
}

/// Numbers and words that readers stumble over.
const ABSURD: [&str; 28] = [
    "0",
    "-1",
    "1",
    "2147483648",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "18446744073709551615",
    "1e308",
    "1e309",
    "-1e309",
    "1e-320",
    "NaN",
    "nan",
    "inf",
    "null",
    "true",
    "{}",
    "[]",
    "\"\"",
    "[[]]",
    "\"..\"",
    "0.5",
    "\"\u{0}\"",
    "\u{feff}",
    "99999999999999999999999999",
    "1000000",
];

/// A damaged copy: one to four changes, or now and then bytes of no meaning.
pub(crate) fn mutate(seed: &[u8], words: &[&str], numbers: &mut Numbers) -> Vec<u8> {
    if numbers.below(50) == 0 {
        let length = numbers.below(200);
        return (0..length).map(|_| numbers.next() as u8).collect();
    }
    let mut bytes = seed.to_vec();
    for _ in 0..=numbers.below(4) {
        change(&mut bytes, words, numbers);
    }
    bytes
}

fn change(bytes: &mut Vec<u8>, words: &[&str], numbers: &mut Numbers) {
    let place = numbers.below(bytes.len());
    let most = 1 << numbers.below(8);
    let length = (1 + numbers.below(most)).min(bytes.len() - place.min(bytes.len()));
    let span = place..place + length;
    match numbers.below(11) {
        0 | 1 if !bytes.is_empty() => bytes[place] ^= 1 << numbers.below(8),
        2 if !bytes.is_empty() => bytes[place] = numbers.next() as u8,
        3 => bytes.truncate(place),
        4 => drop(bytes.drain(span)),
        5 => {
            // Again, once or many times.
            let copies = 1 << numbers.below(6);
            let copied = bytes[span].repeat(copies);
            let _ = bytes.splice(place..place, copied);
        }
        6 => {
            let word = numbers.one(&ABSURD).as_bytes().to_vec();
            let _ = bytes.splice(place..place, word);
        }
        7 | 8 => replace_number(bytes, numbers),
        9 if !words.is_empty() => {
            let word = numbers.one(words).as_bytes().to_vec();
            let _ = bytes.splice(span, word);
        }
        _ => {
            // The first bytes are often a length.
            for byte in bytes.iter_mut().take(8) {
                if numbers.below(3) == 0 {
                    *byte = numbers.next() as u8;
                }
            }
        }
    }
}

/// Puts an absurd number in the place of one of the file's.
fn replace_number(bytes: &mut Vec<u8>, numbers: &mut Numbers) {
    let mut runs = Vec::new();
    let mut start = None;
    for (place, byte) in bytes.iter().enumerate() {
        match (byte.is_ascii_digit(), start) {
            (true, None) => start = Some(place),
            (false, Some(from)) => {
                runs.push(from..place);
                start = None;
            }
            _ => {}
        }
    }
    if !runs.is_empty() {
        let run = runs[numbers.below(runs.len())].clone();
        let word = numbers.one(&ABSURD).as_bytes().to_vec();
        let _ = bytes.splice(run, word);
    }
}
