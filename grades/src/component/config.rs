//! The `[freezing.components]` table: which parameters are components, and of what kind.

use super::{ComponentKind, ComponentPattern, Layout, any};
use crate::schema::{Key, Section, words};

/// The choice of the parameters that are components.
///
/// With layout `auto`, where no built-in layout knows the model's names, the layout `any` is used: each
/// two-dimensional weight in a numbered block is a component of kind `other`, and is tracked.
///
/// As TOML, with the defaults:
///
/// ```toml
/// [freezing.components]
/// layout = "auto"                  # or llama, phi3, gpt2, bert, vit, any, none
/// track = ["attention", "mlp", "adapter"]
/// exclude = []                     # regular expressions over parameter names
/// adapters = "together"            # a layer's adapter freezes as one; "apart": each of its tensors on its own
///
/// [[freezing.components.patterns]] # the last match wins, over the layout too
/// match = 'blocks\.(?<layer>\d+)\.wq\.weight'
/// kind = "query"
/// ```
#[derive(Debug, Clone)]
pub struct ComponentConfig {
    pub(crate) layout: LayoutChoice,
    pub(crate) track: Vec<ComponentKind>,
    pub(crate) exclude: Vec<ComponentPattern>,
    pub(crate) patterns: Vec<ComponentPattern>,
    pub(crate) adapters: AdapterGrouping,
}

words! {
    /// The grouping of an adapter's tensors in one layer, such as LoRA's A and B, into components.
    ///
    /// ```
    /// use grades::component::{AdapterGrouping, ComponentConfig, ComponentMap, ParameterInfo};
    ///
    /// let parameters = ["A", "B"].map(|part| ParameterInfo::new(format!("h.0.mlp.lora_{part}.default.weight"), [4, 4]));
    /// let map = |grouping| ComponentMap::new(&parameters, &ComponentConfig::default().with_adapters(grouping));
    /// assert_eq!(map(AdapterGrouping::Together)?.components()[0].name, "h.0.mlp");
    /// assert_eq!(map(AdapterGrouping::Apart)?.components()[0].name, "h.0.mlp.lora_A.default");
    /// # Ok::<(), grades::Error>(())
    /// ```
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub enum AdapterGrouping: "grouping of adapters" {
        /// One component a layer: its statistics are taken over A and B, and they freeze at the same step.
        #[default]
        Together = "together",
        /// Each tensor is a component.
        Apart = "apart",
    }
}

/// Where the names' meaning comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum LayoutChoice {
    /// The built-in layout that knows the most of the names.
    Auto,
    /// A built-in layout.
    Named(&'static Layout),
    /// Two-dimensional weights in numbered blocks, and the names of adapters.
    Any,
    /// Only the user's own patterns, and the names of adapters.
    None,
}

impl Default for ComponentConfig {
    fn default() -> Self {
        let mut track = Vec::new();
        track.extend(ComponentKind::ATTENTION);
        track.extend(ComponentKind::MLP);
        track.push(ComponentKind::Adapter);
        Self {
            layout: LayoutChoice::Auto,
            track,
            exclude: Vec::new(),
            patterns: Vec::new(),
            adapters: AdapterGrouping::default(),
        }
    }
}

impl ComponentConfig {
    pub(crate) const KEYS: &'static [Key] = &[
        Key::new(
            "layout",
            "auto, llama, phi3, gpt2, bert, vit, any or none; adapters are known in all (auto)",
        ),
        Key::new("track", "kinds that may freeze; attention and mlp name several"),
        Key::new("exclude", "regular expressions of parameters that never freeze"),
        Key::new("adapters", "together or apart: whether an adapter's A and B freeze as one"),
        Key::new("patterns", "own patterns: match, kind; the last match wins"),
    ];

    const PATTERN_KEYS: &'static [Key] =
        &[Key::new("match", "regular expression over the whole name"), Key::new("kind", "component kind")];

    pub(crate) fn from_section(section: &mut Section<'_>) -> Self {
        let mut config = Self::default();
        if let Some(name) = section.text_or("layout", "auto") {
            config.layout = match name.as_str() {
                "auto" => LayoutChoice::Auto,
                "none" => LayoutChoice::None,
                any::NAME => LayoutChoice::Any,
                other => match Layout::by_name(other) {
                    Some(layout) => LayoutChoice::Named(layout),
                    None => {
                        let known = Layout::all().iter().map(Layout::name).chain(["auto", any::NAME, "none"]);
                        section.unknown("layout", "layout", other, known);
                        LayoutChoice::Auto
                    }
                },
            };
        }
        if let Some(words) = section.texts("track") {
            if words.is_empty() {
                section.problem("track", "is empty: nothing could freeze");
            }
            config.track.clear();
            for word in words {
                match ComponentKind::group(&word) {
                    Ok(kinds) => config.track.extend(kinds),
                    Err(error) => section.problem("track", error.to_string()),
                }
            }
        }
        for source in section.texts("exclude").unwrap_or_default() {
            match ComponentPattern::new(&source, ComponentKind::Other) {
                Ok(pattern) => config.exclude.push(pattern),
                Err(error) => section.problem("exclude", format!("\"{source}\": {error}")),
            }
        }
        if let Some(grouping) = section.parsed_or("adapters", config.adapters) {
            config.adapters = grouping;
        }
        section.tables("patterns", Self::PATTERN_KEYS, |pattern| {
            let source = pattern.text("match");
            let kind = pattern.parsed::<ComponentKind>("kind");
            // With a kind that is wrong the expression is still checked.
            if let Some(source) = source {
                match ComponentPattern::new(&source, kind.unwrap_or(ComponentKind::Other)) {
                    Ok(found) => config.patterns.push(found),
                    Err(error) => pattern.problem("match", format!("\"{source}\": {error}")),
                }
            }
        });
        config
    }

    /// Adds a pattern: a parameter whose name it matches is of this kind. The last pattern that matches counts.
    ///
    /// # Errors
    ///
    /// The message of the regular expression's parser.
    pub fn with_pattern(mut self, pattern: &str, kind: ComponentKind) -> Result<Self, String> {
        self.patterns.push(ComponentPattern::new(pattern, kind)?);
        Ok(self)
    }

    /// Sets whether the tensors of one layer's adapter are one component.
    #[must_use]
    pub fn with_adapters(mut self, grouping: AdapterGrouping) -> Self {
        self.adapters = grouping;
        self
    }

    /// Sets the kinds that are tracked.
    #[must_use]
    pub fn with_track(mut self, kinds: impl IntoIterator<Item = ComponentKind>) -> Self {
        self.track = kinds.into_iter().collect();
        self
    }
}
