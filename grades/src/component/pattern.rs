//! Patterns that say what a parameter is, by its name.

use regex::Regex;

use super::ComponentKind;

/// A regular expression over parameter names, and the kind of what it matches.
///
/// The expression is matched against the whole name. Two named groups are read: `layer` is the number
/// of the transformer block, `component` the name under which matrices that freeze together are gathered.
///
/// ```
/// use grades::component::{ComponentKind, ComponentPattern};
///
/// let pattern = ComponentPattern::new(r"blocks\.(?<layer>\d+)\.wq\.weight", ComponentKind::Query)?;
/// let found = pattern.find("blocks.3.wq.weight").ok_or("no match")?;
/// assert_eq!((found.kind, found.layer), (ComponentKind::Query, Some(3)));
/// assert!(pattern.find("blocks.3.wq.weight_scale").is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct ComponentPattern {
    source: String,
    regex: Regex,
    kind: ComponentKind,
}

/// The kind, block and component that a pattern reads from a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternMatch {
    /// The kind that the pattern stands for.
    pub kind: ComponentKind,
    /// The transformer block, where the pattern captures one.
    pub layer: Option<u32>,
    /// The component's name: the group `component`, or the parameter's name without `.weight`.
    pub component: String,
}

impl ComponentPattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    ///
    /// The message of the regular expression's parser.
    pub fn new(source: &str, kind: ComponentKind) -> Result<Self, String> {
        // A pattern that is wrong on its own must not become right by being wrapped.
        Regex::new(source).map_err(|error| error.to_string())?;
        let regex = Regex::new(&format!("^(?:{source})$")).map_err(|error| error.to_string())?;
        Ok(Self { source: source.to_owned(), regex, kind })
    }

    /// Returns the expression as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Returns the kind of what it matches.
    pub fn kind(&self) -> ComponentKind {
        self.kind
    }

    /// Reads a parameter's name; `None` when the pattern does not match all of it.
    pub fn find(&self, name: &str) -> Option<PatternMatch> {
        let captures = self.regex.captures(name)?;
        let layer = captures.name("layer").and_then(|layer| layer.as_str().parse().ok());
        let component = match captures.name("component") {
            Some(component) => component.as_str(),
            None => name.strip_suffix(".weight").unwrap_or(name),
        };
        Some(PatternMatch { kind: self.kind, layer, component: component.to_owned() })
    }
}
