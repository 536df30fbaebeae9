//! The `[freezing]` table.

use toml::{Table, Value};

use super::{Cooling, Followers, Tied, preset};
use crate::component::ComponentConfig;
use crate::error::{Error, Problems, Result};
use crate::policy::{Cause, Cooldown, FreezePolicy, Measure, PolicyBuilder, PolicyRegistry, RunPlan};
use crate::schema::{Key, Section};
use crate::statistic::Statistic;

/// When and what to freeze: the `[freezing]` table of a configuration file, or the same in code.
///
/// As TOML; all keys may be left out:
///
/// ```toml
/// [freezing]
/// metric = "grad-l1"   # what a threshold means unless a policy says otherwise
/// grace = 0.0          # no freezing before this share of the planned steps (the paper's alpha)
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
/// With the key `preset` all that is not given is as in a published version of GradES, instead of the defaults above:
///
/// | preset | stands for | `metric` | `grace` | `policy` |
/// |---|---|---|---|---|
/// | `paper-v1` | arXiv 2509.01842v1 | `grad-l1` | 0.55 | `fixed-threshold`; `tau` must be given |
/// | `paper-v3` | arXiv 2509.01842v3 | `grad-delta-l1` | 0.55 | `fixed-threshold`; `tau` must be given |
/// | `official` | the Python package `grades` 1.0.6 | `weight-delta-l1` | 0.3 | `fixed-threshold` with `tau = 1e-4` |
///
/// Each has `check_every = 1`, `stop_at = 1.0`, `cooldown = 0` and `followers = "keep"`. Own keys lie over the preset's, also inside of
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
    metric: Statistic,
    grace: f64,
    check_every: u64,
    stop_at: f64,
    /// The policy's own when absent.
    cooldown: Option<Cooldown>,
    cooling: Cooling,
    followers: Followers,
    tied: Tied,
    empty_cache: f64,
    components: ComponentConfig,
    policy: Box<dyn FreezePolicy>,
    /// The table that the policy was built from, unless it was made in code.
    policy_table: Option<Table>,
}

impl FreezingConfig {
    /// The keys of the table.
    pub const KEYS: &'static [Key] = &[
        Key::new("metric", "statistic that thresholds mean unless a policy says otherwise (grad-l1)"),
        Key::new("grace", "share of the planned steps before which nothing freezes (0.0)"),
        Key::new("check_every", "optimizer steps from one check to the next (1)"),
        Key::new("stop_at", "share of the components whose freezing ends the training (1.0)"),
        Key::new(
            "cooldown",
            "steps, or { share = S } of the steps so far, that a component cools before it freezes (the policy's)",
        ),
        Key::new(
            "cooling",
            "while it cools: decay (its learning rate falls) or average (it freezes at the mean of its weights) (decay)",
        ),
        Key::new(
            "followers",
            "biases, norms and embeddings: with-block (frozen once their block is) or keep (with-block)",
        ),
        Key::new(
            "tied",
            "embeddings that are the output matrix as well, once the first block is frozen: keep (train), head (train as the \
             output matrix only) or both (frozen as both) (keep)",
        ),
        Key::new(
            "empty_cache",
            "on CUDA, share of the memory that freezes must give back before the device gets it (0.1)",
        ),
        Key::new("policy", "the policy's table: name, and its keys (signal-fraction)"),
        Key::new("components", "which parameters are components"),
        Key::new(preset::KEY, preset::HELP),
    ];

    /// The policy of a table that names none; it needs no threshold by hand. It is in `grades-policies`.
    pub const DEFAULT_POLICY: &'static str = "signal-fraction";

    /// Creates the defaults with this policy.
    pub fn new(policy: impl FreezePolicy + 'static) -> Self {
        Self::defaults(Box::new(policy))
    }

    fn defaults(policy: Box<dyn FreezePolicy>) -> Self {
        Self {
            metric: Statistic::GradL1,
            grace: 0.0,
            check_every: 1,
            stop_at: 1.0,
            cooldown: None,
            cooling: Cooling::default(),
            followers: Followers::default(),
            tied: Tied::default(),
            empty_cache: EMPTY_CACHE,
            components: ComponentConfig::default(),
            policy,
            policy_table: None,
        }
    }

    /// Reads the `[freezing]` table of a TOML document; other tables are not looked at.
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
    /// Returns `None` when the policy could not be built. Other problems leave the default in place of what is wrong.
    ///
    /// # Errors
    ///
    /// [`Error::DuplicatePolicy`] when the registry contradicts itself.
    pub fn read(path: &str, table: &Table, problems: &mut Problems) -> Result<Option<Self>> {
        let registry = PolicyRegistry::linked()?;
        let table = &*preset::fill(table);
        let mut section = Section::new(path, table, Self::KEYS, problems);
        preset::check(&mut section);
        let metric = section.parsed_or("metric", Statistic::GradL1).unwrap_or(Statistic::GradL1);
        let grace = section.number_or("grace", 0.0, SHARE, is_share);
        let check_every = section.integer_or("check_every", 1, CHECK_EVERY, |steps| steps >= 1);
        let stop_at = section.number_or("stop_at", 1.0, STOP_AT, is_stop_at);
        let cooldown =
            section.value_or("cooldown", None, Cooldown::EXPECTED, |value| Cooldown::read(value).map(Some));
        let cooling = section.parsed_or("cooling", Cooling::default());
        let followers = section.parsed_or("followers", Followers::default());
        let tied = section.parsed_or("tied", Tied::default());
        let empty_cache = section.number_or("empty_cache", EMPTY_CACHE, SHARE, is_share);
        let components = section.table("components", ComponentConfig::KEYS, ComponentConfig::from_section);
        let builder = PolicyBuilder::new(registry, metric);
        let policy_table = match section.has("policy") {
            true => section.raw_table("policy").cloned(),
            false => Some(Table::from_iter([("name".to_owned(), Value::from(Self::DEFAULT_POLICY))])),
        };
        let policy_path = section.path_of("policy");
        let build = |table| builder.build(&policy_path, table, section.problems());
        let Some(policy) = policy_table.as_ref().and_then(build) else { return Ok(None) };
        let defaults = Self::defaults(policy);
        Ok(Some(Self {
            metric,
            grace: grace.unwrap_or(defaults.grace),
            check_every: check_every.unwrap_or(defaults.check_every),
            stop_at: stop_at.unwrap_or(defaults.stop_at),
            cooldown: cooldown.flatten(),
            cooling: cooling.unwrap_or_default(),
            followers: followers.unwrap_or_default(),
            tied: tied.unwrap_or_default(),
            empty_cache: empty_cache.unwrap_or(EMPTY_CACHE),
            components: components.unwrap_or_default(),
            policy_table,
            ..defaults
        }))
    }

    /// Sets the share of the planned steps, from 0 to 1, before which nothing freezes: the paper's α.
    #[must_use]
    pub fn with_grace(mut self, share: f64) -> Self {
        self.grace = share;
        self
    }

    /// Sets the optimizer steps from one check to the next.
    #[must_use]
    pub fn with_check_every(mut self, steps: u64) -> Self {
        self.check_every = steps;
        self
    }

    /// Sets the share of the components whose freezing ends the training.
    #[must_use]
    pub fn with_stop_at(mut self, share: f64) -> Self {
        self.stop_at = share;
        self
    }

    /// Sets how long a component cools before it freezes.
    #[must_use]
    pub fn with_cooldown(mut self, cooldown: Cooldown) -> Self {
        self.cooldown = Some(cooldown);
        self
    }

    /// Sets how a component cools.
    #[must_use]
    pub fn with_cooling(mut self, cooling: Cooling) -> Self {
        self.cooling = cooling;
        self
    }

    /// Sets the treatment of parameters outside of components.
    #[must_use]
    pub fn with_followers(mut self, followers: Followers) -> Self {
        self.followers = followers;
        self
    }

    /// Sets the treatment of an embedding that is the output matrix as well.
    #[must_use]
    pub fn with_tied(mut self, tied: Tied) -> Self {
        self.tied = tied;
        self
    }

    /// Sets the share of the training's memory ([`Memory::total`](crate::freezing::Memory::total)), from 0 to 1, that
    /// freezes must give back before libtorch's allocator returns it to a CUDA device.
    #[must_use]
    pub fn with_empty_cache(mut self, share: f64) -> Self {
        self.empty_cache = share;
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
        self.metric
    }

    /// Returns the share of the planned steps before which nothing freezes.
    pub fn grace(&self) -> f64 {
        self.grace
    }

    /// Returns the optimizer steps from one check to the next.
    pub fn check_every(&self) -> u64 {
        self.check_every
    }

    /// Returns the share of the components whose freezing ends the training.
    pub fn stop_at(&self) -> f64 {
        self.stop_at
    }

    /// Returns how long a component cools before it freezes: as configured, or by the policy's default.
    pub fn cooldown(&self) -> Cooldown {
        self.cooldown.unwrap_or_else(|| self.policy.default_cooldown())
    }

    /// Returns how a component cools.
    pub fn cooling(&self) -> Cooling {
        self.cooling
    }

    /// Returns the treatment of parameters outside of components.
    pub fn followers(&self) -> Followers {
        self.followers
    }

    /// Returns the treatment of an embedding that is the output matrix as well.
    pub fn tied(&self) -> Tied {
        self.tied
    }

    /// Returns the share of the training's memory that freezes must give back before a CUDA device gets it.
    pub fn empty_cache(&self) -> f64 {
        self.empty_cache
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

    /// The run's schedule of checks, once the number of steps is known.
    pub(crate) fn schedule(&self, total_steps: u64) -> Result<Schedule> {
        let mut problems = Problems::default();
        // A configuration made in code has not been through `read`.
        for (key, share) in [("grace", self.grace), ("empty_cache", self.empty_cache)] {
            if !is_share(share) {
                problems.push(key, format!("expected {SHARE}, found {share}"));
            }
        }
        if self.check_every == 0 {
            problems.push("check_every", format!("expected {CHECK_EVERY}, found 0"));
        }
        if !is_stop_at(self.stop_at) {
            problems.push("stop_at", format!("expected {STOP_AT}, found {}", self.stop_at));
        }
        if let Some(wrong) = self.cooldown.filter(|cooldown| !cooldown.is_valid()) {
            problems.push("cooldown", format!("expected {}, found {wrong:?}", Cooldown::EXPECTED));
        }
        if total_steps == 0 {
            problems.push("total_steps", "expected at least 1 optimizer step, found 0");
        }
        // 0.55 × 100 is a little above 55 in binary; the paper's ⌈α·T⌉ means 55.
        let grace_steps = (self.grace * total_steps as f64 - 1e-9).ceil().max(0.0) as u64;
        problems.into_result(Schedule {
            total_steps,
            grace_steps,
            check_every: self.check_every,
            stop_at: self.stop_at,
            cooldown: self.cooldown(),
            cooling: self.cooling,
        })
    }

    /// Returns the settings in force as a table, with every key of the run's schedule. The components' table is left out,
    /// and so is a policy that was made in code.
    pub fn settings(&self) -> Table {
        let integer = |number: u64| Value::Integer(i64::try_from(number).unwrap_or(i64::MAX));
        let cooldown = match self.cooldown() {
            Cooldown::Steps(steps) => integer(steps),
            Cooldown::Share { share } => {
                Value::Table(Table::from_iter([("share".to_owned(), Value::Float(share))]))
            }
        };
        let mut settings = Table::from_iter([
            ("metric".to_owned(), Value::String(self.metric.name().to_owned())),
            ("grace".to_owned(), Value::Float(self.grace)),
            ("check_every".to_owned(), integer(self.check_every)),
            ("stop_at".to_owned(), Value::Float(self.stop_at)),
            ("cooldown".to_owned(), cooldown),
            ("cooling".to_owned(), Value::String(self.cooling.name().to_owned())),
            ("followers".to_owned(), Value::String(self.followers.name().to_owned())),
            ("tied".to_owned(), Value::String(self.tied.name().to_owned())),
            ("empty_cache".to_owned(), Value::Float(self.empty_cache)),
        ]);
        if let Some(policy) = &self.policy_table {
            settings.insert("policy".to_owned(), Value::Table(policy.clone()));
        }
        settings
    }

    /// Returns the policy's prototype, planned for a run of this many steps.
    pub(crate) fn prototype(&self, total_steps: u64) -> Result<Box<dyn FreezePolicy>> {
        let mut prototype = self.policy.clone();
        let mut problems = Problems::default();
        prototype.plan(&RunPlan::new(total_steps, self.check_every), &mut problems);
        problems.into_result(prototype)
    }
}

/// When checks happen and what ends a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Schedule {
    pub(crate) total_steps: u64,
    pub(crate) grace_steps: u64,
    pub(crate) check_every: u64,
    pub(crate) stop_at: f64,
    pub(crate) cooldown: Cooldown,
    pub(crate) cooling: Cooling,
}

impl Schedule {
    /// The steps that a component cools from now on when it has trained since a step, cut short at the run's end.
    pub(crate) fn cooling_steps(&self, step: u64, since: u64) -> u64 {
        self.cooldown.steps(step.saturating_sub(since)).min(self.left(step))
    }

    /// Why a component must cool now, whatever its policy says: from the next check on, the run would end before
    /// it has cooled.
    pub(crate) fn deadline(&self, step: u64, since: u64) -> Option<Cause> {
        let next = step.saturating_add(self.check_every);
        let needed = self.cooldown.steps(next.saturating_sub(since)).saturating_add(self.check_every - 1);
        let left = self.left(step);
        (!self.cooldown.is_off() && left <= needed)
            .then(|| Cause::new("deadline", Measure::StepsLeft, left as f64, needed as f64))
    }

    fn left(&self, step: u64) -> u64 {
        self.total_steps.saturating_sub(step)
    }
}

const SHARE: &str = "a share from 0 to 1";
const EMPTY_CACHE: f64 = 0.1;
const CHECK_EVERY: &str = "at least 1";
const STOP_AT: &str = "a share above 0, up to 1";

fn is_share(share: f64) -> bool {
    (0.0..=1.0).contains(&share)
}

fn is_stop_at(share: f64) -> bool {
    share > 0.0 && share <= 1.0
}
