//! `finetune convert`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

use super::output::print_text;
use crate::config::Dtype;
use grades_models::ModelConfig;
use grades_models::decoder::{Decoder, LoadOptions};

/// The options.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The directory of a decoder
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// The folder to write; weights that are there are replaced
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The dtype of the weights: f32 or bf16
    #[arg(long, alias = "kind", default_value = "bf16")]
    dtype: Dtype,
    /// The largest weight file in MB
    #[arg(long, default_value_t = 50_000, value_name = "MB", value_parser = clap::value_parser!(u64).range(1..))]
    shard: u64,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let ModelConfig::Decoder(config) = ModelConfig::load(&arguments.model)? else {
        bail!("{} is a classifier; convert is for decoders", arguments.model.display());
    };
    let options = LoadOptions { dtype: arguments.dtype.kind(), ..LoadOptions::default() };
    let (model, _) = Decoder::load_with(&arguments.model, config, options)?;
    model.save_sharded(&arguments.out, arguments.shard.saturating_mul(1_000_000))?;
    print_text(&format!("wrote {}\n", arguments.out.display()))?;
    Ok(ExitCode::SUCCESS)
}
