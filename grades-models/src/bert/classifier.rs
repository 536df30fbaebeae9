//! The classifier as a whole: loading, running, asking.

use std::path::Path;

use grades_lora::{Adapters, Linear, LinearLayers};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use super::config::BertConfig;
use super::encoder::Encoder;
use super::fill::Fill;
use super::layers::{dropout, linear};
use crate::error::{Error, Result};
use crate::files::{Checkpoint, Companions, dtype_name, lowest};
use crate::flops::{Products, Rows, linear as linear_products};

/// How [`BertClassifier::load`] is to read a model.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// The label names by id. Without them the model's own are used, which a base model may not have.
    pub labels: Option<Vec<String>>,
    /// Draw a fresh classification head even if the files have one.
    pub new_head: bool,
    /// Where the variables live.
    pub device: Device,
    /// The kind of the variables, whatever the files hold: `Float`, `Half`, `BFloat16` or `Double`.
    pub kind: Kind,
    /// Seed of the fresh tensors; torch's own generator is not touched.
    pub seed: u64,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { labels: None, new_head: false, device: Device::Cpu, kind: Kind::Float, seed: 0 }
    }
}

/// What [`BertClassifier::load`] did beyond copying tensors.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Variables that the files lack and that were drawn afresh: a new head, or a missing pooler.
    pub fresh: Vec<String>,
    /// Tensors of the files that the model has no use for.
    pub ignored: Vec<String>,
}

/// BERT with a linear classifier on the pooled `[CLS]` state.
#[derive(Debug)]
pub struct BertClassifier {
    store: VarStore,
    network: Network,
    config: BertConfig,
    labels: Vec<String>,
    kind: Kind,
    companions: Companions,
}

/// The layers, apart from the variables, so that both can be borrowed.
#[derive(Debug)]
struct Network {
    encoder: Encoder,
    classifier: Linear,
}

impl LinearLayers for Network {
    fn visit_linear(&mut self, visit: &mut dyn FnMut(&str, &mut Linear)) {
        self.encoder.visit_linear(&mut |name, layer| visit(&format!("bert.{name}"), layer));
        visit("classifier", &mut self.classifier);
    }
}

impl BertClassifier {
    /// Loads a model directory: a base model (then with a fresh head) or a complete classifier.
    ///
    /// # Errors
    ///
    /// Every variant of [`Error`]: an unreadable or damaged file, another kind of model, tensors that are
    /// missing, unexpected or of the wrong shape, labels that do not go with the classifier in the files.
    pub fn load(dir: &Path, options: LoadOptions) -> Result<(Self, LoadReport)> {
        let LoadOptions { labels, new_head, device, kind, seed } = options;
        if dtype_name(kind).is_none() {
            return Err(Error::Input(format!(
                "a model cannot be loaded as {kind:?}; supported: Float, Half, BFloat16, Double"
            )));
        }
        let config = BertConfig::load(dir)?;
        let checkpoint = Checkpoint::open(dir)?;
        checkpoint.check_sizes("bert.", &config.sizes())?;
        let rows = checkpoint.shape("classifier.weight").and_then(|shape| shape.first().copied());
        let labels = choose_labels(&config, labels, rows.filter(|_| !new_head))?;
        let count = i64::try_from(labels.len())
            .map_err(|_| Error::Input(format!("{} labels are too many", labels.len())))?;

        let mut store = VarStore::new(device);
        // Sets the kind of later variables too; there are none yet to convert.
        store.set_kind(kind);
        let encoder = Encoder::new(&store.root().sub("bert"), &config, kind)?;
        let classifier = linear(&store.root().sub("classifier"), config.hidden_size, count, kind)?;
        let deviation = config.initializer_range;
        let report = Fill { checkpoint: &checkpoint, deviation, seed, new_head }.run(&store)?;
        let companions = Companions::read(dir)?;
        let network = Network { encoder, classifier };
        Ok((Self { store, network, config, labels, kind, companions }, report))
    }

    /// Computes the logits `[B, labels]`, in the model's kind.
    ///
    /// `ids` are token ids `[B, T]`, i64, each below [`vocab_size`](Self::vocab_size) (on a GPU a larger one
    /// ends the process); `mask` `[B, T]`, of any kind, is zero where a token is padding. Both are on the
    /// model's device. Dropout is active iff `train`, and draws from torch's generator.
    ///
    /// # Errors
    ///
    /// [`Error::Input`] for shapes that do not fit or sequences longer than
    /// [`max_positions`](Self::max_positions), [`Error::Torch`] when libtorch refuses.
    pub fn forward(&self, ids: &Tensor, mask: &Tensor, train: bool) -> Result<Tensor> {
        let shape = ids.size();
        let [batch, length] = shape[..] else {
            return Err(Error::Input(format!("ids have shape {shape:?}; expected [batch, tokens]")));
        };
        if mask.size() != shape {
            let found = mask.size();
            return Err(Error::Input(format!("the mask has shape {found:?}, the ids have {shape:?}")));
        }
        let longest = self.config.max_position_embeddings;
        if length == 0 || length > longest {
            return Err(Error::Input(format!(
                "a sequence of {length} tokens; the model takes 1 to {longest} (\"max_position_embeddings\")"
            )));
        }
        // The lowest finite number instead of -inf: a row of padding alone gives no NaN.
        let mask = mask.f_eq(0)?.f_view([batch, 1, 1, length])?;
        let mut additive = Tensor::f_zeros([batch, 1, 1, length], (self.kind, self.store.device()))?;
        let additive = additive.f_masked_fill_(&mask, lowest(self.kind))?;
        let pooled = self.network.encoder.forward(ids, &additive, train)?;
        let pooled = dropout(pooled, self.config.classifier_dropout, train)?;
        Ok(self.network.classifier.forward(&pooled, train)?)
    }

    /// The products of matrices of a training step, as long as what is frozen and merged stays the same.
    pub fn products(&self) -> Products {
        let mut products = Products::default();
        let pooled = self.network.encoder.products(&mut products);
        linear_products(&mut products, &self.network.classifier, Rows::Sequences, pooled);
        products
    }

    /// The variables, under Hugging Face's names (`bert.encoder.layer.0.attention.self.query.weight`, …).
    pub fn var_store(&self) -> &VarStore {
        &self.store
    }

    /// The variables, to freeze them or to build an optimizer on them.
    ///
    /// Do not move them to another device or kind: the model was built for the ones it was loaded with.
    pub fn var_store_mut(&mut self) -> &mut VarStore {
        &mut self.store
    }

    /// The linear layers, under Hugging Face's names, and the variables, to put adapters in:
    ///
    /// ```no_run
    /// # use grades_models::{BertClassifier, LoadOptions};
    /// # use grades_lora::{Adapters, LoraConfig};
    /// # let dir = std::path::Path::new("models/mine");
    /// let (mut model, _) = BertClassifier::load(dir, LoadOptions::default())?;
    /// let (layers, variables) = model.layers_mut();
    /// let mut adapters = Adapters::new();
    /// adapters.add(layers, variables, "default", &LoraConfig::new(8).target_modules(["query", "value"]))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn layers_mut(&mut self) -> (&mut dyn LinearLayers, &VarStore) {
        (&mut self.network, &self.store)
    }

    /// The model's configuration.
    pub fn config(&self) -> &BertConfig {
        &self.config
    }

    /// The label names by id.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// The longest sequence, in tokens.
    pub fn max_positions(&self) -> i64 {
        self.config.max_position_embeddings
    }

    /// The number of token ids.
    pub fn vocab_size(&self) -> i64 {
        self.config.vocab_size
    }

    /// The device of the variables.
    pub fn device(&self) -> Device {
        self.store.device()
    }

    /// The kind of the variables and of the logits.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Writes `config.json`, `model.safetensors` and the tokenizer's files to the folder `dir`, creating it.
    ///
    /// All files are written completely before the first old one is replaced. The tokenizer's files are
    /// those of the directory that the model was loaded from, byte for byte.
    ///
    /// # Errors
    ///
    /// [`Error::Write`] naming the file that could not be written (the old files are then unchanged),
    /// [`Error::Input`] when adapters are in the model, [`Error::Torch`] when a variable cannot be read.
    pub fn save(&self, dir: &Path) -> Result<()> {
        if self.store.variables().keys().any(|name| Adapters::is_variable(name)) {
            return Err(Error::Input(
                "there are adapters in the model: save those, or merge them first (Adapters::merge_and_unload)".into(),
            ));
        }
        let dtype = dtype_name(self.kind)
            .ok_or_else(|| Error::Input(format!("a model of kind {:?} cannot be saved", self.kind)))?;
        let config = self.config.to_classifier_json(&self.labels, dtype);
        super::save::save(dir, &config, &self.store, &self.companions)
    }
}

/// The labels of the loaded model; `rows` is the size of the head in the files, if it is to be used.
fn choose_labels(
    config: &BertConfig,
    wanted: Option<Vec<String>>,
    rows: Option<usize>,
) -> Result<Vec<String>> {
    let error = |message: String| Error::Labels { path: config.path.clone(), message };
    let default = |count: usize| (0..count).map(|id| format!("LABEL_{id}")).collect::<Vec<_>>();
    // Hugging Face leaves id2label out when it is LABEL_0, LABEL_1.
    let own = config.labels.clone().or_else(|| rows.map(default));
    let Some(wanted) = wanted else {
        let own = own.ok_or_else(|| {
            error(
                "the model has no labels of its own (no \"id2label\", no classifier); give their names"
                    .into(),
            )
        })?;
        return match rows {
            Some(rows) if rows != own.len() => Err(error(format!(
                "\"id2label\" has {} labels, the classifier in the weights has {rows}",
                own.len()
            ))),
            _ => Ok(own),
        };
    };
    if wanted.is_empty() {
        return Err(Error::Input("the list of labels is empty".into()));
    }
    let Some(rows) = rows else { return Ok(wanted) };
    let own = own.unwrap_or_default();
    let unnamed = own == default(own.len());
    if wanted.len() == rows && (wanted == own || unnamed) {
        return Ok(wanted);
    }
    Err(error(format!(
        "the classifier in the weights has {rows} labels ({}), the labels asked for are {} ({}); use the \
         model's own labels, or ask for a new head",
        own.join(", "),
        wanted.len(),
        wanted.join(", ")
    )))
}
