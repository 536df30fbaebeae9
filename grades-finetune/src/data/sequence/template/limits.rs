//! Limits on the templates of strangers: a template may neither run for ever, nor use up the stack or the memory.

use std::cell::Cell;
use std::io;

/// The instructions that a template may run for one conversation, for which the texts that it makes pay as well;
/// published ones need some thousands.
pub(super) const FUEL: u64 = 1_000_000;

/// The longest template, in bytes; the longest published ones have 30,000.
const LONGEST_SOURCE: usize = 1 << 20;

/// The longest expression or statement, in bytes without its texts: each operator is a level of the parser's tree.
const LONGEST_TAG: usize = 8 << 10;

/// The most branches and blocks that may be open or follow each other: each is a level of the parser's tree.
const MOST_BRANCHES: usize = 1000;

/// Refuses sources that the parser cannot take.
///
/// # Errors
///
/// The limit that the template is beyond.
pub(super) fn check_source(source: &str) -> Result<(), String> {
    if source.len() > LONGEST_SOURCE {
        return Err(format!("it has {} bytes, more than {LONGEST_SOURCE}", source.len()));
    }
    let (mut rest, mut branches, mut deepest) = (source, 0usize, 0usize);
    let mut open = 0usize;
    while let Some(at) = rest.find('{') {
        let tag = &rest[at..];
        let close = match tag.as_bytes().get(1) {
            Some(b'{') => "}}",
            Some(b'%') => "%}",
            Some(b'#') => {
                rest = tag.find("#}").map_or("", |end| &tag[end + 2..]);
                continue;
            }
            _ => {
                rest = &tag[1..];
                continue;
            }
        };
        let (inside, end) = code(&tag[2..], close);
        if inside.len() > LONGEST_TAG {
            return Err(format!(
                "an expression or statement has {} bytes, more than {LONGEST_TAG}",
                inside.len()
            ));
        }
        let word = inside.trim_start_matches(['-', '+', ' ', '\n', '\t', '\r']);
        if close == "%}" {
            if word.starts_with("elif") {
                branches += 1;
            } else if word.starts_with("end") {
                open = open.saturating_sub(1);
            } else if ["if", "for", "macro", "filter", "call", "block", "with", "set"]
                .iter()
                .any(|name| word.starts_with(name))
            {
                // A `set` has an end only where it has no value.
                open += usize::from(!(word.starts_with("set") && word.contains('=')));
            }
            deepest = deepest.max(open);
        }
        if branches > MOST_BRANCHES || deepest > MOST_BRANCHES {
            return Err(format!("more than {MOST_BRANCHES} branches or blocks"));
        }
        rest = &tag[2 + end..];
    }
    Ok(())
}

/// Returns the code of a tag without its texts, and where it ends.
fn code(tag: &str, close: &str) -> (String, usize) {
    let mut out = String::new();
    let mut quote = None;
    let mut letters = tag.char_indices();
    while let Some((at, letter)) = letters.next() {
        match quote {
            Some(_) if letter == '\\' => {
                letters.next();
            }
            Some(mark) => {
                if letter == mark {
                    quote = None;
                }
            }
            None if tag[at..].starts_with(close) => return (out, at + close.len()),
            None if letter == '"' || letter == '\'' => {
                quote = Some(letter);
                out.push(letter);
            }
            None => out.push(letter),
        }
    }
    (out, tag.len())
}

/// The longest conversation, in bytes, and the most that all values of it may take as text: lists that share parts may
/// be far longer than the template that made them.
const LONGEST: usize = 32 << 20;

thread_local! {
    /// The bytes of values as text that the template may still make.
    static BUDGET: Cell<usize> = const { Cell::new(0) };
}

/// Begins a conversation.
pub(super) fn begin() {
    BUDGET.set(LONGEST);
}

/// Counts a piece of a value's text; returns whether the template may make it.
pub(super) fn spend(bytes: usize) -> bool {
    // Even a piece without a byte takes time.
    const PIECE: usize = 64;
    let left = BUDGET.get().checked_sub(bytes.saturating_add(PIECE));
    BUDGET.set(left.unwrap_or(0));
    left.is_some()
}

/// Ends a template that writes on and on: a list that is printed pays for its length only afterwards, if at all.
#[derive(Default)]
pub(super) struct Limited {
    pub(super) text: Vec<u8>,
    pieces: u64,
}

impl io::Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // The text of an instruction is one piece, but for lists and maps, of whose elements each is one or more.
        self.pieces += 1;
        if self.text.len() + bytes.len() > LONGEST || self.pieces > FUEL {
            return Err(io::Error::other("its text is too long"));
        }
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
