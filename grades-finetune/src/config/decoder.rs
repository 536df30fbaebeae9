//! What is asked of decoders alone.

use grades::schema::Section;
use serde::Serialize;

/// What a decoder is measured by besides its loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct EvaluationConfig {
    /// Answer each prompt greedily, and count the answers that are exactly the response.
    pub exact_match: bool,
    /// The longest of these answers, in tokens.
    pub max_new_tokens: usize,
}

impl Default for EvaluationConfig {
    fn default() -> Self {
        Self { exact_match: false, max_new_tokens: 64 }
    }
}

impl EvaluationConfig {
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let exact_match = section.flag_or("exact_match", false);
        let max_new_tokens = section.integer_or("max_new_tokens", 64, "at least 1", |number| number >= 1);
        let max_new_tokens = max_new_tokens.and_then(|number| usize::try_from(number).ok());
        Some(Self { exact_match: exact_match?, max_new_tokens: max_new_tokens? })
    }
}
