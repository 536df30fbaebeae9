//! Says in one line what was understood of a decoder's data file.

use super::encode::Encoder;
use super::example::Examples;
use super::sequences::Sequences;
use crate::data::description::quoted;
use crate::data::error::Result;

/// Returns one line about the examples of a file: their keys, tokens, those that were cut, and the first with what is
/// predicted in it.
///
/// # Errors
///
/// [`Error::File`](crate::data::Error::File) when the tokenizer cannot decode.
pub fn describe(examples: &Examples, sequences: &Sequences, encoder: &Encoder) -> Result<String> {
    let tokens: usize = sequences.list.iter().map(|sequence| sequence.ids.len()).sum();
    let targets: usize = sequences.list.iter().map(|sequence| sequence.target_count()).sum();
    let mut parts = vec![
        format!("{} {}", examples.list.len(), examples.keys),
        format!("{} sequences of {tokens} tokens, {targets} of them predicted", sequences.len()),
        match sequences.truncated {
            0 => "none is cut".to_owned(),
            cut => format!("{cut} are cut"),
        },
    ];
    if sequences.skipped > 0 {
        parts.push(format!("{} too long ones are left out", sequences.skipped));
    }
    if let Some((sequence, target)) =
        sequences.list.first().and_then(|first| first.targets.first().map(|target| (first, target.clone())))
    {
        let part = |range| encoder.vocabulary.decode(sequence.ids.get(range).unwrap_or_default());
        let (given, predicted) = (part(0..target.start)?, part(target)?);
        parts.push(format!("first: {} → {}", quoted(&given), quoted(&predicted)));
    }
    let name = examples.path.file_name().unwrap_or_default().to_string_lossy();
    Ok(format!("{}: {}", name.escape_debug(), parts.join("; ")))
}
