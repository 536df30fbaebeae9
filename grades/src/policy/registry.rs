//! How a crate offers a policy to configurations, and how a configuration finds and builds it.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use toml::Table;

use super::FreezePolicy;
use crate::error::{Error, Problems, Result};
use crate::schema::{Key, Section, nearest};
use crate::statistic::Statistic;

/// A policy that a configuration can name.
pub trait PolicyConfig: FreezePolicy + Sized + 'static {
    /// The kebab-case name, equal to [`FreezePolicy::name`].
    const NAME: &'static str;

    /// The criterion, in one line.
    const SUMMARY: &'static str;

    /// The keys that its table may have, `name` left out.
    const KEYS: &'static [Key];

    /// Builds it from its table; `None` when a problem was noted in the section.
    ///
    /// Read every key before giving up on one, so that a user sees all problems at once. Child policies are
    /// built by `builder`.
    fn from_config(section: &mut Section<'_>, builder: &PolicyBuilder<'_>) -> Option<Self>;
}

/// The descriptor of a policy, submitted to the registry by [`submit!`](crate::submit).
///
/// A crate's descriptors are linked only into programs that use the crate: `use my_policies as _;` is enough.
#[derive(Debug, Clone, Copy)]
pub struct PolicyPlugin {
    name: &'static str,
    alias: Option<&'static str>,
    summary: &'static str,
    keys: &'static [Key],
    type_name: fn() -> &'static str,
    build: fn(&mut Section<'_>, &PolicyBuilder<'_>) -> Option<Box<dyn FreezePolicy>>,
}

impl PolicyPlugin {
    /// Creates the descriptor of `P`.
    pub const fn of<P: PolicyConfig>() -> Self {
        Self {
            name: P::NAME,
            alias: None,
            summary: P::SUMMARY,
            keys: P::KEYS,
            type_name: std::any::type_name::<P>,
            build: |section, builder| Some(Box::new(P::from_config(section, builder)?)),
        }
    }

    /// Adds a second name that configurations may use.
    #[must_use]
    pub const fn with_alias(mut self, alias: &'static str) -> Self {
        self.alias = Some(alias);
        self
    }

    /// Returns the second name, where there is one.
    pub fn alias(&self) -> Option<&'static str> {
        self.alias
    }

    /// Returns the name by which a configuration asks for it.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the criterion, in one line.
    pub fn summary(&self) -> &'static str {
        self.summary
    }

    /// Returns the keys that its table may have.
    pub fn keys(&self) -> &'static [Key] {
        self.keys
    }

    /// Returns the Rust type behind it, with the crate that it comes from.
    pub fn type_name(&self) -> &'static str {
        (self.type_name)()
    }

    pub(super) fn build(
        &self,
        section: &mut Section<'_>,
        builder: &PolicyBuilder<'_>,
    ) -> Option<Box<dyn FreezePolicy>> {
        (self.build)(section, builder)
    }
}

inventory::collect!(PolicyPlugin);

/// Offers a policy to configurations by its name.
///
/// ```
/// use grades::policy::{
///     Decision, FreezePolicy, Observation, PolicyBuilder, PolicyConfig, PolicyPlugin, PolicyRegistry,
/// };
/// use grades::schema::{Key, Section};
/// use grades::statistic::{Statistic, StatisticSet};
/// use grades::submit;
///
/// /// Freezes a component once the root mean square of its gradient is below a value.
/// #[derive(Debug, Clone)]
/// struct RmsBelow {
///     value: f64,
/// }
///
/// impl FreezePolicy for RmsBelow {
///     fn name(&self) -> &'static str {
///         Self::NAME
///     }
///     fn statistics(&self) -> StatisticSet {
///         StatisticSet::of([Statistic::GradRms])
///     }
///     fn decide(&mut self, observation: &Observation<'_>) -> Decision {
///         match observation.value(Statistic::GradRms) {
///             Some(rms) => Decision::freeze_below(Self::NAME, Statistic::GradRms, rms, self.value),
///             None => Decision::Keep,
///         }
///     }
/// }
///
/// impl PolicyConfig for RmsBelow {
///     const NAME: &'static str = "rms-below";
///     const SUMMARY: &'static str = "freezes once the gradient's root mean square is below a value";
///     const KEYS: &'static [Key] = &[Key::new("value", "the threshold, above 0 (required)")];
///     fn from_config(section: &mut Section<'_>, _: &PolicyBuilder<'_>) -> Option<Self> {
///         Some(Self { value: section.number("value", "a number above 0", |value| value > 0.0)? })
///     }
/// }
///
/// submit! { PolicyPlugin::of::<RmsBelow>() }
///
/// fn main() -> Result<(), grades::Error> {
///     let config = grades::FreezingConfig::from_toml(
///         "[freezing]\npolicy = { name = \"rms-below\", value = 1e-4 }",
///     )?;
///     assert_eq!(config.policy().name(), "rms-below");
///     assert!(PolicyRegistry::linked()?.names().any(|name| name == "rms-below"));
///     Ok(())
/// }
/// ```
#[macro_export]
macro_rules! submit {
    ($plugin:expr) => {
        $crate::__private::inventory::submit! { $plugin }
    };
}

/// The policies that are linked into this program, by name and in the order of their names.
#[derive(Debug)]
pub struct PolicyRegistry {
    /// Second names included.
    names: BTreeMap<&'static str, &'static PolicyPlugin>,
}

impl PolicyRegistry {
    /// Returns the registry of this program. It is collected on the first call.
    ///
    /// # Errors
    ///
    /// [`Error::DuplicatePolicy`] when two types have one name, [`Error::Unsupported`] when a name is not
    /// kebab-case.
    pub fn linked() -> Result<&'static PolicyRegistry> {
        static LINKED: OnceLock<Result<PolicyRegistry>> = OnceLock::new();
        match LINKED.get_or_init(|| Self::collect(inventory::iter::<PolicyPlugin>.into_iter())) {
            Ok(registry) => Ok(registry),
            Err(Error::DuplicatePolicy { name, first, second }) => {
                Err(Error::DuplicatePolicy { name: name.clone(), first, second })
            }
            Err(other) => {
                Err(Error::Unsupported { what: "policy registry".to_owned(), reason: other.to_string() })
            }
        }
    }

    fn collect(plugins: impl Iterator<Item = &'static PolicyPlugin>) -> Result<Self> {
        // The order in which plug-ins are linked is unspecified, hence the sort: an error names the same two
        // types in the same order in every build.
        let mut all: Vec<_> = plugins.collect();
        all.sort_by_key(|plugin| (plugin.name(), plugin.type_name()));
        let mut names: BTreeMap<&'static str, &'static PolicyPlugin> = BTreeMap::new();
        for (name, plugin) in all.into_iter().flat_map(|plugin| {
            [Some(plugin.name()), plugin.alias()].into_iter().flatten().map(move |name| (name, plugin))
        }) {
            if !is_kebab_case(name) {
                return Err(Error::Unsupported {
                    what: format!("policy name \"{name}\" of {}", plugin.type_name()),
                    reason: "expected kebab-case: lower-case letters, digits and single hyphens".to_owned(),
                });
            }
            if let Some(first) = names.insert(name, plugin) {
                return Err(Error::DuplicatePolicy {
                    name: name.to_owned(),
                    first: first.type_name(),
                    second: plugin.type_name(),
                });
            }
        }
        Ok(Self { names })
    }

    /// Returns the plug-ins, in the order of their names.
    pub fn plugins(&self) -> impl Iterator<Item = &'static PolicyPlugin> {
        self.names.iter().filter(|(name, plugin)| **name == plugin.name()).map(|(_, plugin)| *plugin)
    }

    /// Returns the names that a configuration may use, second names included, sorted.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.names.keys().copied()
    }

    /// Returns the plug-in of a name or second name.
    pub fn get(&self, name: &str) -> Option<&'static PolicyPlugin> {
        self.names.get(name).copied()
    }
}

fn is_kebab_case(name: &str) -> bool {
    let word = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    name.starts_with(|first: char| first.is_ascii_lowercase()) && name.split('-').all(word)
}

/// Builds policies from their tables, inner policies included.
#[derive(Debug, Clone, Copy)]
pub struct PolicyBuilder<'a> {
    registry: &'a PolicyRegistry,
    metric: Statistic,
}

impl<'a> PolicyBuilder<'a> {
    /// Creates a builder for a run whose thresholds mean `metric` unless a policy says otherwise.
    pub fn new(registry: &'a PolicyRegistry, metric: Statistic) -> Self {
        Self { registry, metric }
    }

    /// Returns the run's default statistic (`freezing.metric`).
    pub fn metric(&self) -> Statistic {
        self.metric
    }

    /// Builds the policy that a table names. Returns `None` when a problem was added.
    pub fn build(&self, path: &str, table: &Table, problems: &mut Problems) -> Option<Box<dyn FreezePolicy>> {
        let key = format!("{path}.name");
        let Some(name) = table.get("name") else {
            problems.push(key, format!("is missing; linked policies: {}", self.linked_names()));
            return None;
        };
        let Some(name) = name.as_str() else {
            problems.push(key, format!("expected a string, found {name}"));
            return None;
        };
        let Some(plugin) = self.registry.get(name) else {
            let hint = nearest(name, self.registry.names())
                .map(|near| format!(" (did you mean \"{near}\"?)"))
                .unwrap_or_default();
            problems.push(
                key,
                format!(
                    "no policy \"{name}\" is linked{hint}; linked policies: {}. A crate's policies are linked once \
                     the program uses it: `use grades_policies as _;`",
                    self.linked_names()
                ),
            );
            return None;
        };
        let mut arguments = table.clone();
        arguments.remove("name");
        let before = problems.as_slice().len();
        let policy = plugin.build(&mut Section::new(path, &arguments, plugin.keys(), problems), self);
        if policy.is_none() && problems.as_slice().len() == before {
            problems.push(path, format!("policy \"{name}\" refused its table without saying why"));
        }
        policy
    }

    /// Builds the inner policies of a required list of tables, at least one.
    ///
    /// Returns `None` when a problem was added.
    pub fn children(&self, section: &mut Section<'_>, key: &str) -> Option<Vec<Box<dyn FreezePolicy>>> {
        let tables = section.raw_tables(key)?;
        if tables.is_empty() {
            section.problem(key, "is empty; expected at least one policy's table");
            return None;
        }
        let path = section.path_of(key);
        // Every table is read before the first failure counts, so that all problems are reported.
        let children: Vec<_> = tables
            .into_iter()
            .enumerate()
            .map(|(index, table)| self.build(&format!("{path}[{index}]"), table, section.problems()))
            .collect();
        children.into_iter().collect()
    }

    /// Builds the inner policy of a required table. Returns `None` when a problem was added.
    pub fn child(&self, section: &mut Section<'_>, key: &str) -> Option<Box<dyn FreezePolicy>> {
        if !section.has(key) {
            section.problem(key, "is missing; expected the table of a policy, such as { name = \"…\" }");
            return None;
        }
        let table = section.raw_table(key)?;
        let path = section.path_of(key);
        self.build(&path, table, section.problems())
    }

    fn linked_names(&self) -> String {
        let names: Vec<_> = self.registry.names().collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    }
}

#[cfg(test)]
mod tests {
    use super::is_kebab_case;

    #[test]
    fn kebab_case_is_recognised() {
        for name in ["patience", "per-component-type", "top-2"] {
            assert!(is_kebab_case(name), "{name}");
        }
        for name in ["", "Patience", "a--b", "-a", "a-", "a_b", "2-top", "ü"] {
            assert!(!is_kebab_case(name), "{name}");
        }
    }
}
