//! `finetune logits`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use safetensors::tensor::{Dtype, TensorView};
use tch::{Device, Kind, Tensor};

use super::merge::no_fresh_parts;
use super::output::print_text;
use crate::config::DeviceChoice;
use crate::predict::base_of;
use crate::storage::write_named;
use grades_models::Family;
use grades_models::bert::{BertClassifier, LoadOptions, load_adapted};
use grades_models::decoder::{self, Decoder, Tokens};

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
    /// Where the tensor `logits` is written, f32: [sentences, labels] of a classifier; [lists, longest, vocabulary] of a
    /// decoder, zeros after a list's end
    #[arg(long, value_name = "FILE.safetensors")]
    out: PathBuf,
    /// Of a decoder, the logits after each list's last id alone: [lists, vocabulary]
    #[arg(long)]
    last: bool,
    /// auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let device = arguments.device.device()?;
    let base = match &arguments.adapter {
        Some(adapter) => base_of(adapter, arguments.model.as_deref())?,
        None => arguments.model.clone().context("--model is missing")?,
    };
    let logits = match Family::of(&base)? {
        Family::Bert => of_classifier(arguments, &base, device)?,
        Family::Decoder(_) => of_decoder(arguments, &base, device)?,
    };
    write(&arguments.out, &logits)?;
    print_text(&format!("wrote {:?} logits to {}\n", logits.size(), arguments.out.display()))?;
    Ok(ExitCode::SUCCESS)
}

fn of_classifier(arguments: &Arguments, base: &Path, device: Device) -> Result<Tensor> {
    if arguments.last {
        bail!("--last is for decoders; {} is a classifier", base.display());
    }
    let model = load(arguments, base, LoadOptions { device, ..LoadOptions::default() })?;
    let sentences = read_ids(&arguments.ids, model.vocab_size(), model.max_positions())?;
    const BATCH: usize = 64;
    let _no_grad = tch::no_grad_guard();
    let mut parts = Vec::new();
    for batch in sentences.chunks(BATCH) {
        let (ids, mask) = padded(batch, device)?;
        let logits = model.forward(&ids, &mask, false)?;
        parts.push(logits.f_to_kind(Kind::Float)?.f_to(Device::Cpu)?);
    }
    Ok(Tensor::f_cat(&parts, 0)?)
}

fn of_decoder(arguments: &Arguments, base: &Path, device: Device) -> Result<Tensor> {
    let options = decoder::LoadOptions { device, ..decoder::LoadOptions::default() };
    let model = match &arguments.adapter {
        Some(adapter) => Decoder::load_adapted(base, adapter, options)?.0,
        None => Decoder::load(base, options)?.0,
    };
    let lists = read_ids(&arguments.ids, model.vocab_size(), model.max_positions())?;
    const BATCH: usize = 8;
    let _no_grad = tch::no_grad_guard();
    let longest = lists.iter().map(Vec::len).max().unwrap_or(0);
    let mut parts = Vec::new();
    for batch in lists.chunks(BATCH) {
        let (ids, mask) = padded(batch, device)?;
        let width = ids.size()[1];
        let logits = model.forward(&Tokens::from(ids))?.f_to_kind(Kind::Float)?;
        parts.push(if arguments.last {
            let rows = Tensor::f_arange(logits.size()[0], (Kind::Int64, device))?;
            let ends = mask.f_sum_dim_intlist(-1i64, false, Kind::Int64)?.f_sub_scalar(1)?;
            logits.f_index(&[Some(rows), Some(ends)])?.f_to(Device::Cpu)?
        } else {
            let logits = logits.f_mul(&mask.f_unsqueeze(-1)?)?.f_to(Device::Cpu)?;
            logits.f_constant_pad_nd([0, 0, 0, i64::try_from(longest)? - width])?
        });
    }
    Ok(Tensor::f_cat(&parts, 0)?)
}

fn load(arguments: &Arguments, base: &Path, options: LoadOptions) -> Result<BertClassifier> {
    if let Some(adapter) = &arguments.adapter {
        let (model, _, loaded) = load_adapted(base, adapter, options)?;
        no_fresh_parts(&loaded.fresh, base, adapter)?;
        return Ok(model);
    }
    let (model, loaded) = BertClassifier::load(base, options)?;
    if loaded.fresh.iter().any(|name| name.starts_with("classifier")) {
        bail!("{} has no classification head, so there are no logits to write", base.display());
    }
    Ok(model)
}

/// Reads and checks the ids: an id beyond the vocabulary would end the process on a GPU.
fn read_ids(path: &Path, vocab: i64, positions: i64) -> Result<Vec<Vec<i64>>> {
    let text =
        grades_lora::read_regular_text(path).with_context(|| format!("cannot read {}", path.display()))?;
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

/// Ids and mask `[lists, longest]`, padded at the end.
fn padded(batch: &[Vec<i64>], device: Device) -> Result<(Tensor, Tensor)> {
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
    Ok((tensor(&ids)?, tensor(&mask)?))
}

/// Writes the tensor `logits` as safetensors.
fn write(path: &Path, logits: &Tensor) -> Result<()> {
    let shape = logits.size().into_iter().map(usize::try_from).collect::<Result<Vec<_>, _>>()?;
    let values = Vec::<f32>::try_from(logits.f_contiguous()?.f_view(-1)?)?;
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F32, shape, &bytes)?;
    let file = safetensors::serialize([("logits", view)], None)?;
    // The error begins with the path.
    write_named(path, &file).map_err(|error| anyhow!("cannot write {error}"))
}
