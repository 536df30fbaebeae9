//! Decides when and from which block on outputs are stored.

use std::path::{Path, PathBuf};

use anyhow::Result;
use grades_models::flops::BatchShape;
use grades_models::{Model, Prefix};

use super::rows::{Compute, Padded, RowCache};
use super::slots::{Limits, Slots};
use crate::config::{CacheConfig, CacheMode};
use crate::state::CacheEra;

/// A data set whose rows are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowSet {
    /// The rows of training batches.
    Training,
    /// The rows of `data.eval`.
    Evaluation,
    /// The choices of its questions.
    Choices,
}

/// The numbers of tokens of all rows; empty for a data set that is not stored.
#[derive(Debug, Default)]
pub(crate) struct CacheLayout {
    /// Of training batches.
    pub(crate) training: Vec<usize>,
    /// Of `data.eval`.
    pub(crate) evaluation: Vec<usize>,
    /// Of the choices of its questions.
    pub(crate) choices: Vec<usize>,
}

/// The bytes of what is stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CacheBytes {
    /// In main memory.
    pub(crate) memory: u64,
    /// In the file.
    pub(crate) file: u64,
}

impl CacheBytes {
    /// Returns the bytes in main memory and in the file.
    pub(crate) fn total(self) -> u64 {
        self.memory + self.file
    }
}

/// The input of the first block that a batch runs.
#[derive(Debug)]
pub(crate) struct Fetched {
    /// The output of the blocks below.
    pub(crate) prefix: Prefix,
    /// The FLOPs of the forward pass that were not computed again.
    pub(crate) saved_flops: u128,
}

/// The outputs of the frozen lowest blocks.
#[derive(Debug)]
pub(crate) struct ActivationCache {
    config: CacheConfig,
    layout: CacheLayout,
    folder: PathBuf,
    /// The blocks below the first that batches run; 0 while nothing is stored.
    blocks: usize,
    sets: [Option<RowCache>; 3],
    eras: Vec<CacheEra>,
    most: CacheBytes,
    /// Whether a failure was reported.
    warned: bool,
    /// Whether it was said why nothing is stored.
    explained: bool,
}

impl ActivationCache {
    /// Makes a cache that stores nothing yet; `folder` is where its file will be.
    pub(crate) fn new(config: CacheConfig, layout: CacheLayout, folder: &Path) -> Self {
        Self {
            config,
            layout,
            folder: folder.to_owned(),
            blocks: 0,
            sets: [None, None, None],
            eras: Vec::new(),
            most: CacheBytes::default(),
            warned: false,
            explained: false,
        }
    }

    /// Makes a cache that never stores anything.
    pub(crate) fn off() -> Self {
        Self::new(CacheConfig::NEVER, CacheLayout::default(), Path::new(""))
    }

    /// Follows the model after this many steps: stores, from now on, the output of the blocks that are frozen. `again` says
    /// whether training rows are seen again before the run ends. Returns a fact for the user, if there is one.
    pub(crate) fn update(&mut self, model: &dyn Model, step: u64, again: bool) -> Option<String> {
        let frozen = model.frozen_blocks();
        if frozen == self.blocks {
            return None;
        }
        if self.blocks > 0 {
            self.enter(CacheEra { step, blocks: frozen }, model);
            return None;
        }
        let (needed, limit) = (self.needed(model), self.limit());
        let fits = needed <= limit;
        match self.config.mode {
            CacheMode::Never => return None,
            CacheMode::Auto if !again => return None,
            CacheMode::Auto if !fits => {
                let said = std::mem::replace(&mut self.explained, true);
                return (!said).then(|| {
                    format!(
                        "step {step}: the outputs of the lowest {frozen} blocks are not stored: the training examples need {}, \
                         the limits allow {} (freezing.cache)",
                        mebibytes(needed),
                        mebibytes(limit)
                    )
                });
            }
            CacheMode::Auto | CacheMode::Always => {}
        }
        self.enter(CacheEra { step, blocks: frozen }, model);
        let most = mebibytes(needed.min(limit));
        Some(format!(
            "step {step}: batches begin above the lowest {frozen} of {} blocks, whose outputs are stored in up to {most} and \
             which run without dropout from now on",
            model.blocks()
        ))
    }

    /// Begins to store the output of another number of blocks, and drops what is of more.
    pub(crate) fn enter(&mut self, era: CacheEra, model: &dyn Model) {
        if era.blocks == 0 {
            self.clear();
            return;
        }
        if self.blocks == 0 {
            self.make_slots(model);
        }
        for set in self.sets.iter_mut().flatten().filter(|_| era.blocks < self.blocks) {
            set.slots_mut().limit(era.blocks);
        }
        self.blocks = era.blocks;
        self.eras.push(era);
    }

    /// Drops everything, such as after the weights were replaced.
    pub(crate) fn clear(&mut self) {
        self.blocks = 0;
        self.sets = [None, None, None];
        self.eras.clear();
    }

    /// Returns the history since the cache began, from which a resumed run fills it again.
    pub(crate) fn eras(&self) -> &[CacheEra] {
        &self.eras
    }

    /// Returns whether an output of one of these training rows is missing.
    pub(crate) fn lacks(&self, rows: &[usize]) -> bool {
        self.sets[RowSet::Training.index()].as_ref().is_some_and(|set| set.lacks(rows, self.blocks))
    }

    /// Treats the outputs of these training rows as stored, although they are not: those that are dropped later.
    pub(crate) fn mark(&mut self, rows: &[usize]) {
        if let Some(set) = &mut self.sets[RowSet::Training.index()] {
            for &row in rows {
                set.slots_mut().mark(row, self.blocks);
            }
        }
    }

    /// Treats the outputs of all rows of evaluations as stored, as [`mark`](Self::mark) does.
    pub(crate) fn mark_evaluation(&mut self) {
        for index in [RowSet::Evaluation.index(), RowSet::Choices.index()] {
            let Some(set) = &mut self.sets[index] else { continue };
            for row in 0..set.slots().rows() {
                set.slots_mut().mark(row, self.blocks);
            }
        }
    }

    /// Returns the input of the first block that a batch runs, of rows with `length` tokens each, padding included; computes
    /// and stores what is missing. Returns `None` where the whole model runs.
    ///
    /// # Errors
    ///
    /// When the model or libtorch refuses. A disk that is full is a [`warning`](Self::warning).
    pub(crate) fn fetch(
        &mut self,
        set: RowSet,
        rows: &[usize],
        length: usize,
        model: &dyn Model,
        compute: &mut Compute<'_>,
    ) -> Result<Option<Fetched>> {
        let blocks = self.blocks;
        let Some(set) = self.sets.get_mut(set.index()).and_then(Option::as_mut).filter(|_| blocks > 0) else {
            return Ok(None);
        };
        let padded = Padded { length, blocks, dtype: model.dtype(), device: model.device() };
        let output = set.fetch(rows, padded, compute)?;
        let flops = |rows: usize, from: usize| {
            model.block_matmuls(from..blocks).forward(BatchShape::new(rows, length, 0))
        };
        let computed: u128 = output.computed.iter().map(|&(rows, from)| flops(rows, from)).sum();
        let saved_flops = flops(rows.len(), 0).saturating_sub(computed);
        let now = self.bytes();
        self.most =
            CacheBytes { memory: self.most.memory.max(now.memory), file: self.most.file.max(now.file) };
        Ok(Some(Fetched { prefix: Prefix { blocks, states: output.states }, saved_flops }))
    }

    /// Returns the bytes of what is stored now.
    pub(crate) fn bytes(&self) -> CacheBytes {
        let stored = self.sets.iter().flatten().map(|set| set.slots().bytes());
        let [memory, file] = stored.fold([0; 2], |[a, b], [c, d]| [a + c, b + d]);
        CacheBytes { memory, file }
    }

    /// Returns the most bytes that were stored at a time.
    pub(crate) fn most_bytes(&self) -> CacheBytes {
        self.most
    }

    /// Returns a warning the first time that something could not be stored or read.
    pub(crate) fn warning(&mut self) -> Option<String> {
        let mut failures = self.sets.iter().flatten().filter_map(|set| set.slots().failure());
        let failure = failures.next().filter(|_| !self.warned)?;
        let warning = format!(
            "the outputs of frozen blocks cannot all be stored: {failure}; what is missing is computed in each step"
        );
        self.warned = true;
        Some(warning)
    }

    /// Makes the slots: of the training rows as many as fit, of each other data set all or none.
    fn make_slots(&mut self, model: &dyn Model) {
        let mut left = [self.config.memory_mib, self.config.disk_mib]
            .map(|mebibytes| (mebibytes << 20) / self.bytes_per_token(model).max(1))
            .map(|tokens| usize::try_from(tokens).unwrap_or(usize::MAX));
        let width = usize::try_from(model.hidden_size()).unwrap_or(0);
        let dtype = self.config.dtype.kind(model.dtype());
        let CacheLayout { training, evaluation, choices } = &self.layout;
        for (index, lengths) in [training, evaluation, choices].into_iter().enumerate() {
            let limits = Limits { memory: left[0], file: left[1] };
            let slots = Slots::new(lengths, width, dtype, limits, self.folder.clone());
            let partly = index == RowSet::Training.index();
            self.sets[index] = None;
            if !lengths.is_empty() && (partly || slots.has_room_for_all()) {
                let reserved = slots.reserved();
                left = [left[0] - reserved[0].min(left[0]), left[1] - reserved[1].min(left[1])];
                self.sets[index] = Some(RowCache::new(slots));
            }
        }
    }

    /// Returns the bytes of a token's output.
    fn bytes_per_token(&self, model: &dyn Model) -> u64 {
        let width = u64::try_from(model.hidden_size()).unwrap_or(0);
        width * self.config.dtype.kind(model.dtype()).elt_size_in_bytes() as u64
    }

    /// Returns the bytes that all training rows take.
    fn needed(&self, model: &dyn Model) -> u64 {
        let tokens: u64 = self.layout.training.iter().map(|&length| length as u64).sum();
        tokens.saturating_mul(self.bytes_per_token(model))
    }

    /// Returns the bytes that may be used.
    fn limit(&self) -> u64 {
        (self.config.memory_mib.saturating_add(self.config.disk_mib)).saturating_mul(1 << 20)
    }
}

impl RowSet {
    fn index(self) -> usize {
        match self {
            Self::Training => 0,
            Self::Evaluation => 1,
            Self::Choices => 2,
        }
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}
