//! The components of a model, found by the names of its parameters.

use std::collections::BTreeMap;

use super::config::LayoutChoice;
use super::missing::nothing_found;
use super::parameter_info::{LeftOut, ParameterInfo};
use super::{AdapterGrouping, ComponentConfig, ComponentKind, Layout, PatternMatch, any};
use crate::error::{Problems, Result};

/// Parameters that freeze together: a weight matrix, or the matrices of one adapter.
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
    /// The number of its elements.
    pub elements: u64,
}

impl Component {
    /// Creates a component without parameters, to try out a policy.
    pub fn detached(name: &str, kind: ComponentKind, layer: Option<u32>, elements: u64) -> Self {
        Self { name: name.to_owned(), kind, layer, parameters: Vec::new(), elements }
    }
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
    /// Whether the layout was left to detection.
    detected: bool,
    components: Vec<Component>,
    left_out: Vec<LeftOut>,
}

/// The components by layer, kind and name, each with the positions of its parameters and its size.
type Found = BTreeMap<(Option<u32>, ComponentKind, String), (Vec<usize>, u64)>;

impl ComponentMap {
    /// Finds the components among parameters.
    ///
    /// # Errors
    ///
    /// [`Error::NoComponents`](crate::Error::NoComponents) when nothing is left that could freeze, with the names that
    /// were seen and a pattern to paste; [`Error::Config`](crate::Error::Config) when a pattern matches no parameter while
    /// others do.
    pub fn new(parameters: &[ParameterInfo], config: &ComponentConfig) -> Result<Self> {
        let layout = match config.layout {
            LayoutChoice::Named(layout) => Naming::Layout(Some(layout)),
            LayoutChoice::None => Naming::Layout(None),
            LayoutChoice::Any => Naming::Any,
            LayoutChoice::Auto => Naming::Layout(detect(parameters, config)),
        };
        let (mut found, mut left_out) = sort(parameters, config, layout);
        let mut used = layout;
        if found.is_empty() && falls_back(config, &left_out) {
            let (components, others) = sort(parameters, config, Naming::Any);
            if !components.is_empty() {
                (found, left_out, used) = (components, others, Naming::Any);
            }
        }
        if found.is_empty() {
            let layout = if let Naming::Layout(layout) = layout { layout } else { None };
            return Err(nothing_found(parameters, config, layout, &left_out));
        }
        check_patterns(parameters, config)?;
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
        let map = Self {
            layout: used.name(),
            detected: matches!(config.layout, LayoutChoice::Auto),
            components,
            left_out,
        };
        if let Some(note) = map.note() {
            tracing::info!(target: "grades", "{note}");
        }
        Ok(map)
    }

    /// Returns a line to show where no layout knows the model's names, so that the components were found by shape alone.
    ///
    /// ```
    /// use grades::component::{ComponentConfig, ComponentMap, ParameterInfo};
    ///
    /// let own = [ParameterInfo::new("blocks.0.wq.weight", [8, 8]), ParameterInfo::new("blocks.0.wq.bias", [8])];
    /// let map = ComponentMap::new(&own, &ComponentConfig::default())?;
    /// assert_eq!((map.layout(), map.components()[0].layer), ("any", Some(0)));
    /// assert!(map.note().is_some_and(|note| note.contains("two-dimensional")));
    /// # Ok::<(), grades::Error>(())
    /// ```
    pub fn note(&self) -> Option<String> {
        let found_by_shape = self.detected && self.layout == any::NAME;
        found_by_shape.then(|| {
            format!(
                "no layout knows this model's names: its {} two-dimensional weights in numbered blocks are the components \
                 (layout \"any\"); patterns in [[freezing.components.patterns]] give them kinds",
                self.components.len()
            )
        })
    }

    /// Returns the layout that was used: the one asked for, or the one detected.
    pub fn layout(&self) -> &'static str {
        self.layout
    }

    /// Returns the components.
    pub fn components(&self) -> &[Component] {
        &self.components
    }

    /// Returns the parameters that belong to none, each with the reason.
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }
}

/// The source of the names' meaning.
#[derive(Debug, Clone, Copy)]
enum Naming {
    /// A built-in layout, or the names of adapters alone.
    Layout(Option<&'static Layout>),
    /// Numbered blocks and shapes.
    Any,
}

impl Naming {
    fn name(self) -> &'static str {
        match self {
            Self::Layout(layout) => layout.map_or("none", Layout::name),
            Self::Any => any::NAME,
        }
    }

    fn find(self, parameter: &ParameterInfo) -> Option<PatternMatch> {
        match self {
            Self::Layout(layout) => layout.unwrap_or(Layout::adapters()).find(&parameter.name),
            Self::Any => Layout::adapters().find(&parameter.name).or_else(|| any::find(parameter)),
        }
    }
}

/// Sorts parameters into components and those that belong to none.
fn sort(parameters: &[ParameterInfo], config: &ComponentConfig, naming: Naming) -> (Found, Vec<LeftOut>) {
    let mut found = Found::new();
    let mut left_out = Vec::new();
    for (index, parameter) in parameters.iter().enumerate() {
        match classify(parameter, config, naming) {
            Ok(PatternMatch { kind, layer, component }) => {
                let entry = found.entry((layer, kind, component)).or_default();
                entry.0.push(index);
                entry.1 += parameter.elements();
            }
            Err(reason) => left_out.push(reason),
        }
    }
    (found, left_out)
}

/// Returns whether the layout `any` is tried: only with automatic detection, not against the user's own choice of kinds,
/// and not where the user excluded what could freeze.
fn falls_back(config: &ComponentConfig, left_out: &[LeftOut]) -> bool {
    let chosen = config.track != ComponentConfig::default().track;
    let excludes =
        left_out.iter().any(|out| out.reason.starts_with("excluded") && config.track.contains(&out.kind));
    matches!(config.layout, LayoutChoice::Auto)
        && config.patterns.is_empty()
        && !excludes
        && (!chosen || config.track.contains(&ComponentKind::Other))
}

/// Checks that every pattern of the user's matches a parameter.
fn check_patterns(parameters: &[ParameterInfo], config: &ComponentConfig) -> Result<()> {
    let mut problems = Problems::default();
    for (index, pattern) in config.patterns.iter().enumerate() {
        if !parameters.iter().any(|parameter| pattern.find(&parameter.name).is_some()) {
            problems.push(
                format!("freezing.components.patterns[{index}].match"),
                format!(
                    "\"{}\" matches none of the {} trainable parameters",
                    pattern.source(),
                    parameters.len()
                ),
            );
        }
    }
    problems.into_result(())
}

fn classify(
    parameter: &ParameterInfo,
    config: &ComponentConfig,
    naming: Naming,
) -> Result<PatternMatch, LeftOut> {
    let own = config.patterns.iter().rev().find_map(|pattern| pattern.find(&parameter.name));
    let is_own = own.is_some();
    let built_in = || {
        let mut found = naming.find(parameter)?;
        if found.kind == ComponentKind::Adapter && config.adapters == AdapterGrouping::Apart {
            found.component = parameter.name.strip_suffix(".weight").unwrap_or(&parameter.name).to_owned();
        }
        Some(found)
    };
    let left_out = |kind, layer, reason| LeftOut { name: parameter.name.clone(), kind, layer, reason };
    let Some(found) = own.or_else(built_in) else {
        return Err(left_out(ComponentKind::Other, None, "no pattern matches its name".to_owned()));
    };
    if let Some(pattern) = config.exclude.iter().find(|pattern| pattern.find(&parameter.name).is_some()) {
        return Err(left_out(found.kind, found.layer, format!("excluded by \"{}\"", pattern.source())));
    }
    let any = matches!(naming, Naming::Any) && !is_own && found.kind == ComponentKind::Other;
    if !any && !config.track.contains(&found.kind) {
        return Err(left_out(found.kind, found.layer, format!("kind {} is not tracked", found.kind)));
    }
    if found.kind == ComponentKind::Other && parameter.shape.len() < 2 {
        let reason = "biases and norms are not tracked as kind other".to_owned();
        return Err(left_out(found.kind, found.layer, reason));
    }
    Ok(found)
}

/// Returns the layout under which the most parameters are tracked. All know the names of adapters, so where two track
/// as many, it is the one that knows what more parameters are, then the one that knows more names, then the earlier
/// one.
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
