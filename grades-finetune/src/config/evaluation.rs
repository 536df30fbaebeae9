//! The `[evaluation]` table.

use serde::Serialize;

use super::field::{count, flag};
use super::table::table;

table! {
    /// The measures of a decoder besides its loss.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
    pub struct EvaluationConfig = "evaluation" {
        /// Answer each prompt greedily and count the answers that are exactly the response.
        exact_match: bool = flag(false),
        /// The longest of these answers, in tokens.
        max_new_tokens: usize = count(64, 1),
    }
}
