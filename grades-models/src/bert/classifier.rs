//! The classifier: loads a model directory, computes logits, saves.

use std::ops::Range;
use std::path::Path;

use grades_lora::{Adapters, Linear, LinearLayers};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use super::config::BertConfig;
use super::encoder::Encoder;
use super::initialize::Initializer;
use super::layers::{dropout, linear};
use super::options::{LoadOptions, LoadReport};
use crate::error::{Error, Result};
use crate::files::{Dtypes, Sidecars, Weights, dtype_name, lowest_finite, name_quantization};
use crate::flops::{Matmuls, Per, linear_matmuls};
use crate::prefix::Prefix;

/// BERT with a linear classifier on the pooled `[CLS]` state.
#[derive(Debug)]
pub struct BertClassifier {
    store: VarStore,
    network: Network,
    config: BertConfig,
    labels: Vec<String>,
    dtypes: Dtypes,
    sidecars: Sidecars,
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
        // Before a file is read.
        Dtypes::new(options.dtype, options.autocast)?;
        Self::load_with(dir, BertConfig::load(dir)?, options)
    }

    /// As [`load`](Self::load), with the directory's configuration, which was read before.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn load_with(dir: &Path, config: BertConfig, options: LoadOptions) -> Result<(Self, LoadReport)> {
        let LoadOptions { labels, subset, new_head, device, dtype, autocast, seed } = options;
        let dtypes = Dtypes::new(dtype, autocast)?;
        let weights = Weights::open(dir)?;
        let named = |error| name_quantization(error, &config.raw, dir);
        weights.check_sizes("bert.", &config.sizes()).map_err(named)?;
        let rows = weights.shape("classifier.weight").and_then(|shape| shape.first().copied());
        let rows = rows.filter(|_| !new_head);
        if let Some(rows) = rows {
            config.check_problem(rows)?;
        }
        let labels = choose_labels(&config, labels, subset, rows)?;
        let count = i64::try_from(labels.len())
            .map_err(|_| Error::Input(format!("{} labels are too many", labels.len())))?;

        let mut store = VarStore::new(device);
        // Sets the dtype of later variables; there are none yet to convert.
        store.set_kind(dtype);
        let encoder = Encoder::new(&store.root().sub("bert"), &config, dtypes)?;
        let classifier = linear(&store.root().sub("classifier"), config.hidden_size, count, dtypes.plain())?;
        let deviation = config.initializer_range;
        let report =
            Initializer { weights: &weights, deviation, seed, new_head }.run(&store).map_err(named)?;
        let sidecars = Sidecars::read(dir)?;
        let network = Network { encoder, classifier };
        Ok((Self { store, network, config, labels, dtypes, sidecars }, report))
    }

    /// Computes the logits `[B, labels]` of sentences, in the model's dtype.
    ///
    /// `ids` are token ids `[B, T]`, i64, each below [`vocab_size`](Self::vocab_size) (on a GPU a larger one
    /// ends the process); `mask` `[B, T]`, of any dtype, is zero where a token is padding. Both are on the
    /// model's device. Dropout is active iff `train`, and draws from torch's generator.
    ///
    /// # Errors
    ///
    /// [`Error::Input`] for shapes that do not fit or sequences longer than
    /// [`max_positions`](Self::max_positions), [`Error::Torch`] when libtorch refuses.
    pub fn forward(&self, ids: &Tensor, mask: &Tensor, train: bool) -> Result<Tensor> {
        self.logits(ids, None, mask, train)
    }

    /// Computes the logits of pairs of sentences, as [`forward`](Self::forward).
    ///
    /// `types` are the segments of the tokens `[B, T]`, i64, each below `type_vocab_size` of [`config`](Self::config): 0
    /// for a first sentence, 1 for a second one, as the tokenizer gives them (`token_type_ids`).
    ///
    /// # Errors
    ///
    /// As for [`forward`](Self::forward).
    pub fn forward_pairs(&self, ids: &Tensor, types: &Tensor, mask: &Tensor, train: bool) -> Result<Tensor> {
        self.logits(ids, Some(types), mask, train)
    }

    fn logits(&self, ids: &Tensor, types: Option<&Tensor>, mask: &Tensor, train: bool) -> Result<Tensor> {
        self.check_inputs(ids, types, mask)?;
        let mask = self.additive(mask)?;
        let embedded = self.network.encoder.embed(ids, types, train)?;
        self.classify(embedded, 0, &mask, train)
    }

    /// Computes the logits `[B, labels]` from the output of the lowest blocks, as [`forward`](Self::forward) does from
    /// token ids. Dropout is active in the other blocks and the head iff `train`.
    ///
    /// # Errors
    ///
    /// As [`forward`](Self::forward); also [`Error::Input`] when the prefix does not go with the mask or the model.
    pub fn forward_from(&self, prefix: &Prefix, mask: &Tensor, train: bool) -> Result<Tensor> {
        self.check_prefix(prefix, mask)?;
        let mask = self.additive(mask)?;
        self.classify(prefix.states.shallow_clone(), prefix.blocks, &mask, train)
    }

    /// Computes the output of the lowest `blocks` blocks, without dropout and without gradients.
    ///
    /// ```no_run
    /// use grades_models::bert::{BertClassifier, LoadOptions};
    ///
    /// let dir = std::path::Path::new("models/mine");
    /// let ids = tch::Tensor::from_slice(&[101i64, 7592, 102]).view([1, 3]);
    /// let mask = ids.ones_like();
    /// let (model, _) = BertClassifier::load(dir, LoadOptions::default())?;
    /// let prefix = model.prefix(&ids, &mask, 2)?;
    /// let further = model.extend_prefix(&prefix, &mask, 3)?;
    /// assert_eq!(model.forward_from(&further, &mask, false)?, model.forward(&ids, &mask, false)?);
    /// # Ok::<(), grades_models::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`forward`](Self::forward); also [`Error::Input`] when the model has fewer blocks.
    pub fn prefix(&self, ids: &Tensor, mask: &Tensor, blocks: usize) -> Result<Prefix> {
        self.lowest(ids, None, mask, blocks)
    }

    /// Computes the output of the lowest `blocks` blocks for pairs of sentences, as [`prefix`](Self::prefix), with segments as
    /// for [`forward_pairs`](Self::forward_pairs).
    ///
    /// # Errors
    ///
    /// As [`prefix`](Self::prefix).
    pub fn prefix_pairs(&self, ids: &Tensor, types: &Tensor, mask: &Tensor, blocks: usize) -> Result<Prefix> {
        self.lowest(ids, Some(types), mask, blocks)
    }

    fn lowest(&self, ids: &Tensor, types: Option<&Tensor>, mask: &Tensor, blocks: usize) -> Result<Prefix> {
        let rest = Prefix::rest(0, blocks, self.network.encoder.len())?;
        self.check_inputs(ids, types, mask)?;
        let _no_grad = tch::no_grad_guard();
        let embedded = self.network.encoder.embed(ids, types, false)?;
        let states = self.network.encoder.run(embedded, rest, &self.additive(mask)?, false)?;
        Ok(Prefix { blocks, states })
    }

    /// Computes the output of the lowest `blocks` blocks from that of fewer, without dropout and without gradients.
    ///
    /// # Errors
    ///
    /// As [`forward_from`](Self::forward_from); also [`Error::Input`] when the prefix already has more blocks, or the model
    /// has fewer.
    pub fn extend_prefix(&self, prefix: &Prefix, mask: &Tensor, blocks: usize) -> Result<Prefix> {
        let rest = Prefix::rest(prefix.blocks, blocks, self.network.encoder.len())?;
        self.check_prefix(prefix, mask)?;
        let _no_grad = tch::no_grad_guard();
        let states = prefix.states.shallow_clone();
        let states = self.network.encoder.run(states, rest, &self.additive(mask)?, false)?;
        Ok(Prefix { blocks, states })
    }

    /// Runs the blocks from `first` on, the pooler and the head.
    fn classify(&self, states: Tensor, first: usize, mask: &Tensor, train: bool) -> Result<Tensor> {
        let encoder = &self.network.encoder;
        let hidden = encoder.run(states, first..encoder.len(), mask, train)?;
        let pooled = dropout(encoder.pool(&hidden, train)?, self.config.classifier_dropout, train)?;
        Ok(self.network.classifier.forward(&pooled, train)?)
    }

    /// Checks that ids, segments and mask go together.
    fn check_inputs(&self, ids: &Tensor, types: Option<&Tensor>, mask: &Tensor) -> Result<()> {
        let (shape, found) = (ids.size(), mask.size());
        if shape.len() != 2 {
            return Err(Error::Input(format!("ids have shape {shape:?}; expected [batch, tokens]")));
        }
        if found != shape {
            return Err(Error::Input(format!("the mask has shape {found:?}, the ids have {shape:?}")));
        }
        if let Some(found) = types.map(Tensor::size).filter(|found| *found != shape) {
            return Err(Error::Input(format!("the segments have shape {found:?}, the ids have {shape:?}")));
        }
        Ok(())
    }

    /// Checks that a prefix goes with the mask and the model.
    fn check_prefix(&self, prefix: &Prefix, mask: &Tensor) -> Result<()> {
        let encoder = &self.network.encoder;
        Prefix::rest(prefix.blocks, encoder.len(), encoder.len())?;
        prefix.check(&mask.size(), self.config.hidden_size, self.dtype())
    }

    /// Returns the mask `[B, 1, 1, T]` that is added to the scores.
    fn additive(&self, mask: &Tensor) -> Result<Tensor> {
        let shape = mask.size();
        let [batch, length] = shape[..] else {
            return Err(Error::Input(format!("the mask has shape {shape:?}; expected [batch, tokens]")));
        };
        let longest = self.config.max_position_embeddings;
        if length == 0 || length > longest {
            return Err(Error::Input(format!(
                "a sequence of {length} tokens; the model takes 1 to {longest} (\"max_position_embeddings\")"
            )));
        }
        // The lowest_finite finite number instead of -inf: a row of padding alone gives no NaN.
        let mask = mask.f_eq(0)?.f_view([batch, 1, 1, length])?;
        let kind = self.dtypes.compute;
        let mut additive = Tensor::f_zeros([batch, 1, 1, length], (kind, self.store.device()))?;
        Ok(additive.f_masked_fill_(&mask, lowest_finite(kind))?)
    }

    /// Returns the matmuls of a training step, for the parameters that are frozen and the adapters that are merged now.
    pub fn matmuls(&self) -> Matmuls {
        let mut matmuls = Matmuls::default();
        let pooled = self.network.encoder.matmuls(&mut matmuls);
        linear_matmuls(&mut matmuls, &self.network.classifier, Per::Sequence, pooled);
        matmuls
    }

    /// Returns the matmuls of these blocks alone, counted from the bottom: what a pass that begins above them saves forward.
    pub fn block_matmuls(&self, blocks: Range<usize>) -> Matmuls {
        self.network.encoder.block_matmuls(blocks)
    }

    /// Returns the number of lowest blocks whose output no longer changes: nothing trains in them or in the embeddings.
    pub fn frozen_blocks(&self) -> usize {
        self.network.encoder.frozen_blocks()
    }

    /// Returns the variables, under Hugging Face's names (`bert.encoder.layer.0.attention.self.query.weight`, …).
    pub fn var_store(&self) -> &VarStore {
        &self.store
    }

    /// Returns the variables, to freeze them or to build an optimizer on them.
    ///
    /// Do not move them to another device or dtype: the model was built for the ones it was loaded with.
    pub fn var_store_mut(&mut self) -> &mut VarStore {
        &mut self.store
    }

    /// Returns the linear layers, under Hugging Face's names, and the variables, to add adapters to:
    ///
    /// ```no_run
    /// use grades_lora::{Adapters, LoraConfig};
    /// use grades_models::bert::{BertClassifier, LoadOptions};
    ///
    /// let dir = std::path::Path::new("models/mine");
    /// let (mut model, _) = BertClassifier::load(dir, LoadOptions::default())?;
    /// let (layers, variables) = model.layers_mut();
    /// let mut adapters = Adapters::new();
    /// adapters.add(layers, variables, "default", &LoraConfig::new(8).target_modules(["query", "value"]))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn layers_mut(&mut self) -> (&mut dyn LinearLayers, &VarStore) {
        (&mut self.network, &self.store)
    }

    /// Returns the model's configuration.
    pub fn config(&self) -> &BertConfig {
        &self.config
    }

    /// Returns the label names by id.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// Returns the longest sequence, in tokens.
    pub fn max_positions(&self) -> i64 {
        self.config.max_position_embeddings
    }

    /// Returns the number of token ids.
    pub fn vocab_size(&self) -> i64 {
        self.config.vocab_size
    }

    /// Returns the device of the variables.
    pub fn device(&self) -> Device {
        self.store.device()
    }

    /// Returns the dtype of the variables and of the logits.
    pub fn dtype(&self) -> Kind {
        self.dtypes.parameters
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
        let dtype = dtype_name(self.dtype())
            .ok_or_else(|| Error::Input(format!("a model of dtype {:?} cannot be saved", self.dtype())))?;
        let config = self.config.to_classifier_json(&self.labels, dtype);
        super::save::save(dir, &config, &self.store, &self.sidecars)
    }
}

/// Chooses the labels of the loaded model; `rows` is the size of the head in the files, if it is to be used.
fn choose_labels(
    config: &BertConfig,
    wanted: Option<Vec<String>>,
    subset: bool,
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
    if subset && own.len() == rows && wanted.iter().all(|label| own.contains(label)) {
        return Ok(own);
    }
    Err(error(format!(
        "the classifier in the weights has {rows} labels ({}), the labels asked for are {} ({}); use the \
         model's own labels, or ask for a new head",
        own.join(", "),
        wanted.len(),
        wanted.join(", ")
    )))
}
