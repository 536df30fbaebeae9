//! The pages, from a template.

mod comparison;
mod run;
mod template;

pub(super) use comparison::comparison_page;
pub(super) use run::{outcome, run_page};
