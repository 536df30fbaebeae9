//! The `[evaluation]` table.

use grades::schema::field::{count, flag};
use grades::schema::table;
use serde::Serialize;

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
