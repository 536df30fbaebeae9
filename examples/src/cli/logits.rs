//! `finetune logits`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use safetensors::tensor::{Dtype, TensorView};
use tch::{Device, Kind, Tensor};

use super::merge::{base_of, no_fresh_parts};
use crate::config::DeviceChoice;
use crate::fsx::write_atomic;
use crate::model::{BertClassifier, LoadOptions, load_adapted};

/// The options.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A Hugging Face model directory; may be left out where the adapter names one
    #[arg(long, value_name = "DIR", required_unless_present = "adapter")]
    model: Option<PathBuf>,
    /// An adapter's folder, such as runs/NAME/adapter
    #[arg(long, value_name = "DIR")]
    adapter: Option<PathBuf>,
    /// Token ids as JSON: a list of lists
    #[arg(long, value_name = "FILE")]
    ids: PathBuf,
    /// Where the tensor `logits`, f32 [sentences, labels], is written
    #[arg(long, value_name = "FILE.safetensors")]
    out: PathBuf,
    /// auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let device = arguments.device.device()?;
    let model = load(arguments, LoadOptions { device, ..LoadOptions::default() })?;
    let sentences = read_ids(&arguments.ids, model.vocab_size(), model.max_positions())?;
    let logits = compute(&model, &sentences, device)?;
    write(&arguments.out, &logits)?;
    writeln!(std::io::stdout(), "wrote {:?} logits to {}", logits.size(), arguments.out.display())?;
    Ok(ExitCode::SUCCESS)
}

fn load(arguments: &Arguments, options: LoadOptions) -> Result<BertClassifier> {
    let model = arguments.model.as_deref();
    if let Some(adapter) = &arguments.adapter {
        let base = base_of(adapter, model)?;
        let (model, _, loaded) = load_adapted(&base, adapter, options)?;
        no_fresh_parts(&loaded.fresh, &base, adapter)?;
        return Ok(model);
    }
    let path = model.context("--model is missing")?;
    let (model, loaded) = BertClassifier::load(path, options)?;
    if loaded.fresh.iter().any(|name| name.starts_with("classifier")) {
        bail!("{} has no classification head, so there are no logits to write", path.display());
    }
    Ok(model)
}

/// Reads and checks the ids: an id beyond the vocabulary would end the process on a GPU.
fn read_ids(path: &Path, vocab: i64, positions: i64) -> Result<Vec<Vec<i64>>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let sentences: Vec<Vec<i64>> = serde_json::from_str(&text).with_context(|| {
        format!("{}: expected a JSON list of lists of token ids, [[…], …]", path.display())
    })?;
    if sentences.is_empty() {
        bail!("{}: the list is empty", path.display());
    }
    for (index, ids) in sentences.iter().enumerate() {
        let length = i64::try_from(ids.len()).unwrap_or(i64::MAX);
        if length == 0 || length > positions {
            bail!("{}: list {index} has {length} ids; expected 1 to {positions}", path.display());
        }
        if let Some(id) = ids.iter().find(|id| !(0..vocab).contains(*id)) {
            bail!("{}: list {index} has the id {id}; the vocabulary has 0 to {}", path.display(), vocab - 1);
        }
    }
    Ok(sentences)
}

/// The logits, f32 [sentences, labels] on the CPU, computed in batches of padded lists.
fn compute(model: &BertClassifier, sentences: &[Vec<i64>], device: Device) -> Result<Tensor> {
    const BATCH: usize = 64;
    let _no_grad = tch::no_grad_guard();
    let mut parts = Vec::new();
    for batch in sentences.chunks(BATCH) {
        let longest = batch.iter().map(Vec::len).max().unwrap_or(0);
        let mut ids = Vec::with_capacity(batch.len() * longest);
        let mut mask = Vec::with_capacity(batch.len() * longest);
        for sentence in batch {
            let padding = longest - sentence.len();
            ids.extend(sentence.iter().copied().chain(std::iter::repeat_n(0, padding)));
            mask.extend(std::iter::repeat_n(1i64, sentence.len()).chain(std::iter::repeat_n(0, padding)));
        }
        let shape = [i64::try_from(batch.len())?, i64::try_from(longest)?];
        let tensor = |values: &[i64]| Tensor::f_from_slice(values)?.f_view(shape)?.f_to(device);
        let logits = model.forward(&tensor(&ids)?, &tensor(&mask)?, false)?;
        parts.push(logits.f_to_kind(Kind::Float)?.f_to(Device::Cpu)?);
    }
    Ok(Tensor::f_cat(&parts, 0)?)
}

/// Writes the tensor `logits` as safetensors.
fn write(path: &Path, logits: &Tensor) -> Result<()> {
    let shape = logits.size().into_iter().map(usize::try_from).collect::<Result<Vec<_>, _>>()?;
    let values = Vec::<f32>::try_from(logits.f_contiguous()?.f_view(-1)?)?;
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F32, shape, &bytes)?;
    let file = safetensors::serialize([("logits", view)], None)?;
    // The error begins with the path.
    write_atomic(path, &file).map_err(|error| anyhow!("cannot write {error}"))
}
