//! The error for a model in which nothing could ever freeze, with a pattern to paste.

use std::collections::BTreeSet;

use super::config::LayoutChoice;
use super::{ComponentConfig, Layout, LeftOut, ParameterInfo};
use crate::error::Error;

/// Returns the error for parameters among which no component was found.
pub(super) fn nothing_found(
    parameters: &[ParameterInfo],
    config: &ComponentConfig,
    layout: Option<&Layout>,
    left_out: &[LeftOut],
) -> Error {
    const SHOWN: usize = 12;
    let mut seen =
        parameters.iter().take(SHOWN).map(|parameter| &*parameter.name).collect::<Vec<_>>().join(", ");
    if parameters.is_empty() {
        seen = "none".to_owned();
    } else if parameters.len() > SHOWN {
        seen += &format!(", … and {} more", parameters.len() - SHOWN);
    }
    let is_excluded = |out: &&LeftOut| out.reason.starts_with("excluded");
    let could_freeze =
        left_out.iter().filter(is_excluded).filter(|out| config.track.contains(&out.kind)).count();
    let reason = if parameters.is_empty() {
        "there is no trainable parameter".to_owned()
    } else if could_freeze > 0 {
        format!("all that could freeze is excluded ({})", counted(could_freeze, "parameter"))
    } else {
        let mut reason = format!("{} a parameter of this model that is tracked", names(config, layout));
        let excluded = left_out.iter().filter(is_excluded).count();
        if excluded > 0 {
            reason += &format!("; {} excluded", are(excluded));
        }
        reason + &untracked(left_out) + &suggestion(parameters)
    };
    Error::NoComponents { reason, seen }
}

/// Returns the subject and the verb of the error, such as "neither layout "llama" nor your 2 patterns name".
fn names(config: &ComponentConfig, layout: Option<&Layout>) -> String {
    let layouts = match (&config.layout, layout) {
        (LayoutChoice::Named(layout), _) => format!("layout \"{}\"", layout.name()),
        (LayoutChoice::None, _) => "layout \"none\"".to_owned(),
        (LayoutChoice::Any, _) => "layout \"any\"".to_owned(),
        (LayoutChoice::Auto, Some(layout)) => format!("layout \"{}\" (detected)", layout.name()),
        (LayoutChoice::Auto, None) => {
            let all: Vec<_> = Layout::all().iter().map(Layout::name).collect();
            let all = all.join(", ");
            return match config.patterns.len() {
                0 => format!("none of the layouts {all} names"),
                patterns => {
                    format!("neither the layouts {all} nor your {} name", counted(patterns, "pattern"))
                }
            };
        }
    };
    match config.patterns.len() {
        0 => format!("{layouts} does not name"),
        patterns => format!("neither {layouts} nor your {} name", counted(patterns, "pattern")),
    }
}

/// Returns the kinds of parameters that are known and not tracked, and the key that would track them.
fn untracked(left_out: &[LeftOut]) -> String {
    let untracked: Vec<&LeftOut> =
        left_out.iter().filter(|out| out.reason.ends_with("is not tracked")).collect();
    if untracked.is_empty() {
        return String::new();
    }
    let kinds: BTreeSet<&str> = untracked.iter().map(|out| out.kind.name()).collect();
    let kinds: Vec<String> = kinds.into_iter().map(|kind| format!("\"{kind}\"")).collect();
    format!("; {} of a kind that `track` lacks: {}", are(untracked.len()), kinds.join(", "))
}

/// Returns a table of patterns to paste, made from the names of the matrices.
fn suggestion(parameters: &[ParameterInfo]) -> String {
    const SHOWN: usize = 8;
    let matrices = parameters.iter().filter(|parameter| parameter.shape.len() == 2);
    let names: Vec<String> = matrices.take(SHOWN).map(|matrix| regex::escape(&matrix.name)).collect();
    let pattern = match names.as_slice() {
        [] => return String::new(),
        [only] => only.clone(),
        several => format!("(?:{})", several.join("|")),
    };
    format!(
        "; name your weight matrices with a pattern (kind is query, key, value, output, up, down, …):\n\n\
         [[freezing.components.patterns]]\nmatch = '{pattern}'\nkind = \"up\"\n"
    )
}

fn counted(number: usize, word: &str) -> String {
    if number == 1 { format!("1 {word}") } else { format!("{number} {word}s") }
}

fn are(number: usize) -> String {
    if number == 1 { "1 is".to_owned() } else { format!("{number} are") }
}
