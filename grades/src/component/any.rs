//! The layout `any`: two-dimensional weights in numbered blocks, whatever they are called.

use super::{ComponentKind, ParameterInfo, PatternMatch};

/// The name by which a configuration asks for it.
pub(super) const NAME: &str = "any";

/// Reads a parameter: a weight of two dimensions whose name has the number of a block is a component.
///
/// The block is the first part of the name that is a number, such as 3 in `blocks.3.wq.weight`, or else the number at
/// the end of an enclosing module's name, such as 3 in `block3.fc1.weight`.
pub(super) fn find(parameter: &ParameterInfo) -> Option<PatternMatch> {
    if parameter.shape.len() != 2 {
        return None;
    }
    let parts: Vec<&str> = parameter.name.split('.').collect();
    let enclosing = parts.get(..parts.len().saturating_sub(2)).unwrap_or_default();
    let number = parts.iter().find_map(|part| part.parse().ok());
    let layer: u32 = number.or_else(|| enclosing.iter().find_map(|part| number_at_end(part)))?;
    let component = parameter.name.strip_suffix(".weight").unwrap_or(&parameter.name).to_owned();
    Some(PatternMatch { kind: ComponentKind::Other, layer: Some(layer), component })
}

fn number_at_end(part: &str) -> Option<u32> {
    let start = part.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    part.get(start..)?.parse().ok()
}
