//! The `[freezing.cache]` table.

use grades::schema::field::{count, word};
use grades::schema::{table, words};
use serde::Serialize;
use tch::Kind;

table! {
    /// Storing the outputs of frozen lowest blocks, so that steps and evaluations begin above them.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
    pub struct CacheConfig = "freezing.cache" {
        /// When they are stored; `auto` where all training examples fit and some are seen again.
        mode: CacheMode = word(CacheMode::Never),
        /// The most MiB of main memory for them.
        memory_mib: u64 = count(1024, 0),
        /// The most MiB for what is beyond that, in a file in the run's folder that goes with the process.
        disk_mib: u64 = count(4096, 0),
        /// Their dtype; `bf16` halves the bytes of an f32 model, and rounds.
        dtype: CacheDtype = word(CacheDtype::Model),
    }
}

impl CacheConfig {
    /// Stores nothing.
    pub const NEVER: Self =
        Self { mode: CacheMode::Never, memory_mib: 0, disk_mib: 0, dtype: CacheDtype::Model };
}

words! {
    /// When outputs of frozen blocks are stored.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum CacheMode: "mode" {
        /// Where all training examples fit into the limits and some are seen again.
        Auto = "auto",
        /// Of as many examples as fit.
        Always = "always",
        /// Never: frozen blocks are computed in every step, with dropout.
        Never = "never",
    }
}

words! {
    /// The dtype of stored outputs.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum CacheDtype: "dtype" {
        /// That of the model's parameters.
        Model = "model",
        /// 32-bit floating point.
        F32 = "f32",
        /// 16-bit floating point with the range of f32.
        Bf16 = "bf16",
    }
}

impl CacheDtype {
    /// Returns libtorch's name for it, for a model of this dtype.
    pub fn kind(self, model: Kind) -> Kind {
        match self {
            Self::Model => model,
            Self::F32 => Kind::Float,
            Self::Bf16 => Kind::BFloat16,
        }
    }
}
