//! Token ids of examples, with what is to be predicted in them.

/// Token ids, and which of them are to be predicted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    /// The token ids, at least two.
    pub ids: Vec<u32>,
    /// The ranges of those that are to be predicted: sorted, apart, none of them empty, none from 0.
    pub targets: Vec<std::ops::Range<usize>>,
}

impl Sequence {
    /// Returns the number of tokens to be predicted.
    pub fn target_count(&self) -> usize {
        self.targets.iter().map(ExactSizeIterator::len).sum()
    }

    /// Returns where the last answer begins.
    pub fn answer_start(&self) -> usize {
        self.targets.last().map_or(0, |range| range.start)
    }
}

/// A prompt with several responses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Each response after the prompt.
    pub choices: Vec<Choice>,
    /// The position of the right one.
    pub answer: usize,
}

/// One response of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The prompt and the response, which is to be predicted.
    pub sequence: Sequence,
    /// The length of the response's text in bytes, by which its likelihood is normalised.
    pub bytes: usize,
}

/// The encoded examples of a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sequences {
    /// The examples; of questions, the right choices.
    pub list: Vec<Sequence>,
    /// The questions, in the order of `list`; empty for other examples.
    pub questions: Vec<Question>,
    /// Whether the examples are prompts and responses, of which exact matches can be counted.
    pub answers: bool,
    /// How many were cut to the longest sequence.
    pub truncated: usize,
    /// How many were left out because they are too long.
    pub skipped: usize,
}

impl Sequences {
    /// Returns the number of examples.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Returns the number of tokens of each example.
    pub fn lengths(&self) -> Vec<usize> {
        self.list.iter().map(|sequence| sequence.ids.len()).collect()
    }
}
