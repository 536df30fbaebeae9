//! The configuration of an adapter, made in code.

use grades::Problems;
use grades::schema::words;

use super::expressions::{block, end, problem, saved, whole};
use crate::error::{Error, Result};

/// Which layers are adapted and how; the same as PEFT's `LoraConfig`, as far as it is supported.
///
/// In code:
///
/// ```
/// use grades_lora::{LoraConfig, Targets};
///
/// let config = LoraConfig::new(8).alpha(16.0).dropout(0.05).target_modules(["query", "value"]);
/// assert_eq!(config.scaling(8, 16.0), 2.0);
/// assert_eq!(config.rslora(true).scaling(16, 16.0), 4.0);
/// # Ok::<(), grades_lora::Error>(())
/// ```
///
/// As TOML, with the keys of `adapter_config.json` and their defaults:
///
/// ```toml
/// [lora]
/// r = 8                              # rank: columns of B and rows of A
/// lora_alpha = 8                     # the adapter's output is scaled by lora_alpha / r
/// lora_dropout = 0.0                 # on the adapter's input, in training
/// target_modules = "all-linear"      # or a list of names or their ends, or a regular expression over whole names
/// exclude_modules = []               # as target_modules: never adapted
/// rank_pattern = {}                  # r by layer: { 'layer\.0\..*' = 4 }, expressions over a name or its end
/// alpha_pattern = {}                 # lora_alpha by layer
/// layers_to_transform = []           # numbers of blocks; empty: all
/// layers_pattern = []                # what stands before a block's number; empty: anything
/// use_rslora = false                 # scale by lora_alpha / √r
/// use_dora = false                   # train a magnitude for each output as well
/// init_lora_weights = true           # B zero; "gaussian": A normal with deviation 1 / r; false: both drawn
/// bias = "none"                      # "all", "lora_only": biases that train as well
/// modules_to_save = []               # modules that train in full and are saved with the adapter
/// ensure_weight_tying = false        # true: an embedding among them stays the output matrix that is tied to it
/// ```
///
/// Of several patterns that match, the first counts: in code and in `adapter_config.json` in their order, in TOML by the
/// alphabet.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LoraConfig {
    /// The rank of layers that no pattern names; at least 1 (`r`).
    pub rank: i64,
    /// The numerator of the scaling of layers that no pattern names (`lora_alpha`).
    pub alpha: f64,
    /// The probability with which an input of the adapter is dropped in training, below 1 (`lora_dropout`).
    pub dropout: f64,
    /// The layers to adapt.
    pub target_modules: Targets,
    /// The layers never to adapt.
    pub exclude_modules: Option<Targets>,
    /// Ranks by layer; the first expression that matches a name or its end decides.
    pub rank_pattern: Vec<(String, i64)>,
    /// Alphas by layer, in the same way.
    pub alpha_pattern: Vec<(String, f64)>,
    /// The blocks to adapt; all when absent. Goes with a list of targets only, as in PEFT.
    pub layers_to_transform: Option<Vec<u32>>,
    /// The name before the number of a block; any when empty.
    pub layers_pattern: Vec<String>,
    /// Scale by alpha ÷ √rank (Kalajdzievski, arXiv 2312.03732) instead of alpha ÷ rank.
    pub use_rslora: bool,
    /// Train a magnitude for each output and only the direction by A and B (Liu et al., arXiv 2402.09353).
    pub use_dora: bool,
    /// How A and B begin.
    pub init: Init,
    /// Which biases train as well.
    pub bias: Bias,
    /// Modules that train in full: names or their ends.
    pub modules_to_save: Vec<String>,
    /// Whether an embedding that trains in full stays tied to the output matrix, where the base ties them. Without it each of
    /// the two is a weight of its own, as in PEFT.
    pub ensure_weight_tying: bool,
    /// PEFT's name of the task, for `adapter_config.json`: `SEQ_CLS`, `SEQ_2_SEQ_LM`, `CAUSAL_LM`, `TOKEN_CLS`,
    /// `QUESTION_ANS` or `FEATURE_EXTRACTION`. As in PEFT, layers called `classifier` or `score` are not adapted for
    /// `SEQ_CLS` and `TOKEN_CLS`, and `qa_outputs` is not for `QUESTION_ANS`.
    pub task_type: Option<String>,
    /// Where the base model is from, for `adapter_config.json`.
    pub base_model: Option<String>,
}

/// An expression of a configuration: its key, its text and its form.
type Expression<'a> = (&'static str, &'a str, fn(&str) -> String);

/// Which layers are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Targets {
    /// All linear layers but the model's head.
    AllLinear,
    /// Layers whose name is one of these, or ends in a dot and one of these.
    List(Vec<String>),
    /// Layers whose whole name this regular expression matches.
    Pattern(String),
}

/// How A and B begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Init {
    /// A uniform as in a fresh linear layer, B zero: the model is unchanged at first.
    #[default]
    Default,
    /// A normal with deviation 1 ÷ rank, B zero.
    Gaussian,
    /// A and B uniform, so that the model is changed from the start; for tests.
    Random,
}

words! {
    /// The biases that train along with the adapters.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub enum Bias: "bias" {
        /// None.
        #[default]
        None = "none",
        /// All of the model.
        All = "all",
        /// Those of adapted layers.
        LoraOnly = "lora_only",
    }
}

impl Targets {
    /// Reads a text: `all-linear`, or a regular expression.
    pub(crate) fn from_text(text: &str) -> Self {
        if text.eq_ignore_ascii_case("all-linear") { Self::AllLinear } else { Self::Pattern(text.to_owned()) }
    }
}

impl std::fmt::Display for Targets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AllLinear => f.write_str("\"all-linear\""),
            Self::List(names) => write!(f, "{names:?}"),
            Self::Pattern(pattern) => write!(f, "the expression \"{pattern}\""),
        }
    }
}

impl Default for LoraConfig {
    fn default() -> Self {
        Self {
            rank: 8,
            alpha: 8.0,
            dropout: 0.0,
            target_modules: Targets::AllLinear,
            exclude_modules: None,
            rank_pattern: Vec::new(),
            alpha_pattern: Vec::new(),
            layers_to_transform: None,
            layers_pattern: Vec::new(),
            use_rslora: false,
            use_dora: false,
            init: Init::default(),
            bias: Bias::default(),
            modules_to_save: Vec::new(),
            ensure_weight_tying: false,
            task_type: None,
            base_model: None,
        }
    }
}

/// The tasks that PEFT 0.21.2 knows; it reads no file with another.
const TASKS: [&str; 6] =
    ["SEQ_CLS", "SEQ_2_SEQ_LM", "CAUSAL_LM", "TOKEN_CLS", "QUESTION_ANS", "FEATURE_EXTRACTION"];

fn strings<T: Into<String>>(names: impl IntoIterator<Item = T>) -> Vec<String> {
    names.into_iter().map(Into::into).collect()
}

/// The configuration step by step.
impl LoraConfig {
    /// Adapters of this rank on all linear layers but the head, with alpha 8, PEFT's default.
    pub fn new(rank: i64) -> Self {
        Self { rank, ..Self::default() }
    }

    /// Sets the numerator of the scaling.
    #[must_use]
    pub fn alpha(mut self, alpha: f64) -> Self {
        self.alpha = alpha;
        self
    }

    /// Sets the dropout on the adapters' inputs.
    #[must_use]
    pub fn dropout(mut self, dropout: f64) -> Self {
        self.dropout = dropout;
        self
    }

    /// Adapts layers of these names, or whose names end in a dot and one of these.
    #[must_use]
    pub fn target_modules<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.target_modules = Targets::List(strings(names));
        self
    }

    /// Adapts the layers whose whole names this regular expression matches; `all-linear` means all but the head.
    #[must_use]
    pub fn target_pattern(mut self, pattern: &str) -> Self {
        self.target_modules = Targets::from_text(pattern);
        self
    }

    /// Excludes layers of these names, or whose names end in a dot and one of these.
    #[must_use]
    pub fn exclude_modules<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.exclude_modules = Some(Targets::List(strings(names)));
        self
    }

    /// Gives a rank to the layers whose names, or their ends after a dot, this expression matches; the first such
    /// expression counts.
    #[must_use]
    pub fn rank_of(mut self, pattern: &str, rank: i64) -> Self {
        self.rank_pattern.push((pattern.to_owned(), rank));
        self
    }

    /// Gives an alpha in the same way.
    #[must_use]
    pub fn alpha_of(mut self, pattern: &str, alpha: f64) -> Self {
        self.alpha_pattern.push((pattern.to_owned(), alpha));
        self
    }

    /// Adapts the blocks of these numbers only; needs [`target_modules`](Self::target_modules) as a list.
    #[must_use]
    pub fn layers_to_transform(mut self, layers: impl IntoIterator<Item = u32>) -> Self {
        self.layers_to_transform = Some(layers.into_iter().collect());
        self
    }

    /// Sets whether to scale by alpha ÷ √rank.
    #[must_use]
    pub fn rslora(mut self, on: bool) -> Self {
        self.use_rslora = on;
        self
    }

    /// Sets whether to train magnitudes.
    #[must_use]
    pub fn dora(mut self, on: bool) -> Self {
        self.use_dora = on;
        self
    }

    /// Sets how A and B begin.
    #[must_use]
    pub fn init(mut self, init: Init) -> Self {
        self.init = init;
        self
    }

    /// Sets which biases train.
    #[must_use]
    pub fn bias(mut self, bias: Bias) -> Self {
        self.bias = bias;
        self
    }

    /// Trains and saves modules of these names, or whose names end so, in full.
    #[must_use]
    pub fn modules_to_save<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.modules_to_save = strings(names);
        self
    }

    /// Sets whether an embedding that trains in full stays tied to the output matrix.
    #[must_use]
    pub fn ensure_weight_tying(mut self, ensure: bool) -> Self {
        self.ensure_weight_tying = ensure;
        self
    }

    /// Sets PEFT's name of the task, one of those that [`task_type`](Self::task_type) lists.
    #[must_use]
    pub fn task_type(mut self, task: &str) -> Self {
        self.task_type = Some(task.to_owned());
        self
    }

    /// Sets where the base model is from.
    #[must_use]
    pub fn base_model(mut self, path: &str) -> Self {
        self.base_model = Some(path.to_owned());
        self
    }

    /// Returns the factor on the output of an adapter of this rank and alpha: alpha ÷ rank, with rsLoRA alpha ÷ √rank.
    pub fn scaling(&self, rank: i64, alpha: f64) -> f64 {
        let rank = rank as f64;
        alpha / if self.use_rslora { rank.sqrt() } else { rank }
    }

    /// Checks everything that can be wrong without a model.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] with all problems, each with its key.
    pub fn check(&self) -> Result<()> {
        let mut problems = Problems::default();
        self.note_problems("", &mut problems);
        if problems.is_empty() { Ok(()) } else { Err(Error::Config(problems)) }
    }

    /// Notes what is wrong, under keys that begin with `prefix`.
    pub(crate) fn note_problems(&self, prefix: &str, problems: &mut Problems) {
        let mut note = |key: &str, message: String| problems.push(format!("{prefix}{key}"), message);
        if self.rank < 1 {
            note("r", format!("expected a rank of at least 1, found {}", self.rank));
        }
        if !self.alpha.is_finite() {
            note("lora_alpha", format!("expected a number, found {}", self.alpha));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            note("lora_dropout", format!("expected a number from 0 to below 1, found {}", self.dropout));
        }
        for (pattern, rank) in self.rank_pattern.iter().filter(|(_, rank)| *rank < 1) {
            note("rank_pattern", format!("expected a rank of at least 1 for \"{pattern}\", found {rank}"));
        }
        for (pattern, alpha) in self.alpha_pattern.iter().filter(|(_, alpha)| !alpha.is_finite()) {
            note("alpha_pattern", format!("expected a number for \"{pattern}\", found {alpha}"));
        }
        if let Targets::List(names) = &self.target_modules
            && names.is_empty()
        {
            note("target_modules", "is empty: nothing would be adapted".to_owned());
        }
        let chooses_blocks = self.layers_to_transform.as_ref().is_some_and(|layers| !layers.is_empty());
        if chooses_blocks && !matches!(self.target_modules, Targets::List(_)) {
            let message = format!("needs target_modules as a list of names, found {}", self.target_modules);
            note("layers_to_transform", message);
        }
        if !self.layers_pattern.is_empty() && !chooses_blocks {
            note("layers_pattern", "means nothing without layers_to_transform".to_owned());
        }
        if let Some(task) = self.task_type.as_deref().filter(|task| !TASKS.contains(task)) {
            note("task_type", format!("expected one of {}, found \"{task}\"", TASKS.join(", ")));
        }
        for (key, source, wrap) in self.expressions() {
            if let Some(error) = problem(source, wrap) {
                note(key, error);
            }
        }
    }

    /// Lists the expressions, each with its key and its form.
    fn expressions(&self) -> Vec<Expression<'_>> {
        let mut list: Vec<Expression<'_>> = Vec::new();
        if let Targets::Pattern(pattern) = &self.target_modules {
            list.push(("target_modules", pattern, whole));
        }
        if let Some(Targets::Pattern(pattern)) = &self.exclude_modules {
            list.push(("exclude_modules", pattern, whole));
        }
        list.extend(self.modules_to_save.iter().map(|name| ("modules_to_save", name.as_str(), saved as _)));
        list.extend(self.layers_pattern.iter().map(|name| ("layers_pattern", name.as_str(), block as _)));
        list.extend(self.rank_pattern.iter().map(|(name, _)| ("rank_pattern", name.as_str(), end as _)));
        list.extend(self.alpha_pattern.iter().map(|(name, _)| ("alpha_pattern", name.as_str(), end as _)));
        list
    }
}
