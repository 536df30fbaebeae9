//! A conversation to be rendered.

use serde::{Deserialize, Serialize};

use super::date::Date;
use crate::data::sequence::message::Variables;

/// The variables of a conversation, and how it is rendered.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Conversation {
    /// The variables that the template sees.
    pub(super) context: Variables,
    /// Whether the template for tools is used, where there is one.
    pub(super) tools: bool,
    /// The date that `strftime_now` writes.
    pub(super) date: Option<Date>,
}
