//! The components of a model, found by the names of its parameters.

use std::collections::BTreeMap;

use super::config::LayoutChoice;
use super::{AdapterGrouping, ComponentConfig, ComponentKind, Layout, PatternMatch};
use crate::error::{Error, Result};

/// A parameter as far as its name and shape tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterInfo {
    /// The name, parts separated by dots.
    pub name: String,
    /// The size of each dimension.
    pub shape: Vec<i64>,
}

impl ParameterInfo {
    /// A parameter of this name and shape.
    pub fn new(name: impl Into<String>, shape: impl Into<Vec<i64>>) -> Self {
        Self { name: name.into(), shape: shape.into() }
    }

    /// How many numbers it holds.
    pub fn elements(&self) -> u64 {
        self.shape.iter().map(|size| size.unsigned_abs()).product()
    }
}

/// What freezes as one: a weight matrix, or the matrices of one adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    /// The name: that of its parameter without `.weight`, unless a pattern says otherwise.
    pub name: String,
    /// Its role.
    pub kind: ComponentKind,
    /// The transformer block that it belongs to.
    pub layer: Option<u32>,
    /// Its parameters, as positions in the list that the map was made from.
    pub parameters: Vec<usize>,
    /// How many numbers it holds.
    pub elements: u64,
}

impl Component {
    /// Creates a component without parameters, to try out a policy.
    pub fn detached(name: &str, kind: ComponentKind, layer: Option<u32>, elements: u64) -> Self {
        Self { name: name.to_owned(), kind, layer, parameters: Vec::new(), elements }
    }
}

/// A parameter that belongs to no component, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The parameter's name.
    pub name: String,
    /// What it was taken for.
    pub kind: ComponentKind,
    /// The transformer block, where one is known.
    pub layer: Option<u32>,
    /// Why it is not tracked.
    pub reason: String,
}

/// The components of a model in a fixed order: by layer, kind and name.
///
/// ```
/// use grades::component::{ComponentConfig, ComponentMap, ParameterInfo};
///
/// let parameters = [
///     ParameterInfo::new("model.layers.0.self_attn.q_proj.weight", [64, 64]),
///     ParameterInfo::new("model.layers.0.self_attn.q_proj.bias", [64]),
///     ParameterInfo::new("lm_head.weight", [1000, 64]),
/// ];
/// let map = ComponentMap::new(&parameters, &ComponentConfig::default())?;
/// assert_eq!(map.components().len(), 1);
/// assert_eq!(map.left_out().len(), 2); // the bias and the head
/// # Ok::<(), grades::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ComponentMap {
    layout: &'static str,
    components: Vec<Component>,
    left_out: Vec<LeftOut>,
}

/// What sorts the components, and of each the positions of its parameters and its size.
type Found = BTreeMap<(Option<u32>, ComponentKind, String), (Vec<usize>, u64)>;

impl ComponentMap {
    /// Sorts parameters into components.
    ///
    /// # Errors
    ///
    /// [`Error::NoComponents`] when nothing is left that could freeze, with the names that were seen.
    pub fn new(parameters: &[ParameterInfo], config: &ComponentConfig) -> Result<Self> {
        let layout = match config.layout {
            LayoutChoice::Named(layout) => Some(layout),
            LayoutChoice::None => None,
            LayoutChoice::Auto => detect(parameters, config),
        };
        let mut found = Found::new();
        let mut left_out = Vec::new();
        for (index, parameter) in parameters.iter().enumerate() {
            match classify(parameter, config, layout) {
                Ok(PatternMatch { kind, layer, component }) => {
                    let entry = found.entry((layer, kind, component)).or_default();
                    entry.0.push(index);
                    entry.1 += parameter.elements();
                }
                Err(reason) => left_out.push(reason),
            }
        }
        if found.is_empty() {
            return Err(nothing_found(parameters, config, layout, &left_out));
        }
        let components = found
            .into_iter()
            .map(|((layer, kind, name), (parameters, elements))| Component {
                name,
                kind,
                layer,
                parameters,
                elements,
            })
            .collect();
        Ok(Self { layout: layout.map_or("none", Layout::name), components, left_out })
    }

    /// The layout that was used: the one asked for, or the one detected.
    pub fn layout(&self) -> &'static str {
        self.layout
    }

    /// The components.
    pub fn components(&self) -> &[Component] {
        &self.components
    }

    /// The parameters that belong to none, each with the reason.
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }
}

fn classify(
    parameter: &ParameterInfo,
    config: &ComponentConfig,
    layout: Option<&Layout>,
) -> Result<PatternMatch, LeftOut> {
    let own = config.patterns.iter().rev().find_map(|pattern| pattern.find(&parameter.name));
    let built_in = || {
        let mut found = layout.unwrap_or(Layout::adapters()).find(&parameter.name)?;
        if found.kind == ComponentKind::Adapter && config.adapters == AdapterGrouping::Apart {
            found.component = parameter.name.strip_suffix(".weight").unwrap_or(&parameter.name).to_owned();
        }
        Some(found)
    };
    let found = own.or_else(built_in);
    let left_out = |kind, layer, reason| LeftOut { name: parameter.name.clone(), kind, layer, reason };
    let Some(found) = found else {
        return Err(left_out(ComponentKind::Other, None, "no pattern matches its name".to_owned()));
    };
    if let Some(pattern) = config.exclude.iter().find(|pattern| pattern.find(&parameter.name).is_some()) {
        return Err(left_out(found.kind, found.layer, format!("excluded by \"{}\"", pattern.source())));
    }
    if !config.track.contains(&found.kind) {
        return Err(left_out(found.kind, found.layer, format!("kind {} is not tracked", found.kind)));
    }
    Ok(found)
}

/// The layout under which the most parameters are tracked. All know the names of adapters, so where two track as many,
/// it is the one that knows what more parameters are, then the one that knows more names, then the earlier one.
fn detect(parameters: &[ParameterInfo], config: &ComponentConfig) -> Option<&'static Layout> {
    let known = |layout: &Layout| {
        let kinds = parameters.iter().filter_map(|parameter| layout.find(&parameter.name));
        kinds.fold((0, 0, 0), |(tracked, sorted, named), PatternMatch { kind, .. }| {
            let is_tracked = usize::from(config.track.contains(&kind));
            (tracked + is_tracked, sorted + usize::from(kind != ComponentKind::Other), named + 1)
        })
    };
    let mut best = None;
    let mut most = (0, usize::MAX, usize::MAX);
    for layout in Layout::all() {
        let found = known(layout);
        if found > most {
            (best, most) = (Some(layout), found);
        }
    }
    best
}

fn nothing_found(
    parameters: &[ParameterInfo],
    config: &ComponentConfig,
    layout: Option<&Layout>,
    left_out: &[LeftOut],
) -> Error {
    const SHOWN: usize = 12;
    let names = || parameters.iter().map(|parameter| parameter.name.as_str());
    let mut seen = names().take(SHOWN).collect::<Vec<_>>().join(", ");
    if parameters.is_empty() {
        seen = "none".to_owned();
    } else if parameters.len() > SHOWN {
        seen += &format!(", … and {} more", parameters.len() - SHOWN);
    }
    let untracked = left_out.iter().filter(|out| out.reason.ends_with("not tracked")).count();
    let is_excluded = |out: &&LeftOut| out.reason.starts_with("excluded");
    let excluded = left_out.iter().filter(is_excluded).count();
    let could_freeze =
        left_out.iter().filter(is_excluded).filter(|out| config.track.contains(&out.kind)).count();
    let reason = if parameters.is_empty() {
        "there is no trainable parameter".to_owned()
    } else if could_freeze > 0 {
        format!("all that could freeze is excluded ({could_freeze} parameters)")
    } else {
        let asked = match (&config.layout, layout) {
            (LayoutChoice::Named(layout), _) => format!("layout \"{}\"", layout.name()),
            (LayoutChoice::None, _) => "layout \"none\"".to_owned(),
            (LayoutChoice::Auto, Some(layout)) => format!("layout \"{}\" (detected)", layout.name()),
            (LayoutChoice::Auto, None) => {
                let all: Vec<_> = Layout::all().iter().map(Layout::name).collect();
                format!("none of the layouts {}", all.join(", "))
            }
        };
        format!(
            "{asked} and {} own patterns give no tracked component ({excluded} parameters are excluded, \
             {untracked} are of kinds not tracked); add [[freezing.components.patterns]] with match and kind",
            config.patterns.len()
        )
    };
    Error::NoComponents { reason, seen }
}
