//! The `[freezing]` table.

use toml::{Table, Value};

use super::settings::Settings;
use super::{Cooling, Followers, Grace, Tied, preset};
use crate::component::ComponentConfig;
use crate::error::{Error, Problems, Result};
use crate::policy::{Cooldown, FreezePolicy, Never, PolicyBuilder, PolicyRegistry, RunPlan};
use crate::schema::{ConfigTable, Key, Section, join_keys};
use crate::statistic::Statistic;

/// When and what to freeze: the `[freezing]` table of a configuration file, or the same in code.
///
/// As TOML; all keys may be left out:
///
/// ```toml
/// [freezing]
/// metric = "grad-l1"   # what a threshold means unless a policy says otherwise
/// grace = 0.0          # no freezing before this share of the planned steps (the paper's alpha), or { epochs = 1 }
/// check_every = 1      # optimizer steps from one check to the next
/// stop_at = 1.0        # share of the components whose freezing ends the training
/// cooldown = 0         # steps, or { share = 1.0 }, from a decision to the freeze; default: the policy's
/// cooling = "decay"    # meanwhile its learning rate falls, or "average": it freezes at the mean of its weights
/// followers = "with-block" # biases, norms and embeddings are frozen with their block, or "keep": never
/// tied = "keep"        # embeddings that are the output matrix too, once block 0 is frozen: "keep", "head" or "both"
/// empty_cache = 0.1    # on CUDA, share of the memory that freezes give back before the device gets it
///
/// [freezing.policy]
/// name = "signal-fraction" # or any other that is linked, with its keys
///
/// [freezing.components]
/// # see ComponentConfig
/// ```
///
/// # Presets
///
/// With the key `preset` all that is not given follows from what one wants:
///
/// | preset | `grace` | `cooldown` | `policy` |
/// |---|---|---|---|
/// | `careful` | `{ epochs = 1 }` | `{ share = 1.0 }` | `signal-fraction` with `window = { share = 0.05 }` |
/// | `balanced` | 0 | `{ share = 1.0 }` | the same |
/// | `fast` | 0 | `{ share = 0.5 }` | the same |
///
/// or is as in a published version of GradES:
///
/// | preset | stands for | `metric` | `grace` | `policy` |
/// |---|---|---|---|---|
/// | `paper-v1` | arXiv 2509.01842v1 | `grad-l1` | 0.55 | `fixed-threshold`; `tau` must be given |
/// | `paper-v3` | arXiv 2509.01842v3 | `grad-delta-l1` | 0.55 | `fixed-threshold`; `tau` must be given |
/// | `official` | the Python package `grades` 1.0.6 | `weight-delta-l1` | 0.3 | `fixed-threshold` with `tau = 1e-4` |
///
/// Each of these has `check_every = 1`, `stop_at = 1.0`, `cooldown = 0` and `followers = "keep"`. Own keys lie over the preset's, also inside of
/// `policy`, unless that names another policy, which takes none of the preset's keys:
///
/// ```toml
/// [freezing]
/// preset = "paper-v1"
/// policy = { tau = 2.404 } # a fixed-threshold; the paper's value for Llama-3.1-8B
/// ```
///
/// The cooldown of 0 stays when another policy is named. Where a preset still differs from what it stands for is
/// listed in `docs/compatibility.md`.
///
/// # In code
///
/// With a policy of one's own or one that a crate exports:
///
/// ```
/// use grades::policy::Never;
/// use grades::FreezingConfig;
///
/// let config = FreezingConfig::new(Never).with_grace(0.3).with_check_every(10);
/// ```
#[derive(Debug, Clone)]
pub struct FreezingConfig {
    settings: Settings,
    components: ComponentConfig,
    policy: Box<dyn FreezePolicy>,
    /// The table that the policy was built from, unless it was made in code.
    policy_table: Option<Table>,
    /// The optimizer steps of a pass over the training examples, where it is known.
    epoch_steps: Option<u64>,
    /// The optimizer steps over which the learning rate rises.
    warmup_steps: u64,
}

impl FreezingConfig {
    /// The purpose of the table.
    pub const ABOUT: &'static str = Settings::ABOUT;

    /// The keys of the table.
    pub const KEYS: &'static [Key] =
        &join_keys::<{ Settings::KEYS.len() + OTHERS.len() }>(Settings::KEYS, OTHERS);

    /// The policy of a table that names none; it needs no threshold by hand. It is in `grades-policies`.
    pub const DEFAULT_POLICY: &'static str = preset::AUTOMATIC;

    /// Creates the defaults with this policy.
    pub fn new(policy: impl FreezePolicy + 'static) -> Self {
        Self {
            settings: Settings::default(),
            components: ComponentConfig::default(),
            policy: Box::new(policy),
            policy_table: None,
            epoch_steps: None,
            warmup_steps: 0,
        }
    }

    /// Reads the `[freezing]` table of a TOML document; other tables are ignored.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] with all problems, [`Error::DuplicatePolicy`] when the registry
    /// contradicts itself.
    pub fn from_toml(document: &str) -> Result<Self> {
        let table = document
            .parse::<Table>()
            .map_err(|error| Problems::of("not TOML", error.to_string().trim_end()))?;
        match table.get("freezing") {
            Some(Value::Table(freezing)) => Self::from_table("freezing", freezing),
            Some(other) => Err(Problems::of("freezing", format!("expected a table, found {other}")).into()),
            None => Err(Problems::of("freezing", "the table is missing").into()),
        }
    }

    /// Reads a table found at the dotted `path`.
    ///
    /// # Errors
    ///
    /// As [`from_toml`](Self::from_toml).
    pub fn from_table(path: &str, table: &Table) -> Result<Self> {
        let mut problems = Problems::default();
        match Self::read(path, table, &mut problems)? {
            Some(config) => problems.into_result(config),
            None => Err(Error::Config(problems)),
        }
    }

    /// Reads a table found at the dotted `path`, and adds its problems to those of the rest of a file.
    ///
    /// Returns `None` when the policy could not be built. With other problems the settings are the defaults.
    ///
    /// # Errors
    ///
    /// [`Error::DuplicatePolicy`] when the registry contradicts itself.
    pub fn read(path: &str, table: &Table, problems: &mut Problems) -> Result<Option<Self>> {
        let registry = PolicyRegistry::linked()?;
        let given = table;
        let table = &*preset::fill(table);
        let mut section = Section::new(path, table, Self::KEYS, problems);
        preset::check(&mut section);
        let mut settings = Settings::read(&mut section).unwrap_or_default();
        if settings.budget.is_some() {
            for key in PLANNED.iter().filter(|key| given.contains_key(**key)) {
                section.problem("budget", format!("plans the freezes itself: remove freezing.{key}"));
            }
            settings.cooldown = None;
        }
        let components = section.table("components", ComponentConfig::KEYS, ComponentConfig::from_section);
        let builder = PolicyBuilder::new(registry, settings.metric);
        if section.has("budget") {
            let config = Self { settings, components: components.unwrap_or_default(), ..Self::new(Never) };
            return Ok(Some(config));
        }
        let policy_table = match section.has("policy") {
            true => section.raw_table("policy").cloned(),
            false => Some(Table::from_iter([("name".to_owned(), Value::from(Self::DEFAULT_POLICY))])),
        };
        let policy_path = section.path_of("policy");
        let build = |table| builder.build(&policy_path, table, section.problems());
        let policy = policy_table.as_ref().and_then(build);
        let components = components.unwrap_or_default();
        Ok(policy.map(|policy| Self {
            settings,
            components,
            policy,
            policy_table,
            epoch_steps: None,
            warmup_steps: 0,
        }))
    }

    /// Sets the beginning in which nothing freezes: a share of the planned steps, from 0 to 1 (the paper's α), or passes
    /// over the examples.
    #[must_use]
    pub fn with_grace(mut self, grace: impl Into<Grace>) -> Self {
        self.settings.grace = grace.into();
        self
    }

    /// Sets the share of the full run's cost, above 0 and up to 1, that freezes are planned for. No policy is asked then; see
    /// [`BudgetPlan`](crate::tracker::BudgetPlan).
    #[must_use]
    pub fn with_budget(mut self, share: f64) -> Self {
        self.settings.budget = Some(share);
        self
    }

    /// Sets the optimizer steps of a pass over the training examples, which [`Grace::Epochs`] counts in.
    #[must_use]
    pub fn with_epoch_steps(mut self, steps: u64) -> Self {
        self.epoch_steps = Some(steps);
        self
    }

    /// Sets the optimizer steps over which the learning rate rises: before their end a [budget](Self::with_budget) plans
    /// nothing.
    #[must_use]
    pub fn with_warmup_steps(mut self, steps: u64) -> Self {
        self.warmup_steps = steps;
        self
    }

    /// Sets the optimizer steps from one check to the next.
    #[must_use]
    pub fn with_check_every(mut self, steps: u64) -> Self {
        self.settings.check_every = steps;
        self
    }

    /// Sets the share of the components whose freezing ends the training.
    #[must_use]
    pub fn with_stop_at(mut self, share: f64) -> Self {
        self.settings.stop_at = share;
        self
    }

    /// Sets how long a component cools before it freezes.
    #[must_use]
    pub fn with_cooldown(mut self, cooldown: Cooldown) -> Self {
        self.settings.cooldown = Some(cooldown);
        self
    }

    /// Sets how a component cools.
    #[must_use]
    pub fn with_cooling(mut self, cooling: Cooling) -> Self {
        self.settings.cooling = cooling;
        self
    }

    /// Sets the treatment of parameters outside of components.
    #[must_use]
    pub fn with_followers(mut self, followers: Followers) -> Self {
        self.settings.followers = followers;
        self
    }

    /// Sets the treatment of an embedding that is the output matrix as well.
    #[must_use]
    pub fn with_tied(mut self, tied: Tied) -> Self {
        self.settings.tied = tied;
        self
    }

    /// Sets the share of the training's memory ([`Memory::total`](crate::freezing::Memory::total)), from 0 to 1, that
    /// freezes must give back before libtorch's allocator returns it to a CUDA device.
    #[must_use]
    pub fn with_empty_cache(mut self, share: f64) -> Self {
        self.settings.empty_cache = share;
        self
    }

    /// Sets which parameters are components.
    #[must_use]
    pub fn with_components(mut self, components: ComponentConfig) -> Self {
        self.components = components;
        self
    }

    /// Returns the statistic that thresholds mean unless a policy of a configuration file says otherwise.
    pub fn metric(&self) -> Statistic {
        self.settings.metric
    }

    /// Returns the beginning in which nothing freezes.
    pub fn grace(&self) -> Grace {
        self.settings.grace
    }

    /// Returns the share of the full run's cost that freezes are planned for.
    pub fn budget(&self) -> Option<f64> {
        self.settings.budget
    }

    /// Returns the optimizer steps of a pass over the training examples, where it is known.
    pub fn epoch_steps(&self) -> Option<u64> {
        self.epoch_steps
    }

    /// Returns the optimizer steps over which the learning rate rises.
    pub fn warmup_steps(&self) -> u64 {
        self.warmup_steps
    }

    /// Returns the optimizer steps from one check to the next.
    pub fn check_every(&self) -> u64 {
        self.settings.check_every
    }

    /// Returns the share of the components whose freezing ends the training.
    pub fn stop_at(&self) -> f64 {
        self.settings.stop_at
    }

    /// Returns how long a component cools before it freezes: as configured, or by the policy's default. With a budget it is
    /// half of the steps up to its freeze.
    pub fn cooldown(&self) -> Cooldown {
        if self.settings.budget.is_some() {
            return Cooldown::Share { share: 1.0 };
        }
        self.settings.cooldown.unwrap_or_else(|| self.policy.default_cooldown())
    }

    /// Returns how a component cools.
    pub fn cooling(&self) -> Cooling {
        self.settings.cooling
    }

    /// Returns the treatment of parameters outside of components.
    pub fn followers(&self) -> Followers {
        self.settings.followers
    }

    /// Returns the treatment of an embedding that is the output matrix as well.
    pub fn tied(&self) -> Tied {
        self.settings.tied
    }

    /// Returns the share of the training's memory that freezes must give back before a CUDA device gets it.
    pub fn empty_cache(&self) -> f64 {
        self.settings.empty_cache
    }

    /// Returns which parameters are components.
    pub fn components(&self) -> &ComponentConfig {
        &self.components
    }

    /// Returns the policy; each component gets a clone of it.
    pub fn policy(&self) -> &dyn FreezePolicy {
        &*self.policy
    }

    /// Returns whether components cool before they freeze.
    pub fn cools(&self) -> bool {
        !self.cooldown().is_off()
    }

    /// Notes what is out of range in a configuration that was made in code; one from a table has been checked.
    pub(crate) fn check(&self, problems: &mut Problems) {
        self.settings.check(problems);
    }

    /// Returns the settings in force as a table. The components' table is left out, and so is a policy that was made in code.
    pub fn settings(&self) -> Table {
        let in_force = Settings { cooldown: Some(self.cooldown()), ..self.settings.clone() };
        let mut table = in_force.to_table();
        if self.settings.budget.is_some() {
            PLANNED.iter().for_each(|key| drop(table.remove(*key)));
        }
        if let Some(policy) = &self.policy_table {
            table.insert("policy".to_owned(), Value::Table(policy.clone()));
        }
        table
    }

    /// Returns the policy's prototype, planned for a run of this many steps.
    pub(crate) fn prototype(&self, total_steps: u64) -> Result<Box<dyn FreezePolicy>> {
        let mut prototype = self.policy.clone();
        let mut problems = Problems::default();
        prototype.plan(&RunPlan::new(total_steps, self.check_every()), &mut problems);
        problems.into_result(prototype)
    }
}

/// The keys whose values a budget plans.
const PLANNED: &[&str] = &["preset", "policy", "grace", "cooldown", "stop_at", "check_every"];

/// The keys that are read in a way of their own.
const OTHERS: &[Key] = &[
    Key::new("policy", "The policy's table: name, and its keys (signal-fraction)"),
    Key::new("components", "Which parameters are components"),
    preset::KEY,
];
