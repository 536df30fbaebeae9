//! `finetune merge`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use grades_lora::Adapters;

use super::output::print_text;
use crate::config::Dtype;
use crate::predict::base_of;
use grades_models::bert::{LoadOptions, load_adapted};
use grades_models::decoder::{self, Decoder};
use grades_models::{Family, Model};

/// The options.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The adapter's folder, such as runs/NAME/adapter
    #[arg(long, value_name = "DIR")]
    adapter: PathBuf,
    /// The base model's directory; without it the one that the adapter names
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// The folder for the merged model; must be empty or not exist
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The dtype of the merged model: f32, or bf16, to which the base is rounded before and the sum after merging
    #[arg(long, alias = "kind", default_value = "f32")]
    dtype: Dtype,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let Arguments { adapter, out, .. } = arguments;
    let base = base_of(adapter, arguments.model.as_deref())?;
    if out.read_dir().is_ok_and(|mut entries| entries.next().is_some()) || out.is_file() {
        bail!("{} is there already and not empty; choose another folder (--out)", out.display());
    }
    let dtype = arguments.dtype.kind();
    let (mut model, mut adapters): (Box<dyn Model>, Adapters) = match Family::of(&base)? {
        Family::Bert => {
            let options = LoadOptions { dtype, ..LoadOptions::default() };
            let (model, adapters, loaded) = load_adapted(&base, adapter, options)?;
            no_fresh_parts(&loaded.fresh, &base, adapter)?;
            (Box::new(model), adapters)
        }
        Family::Decoder(_) => {
            let options = decoder::LoadOptions { dtype, ..decoder::LoadOptions::default() };
            let (model, adapters) = Decoder::load_adapted(&base, adapter, options)?;
            (Box::new(model), adapters)
        }
    };
    let (layers, variables) = model.layers_mut();
    adapters.merge_and_unload(layers, variables)?;
    model.save(out)?;
    print_text(&format!("wrote {}, {} with {} merged\n", out.display(), base.display(), adapter.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// Refuses a model of which a part is in neither of the two folders.
pub(super) fn no_fresh_parts(fresh: &[String], base: &Path, adapter: &Path) -> Result<()> {
    if fresh.is_empty() {
        return Ok(());
    }
    bail!("neither {} nor {} has: {}", base.display(), adapter.display(), fresh.join(", "))
}
