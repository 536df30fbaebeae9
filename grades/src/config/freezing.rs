//! The `[freezing]` table.

use toml::{Table, Value};

use super::{Cooldown, Cooling, Followers, preset};
use crate::component::ComponentConfig;
use crate::error::{Error, Problems, Result};
use crate::policy::{Cause, FreezePolicy, Measure, PolicyBuilder, PolicyRegistry};
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
/// # use grades::policy::{Decision, FreezePolicy, Observation};
/// # use grades::statistic::StatisticSet;
/// # #[derive(Debug, Clone)]
/// # struct Never;
/// # impl FreezePolicy for Never {
/// #     fn name(&self) -> &'static str { "never" }
/// #     fn statistics(&self) -> StatisticSet { StatisticSet::default() }
/// #     fn decide(&mut self, _: &Observation<'_>) -> Decision { Decision::Keep }
/// # }
/// use grades::FreezingConfig;
///
/// let config = FreezingConfig::with_policy(Never).grace(0.3).check_every(10);
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
    empty_cache: f64,
    components: ComponentConfig,
    policy: PolicySource,
}

#[derive(Debug, Clone)]
enum PolicySource {
    /// A table that names a linked policy, and where it stands.
    Table(String, Table),
    /// A policy made in code.
    Prototype(Box<dyn FreezePolicy>),
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
            "empty_cache",
            "on CUDA, share of the memory that freezes must give back before the device gets it (0.1)",
        ),
        Key::new("policy", "the policy's table: name, and its keys (signal-fraction)"),
        Key::new("components", "which parameters are components"),
        Key::new(preset::KEY, preset::HELP),
    ];

    /// The policy of a table that names none; it needs no threshold by hand. It is in `grades-policies`.
    pub const DEFAULT_POLICY: &'static str = "signal-fraction";

    /// The defaults with this policy.
    pub fn with_policy(policy: impl FreezePolicy + 'static) -> Self {
        Self::defaults(PolicySource::Prototype(Box::new(policy)))
    }

    fn defaults(policy: PolicySource) -> Self {
        Self {
            metric: Statistic::GradL1,
            grace: 0.0,
            check_every: 1,
            stop_at: 1.0,
            cooldown: None,
            cooling: Cooling::default(),
            followers: Followers::default(),
            empty_cache: EMPTY_CACHE,
            components: ComponentConfig::default(),
            policy,
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
        let config = Self::read(path, table, &mut problems)?;
        problems.into_result(config)
    }

    /// Reads a table found at the dotted `path`, noting problems beside those of the rest of a file.
    ///
    /// What is returned is usable only when no problem was noted.
    ///
    /// # Errors
    ///
    /// [`Error::DuplicatePolicy`] when the registry contradicts itself.
    pub fn read(path: &str, table: &Table, problems: &mut Problems) -> Result<Self> {
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
        let empty_cache = section.number_or("empty_cache", EMPTY_CACHE, SHARE, is_share);
        let components = section.table("components", ComponentConfig::KEYS, ComponentConfig::from_section);
        let builder = PolicyBuilder::new(registry, metric, None);
        let policy = if section.has("policy") {
            builder.child(&mut section, "policy");
            // Where it is no table, that was noted just now.
            table.get("policy").and_then(Value::as_table).cloned().unwrap_or_default()
        } else {
            let policy =
                Table::from_iter([("name".to_owned(), Value::String(Self::DEFAULT_POLICY.to_owned()))]);
            let path = section.path_of("policy");
            builder.build(&path, &policy, section.problems());
            policy
        };
        let defaults = Self::defaults(PolicySource::Table(section.path_of("policy"), policy));
        Ok(Self {
            metric,
            grace: grace.unwrap_or(defaults.grace),
            check_every: check_every.unwrap_or(defaults.check_every),
            stop_at: stop_at.unwrap_or(defaults.stop_at),
            cooldown: cooldown.flatten(),
            cooling: cooling.unwrap_or_default(),
            followers: followers.unwrap_or_default(),
            empty_cache: empty_cache.unwrap_or(EMPTY_CACHE),
            components: components.unwrap_or_default(),
            ..defaults
        })
    }

    /// No freezing before this share of the planned steps, from 0 to 1: the paper's α.
    #[must_use]
    pub fn grace(mut self, share: f64) -> Self {
        self.grace = share;
        self
    }

    /// Checks every so many optimizer steps.
    #[must_use]
    pub fn check_every(mut self, steps: u64) -> Self {
        self.check_every = steps;
        self
    }

    /// Training should stop once this share of the components is frozen.
    #[must_use]
    pub fn stop_at(mut self, share: f64) -> Self {
        self.stop_at = share;
        self
    }

    /// Lets a component cool for so long before it freezes.
    #[must_use]
    pub fn cooldown(mut self, cooldown: Cooldown) -> Self {
        self.cooldown = Some(cooldown);
        self
    }

    /// What happens to a component while it cools.
    #[must_use]
    pub fn cooling(mut self, cooling: Cooling) -> Self {
        self.cooling = cooling;
        self
    }

    /// What becomes of parameters that belong to no component.
    #[must_use]
    pub fn followers(mut self, followers: Followers) -> Self {
        self.followers = followers;
        self
    }

    /// On CUDA, hands memory back to the device once freezes have given back this share, from 0 to 1, of what training
    /// takes ([`Memory::total`](crate::freezing::Memory::total)). What is below stays with libtorch's allocator.
    #[must_use]
    pub fn empty_cache(mut self, share: f64) -> Self {
        self.empty_cache = share;
        self
    }

    /// Finds components in this way.
    #[must_use]
    pub fn components(mut self, components: ComponentConfig) -> Self {
        self.components = components;
        self
    }

    /// Which parameters are components: the `components` table.
    pub fn component_config(&self) -> &ComponentConfig {
        &self.components
    }

    /// What becomes of parameters that belong to no component.
    #[cfg(feature = "torch")]
    pub(crate) fn followers_setting(&self) -> Followers {
        self.followers
    }

    /// The share of the memory after which the device gets it back.
    #[cfg(feature = "torch")]
    pub(crate) fn empty_cache_share(&self) -> f64 {
        self.empty_cache
    }

    /// The run's schedule of checks, once the number of steps is known.
    pub(crate) fn schedule(&self, total_steps: u64, policy: &dyn FreezePolicy) -> Result<Schedule> {
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
            cooldown: self.cooldown.unwrap_or_else(|| policy.default_cooldown()),
            cooling: self.cooling,
        })
    }

    /// The settings in force as a table, every key of the run's schedule spelt out; the components' table is not in
    /// it, nor a policy that was made in code.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] when the policy cannot be built.
    pub fn settings(&self) -> Result<Table> {
        let cooldown = match self.cooldown {
            Some(cooldown) => cooldown,
            None => self.prototype(None)?.default_cooldown(),
        };
        let integer = |number: u64| Value::Integer(i64::try_from(number).unwrap_or(i64::MAX));
        let cooldown = match cooldown {
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
            ("empty_cache".to_owned(), Value::Float(self.empty_cache)),
        ]);
        if let PolicySource::Table(_, policy) = &self.policy {
            settings.insert("policy".to_owned(), Value::Table(policy.clone()));
        }
        Ok(settings)
    }

    /// Whether components cool before they freeze, as configured or as the policy has it.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] when the policy cannot be built.
    pub fn cools(&self) -> Result<bool> {
        match self.cooldown {
            Some(cooldown) => Ok(!cooldown.is_off()),
            None => Ok(!self.prototype(None)?.default_cooldown().is_off()),
        }
    }

    /// The policy's prototype for a run of so many steps, where their number is known.
    pub(crate) fn prototype(&self, total_steps: Option<u64>) -> Result<Box<dyn FreezePolicy>> {
        match &self.policy {
            PolicySource::Prototype(policy) => Ok(policy.clone()),
            PolicySource::Table(path, table) => {
                let mut problems = Problems::default();
                let builder = PolicyBuilder::new(PolicyRegistry::linked()?, self.metric, total_steps)
                    .every(self.check_every);
                builder.build(path, table, &mut problems).ok_or(Error::Config(problems))
            }
        }
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
        (!self.cooldown.is_off() && left <= needed).then_some(Cause {
            policy: "deadline",
            measure: Measure::StepsLeft,
            value: left as f64,
            threshold: needed as f64,
        })
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
