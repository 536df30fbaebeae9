//! How a crate offers a policy to configurations.

use super::{FreezePolicy, PolicyBuilder};
use crate::schema::{Key, Section};

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
    /// The descriptor of `P`.
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

    /// The same with a second name that configurations may use.
    #[must_use]
    pub const fn with_alias(mut self, alias: &'static str) -> Self {
        self.alias = Some(alias);
        self
    }

    /// The second name, where there is one.
    pub fn alias(&self) -> Option<&'static str> {
        self.alias
    }

    /// The name by which a configuration asks for it.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the criterion, in one line.
    pub fn summary(&self) -> &'static str {
        self.summary
    }

    /// The keys that its table may have.
    pub fn keys(&self) -> &'static [Key] {
        self.keys
    }

    /// The Rust type behind it, with the crate that it comes from.
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
/// use grades::submit;
/// use grades::policy::{Decision, FreezePolicy, Observation, PolicyBuilder, PolicyConfig, PolicyPlugin};
/// use grades::policy::PolicyRegistry;
/// use grades::schema::{Key, Section};
/// use grades::statistic::StatisticSet;
///
/// #[derive(Debug, Clone)]
/// struct Never;
///
/// impl FreezePolicy for Never {
///     fn name(&self) -> &'static str {
///         Self::NAME
///     }
///     fn statistics(&self) -> StatisticSet {
///         StatisticSet::default()
///     }
///     fn decide(&mut self, _: &Observation<'_>) -> Decision {
///         Decision::Keep
///     }
/// }
///
/// impl PolicyConfig for Never {
///     const NAME: &'static str = "never";
///     const SUMMARY: &'static str = "freezes nothing";
///     const KEYS: &'static [Key] = &[];
///     fn from_config(_: &mut Section<'_>, _: &PolicyBuilder<'_>) -> Option<Self> {
///         Some(Never)
///     }
/// }
///
/// submit! { PolicyPlugin::of::<Never>() }
///
/// # fn main() -> Result<(), grades::Error> {
/// assert!(PolicyRegistry::linked()?.names().any(|name| name == "never"));
/// # Ok(())
/// # }
/// ```
#[macro_export]
macro_rules! submit {
    ($plugin:expr) => {
        $crate::__private::inventory::submit! { $plugin }
    };
}
