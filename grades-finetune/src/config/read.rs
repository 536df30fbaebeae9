//! The tables of a run's configuration, key by key.

use std::path::{Path, PathBuf};

use grades::schema::Section;

use super::interval::Interval;
use super::run::{
    DataConfig, ModelConfig, OptimizerConfig, OptimizerName, OutputConfig, ScheduleConfig, ScheduleName,
    SequenceKeys, TrainingConfig,
};
use super::values::{DeviceChoice, KindChoice};
use crate::data::sequence::{Date, KeyNames, TooLong, Turns};
use crate::data::{Column, Header};

pub(super) fn read_output(section: &mut Section<'_>) -> Option<OutputConfig> {
    let folder = section.text_or("folder", "runs").map(PathBuf::from);
    let name = if section.has("name") { Some(section.text("name")?) } else { None };
    let plain = |name: &String| {
        let mut parts = Path::new(name).components();
        matches!((parts.next(), parts.next()), (Some(std::path::Component::Normal(_)), None))
    };
    if let Some(name) = name.as_ref().filter(|name| !plain(name)) {
        section.problem("name", format!("\"{name}\" is not the name of a folder"));
    }
    let report = section.flag_or("report", true);
    let tensorboard = section.flag_or("tensorboard", false);
    let quiet = section.flag_or("quiet", false);
    Some(OutputConfig { folder: folder?, name, report: report?, tensorboard: tensorboard?, quiet: quiet? })
}

pub(super) fn read_model(section: &mut Section<'_>) -> Option<ModelConfig> {
    let path = section.text("path").map(PathBuf::from);
    let kind = section.parsed_or("kind", KindChoice::F32);
    let device = section.parsed_or("device", DeviceChoice::Auto);
    let [autocast, split_fused, from_scratch, new_head] =
        ["autocast", "split_fused", "from_scratch", "new_head"].map(|key| section.flag_or(key, false));
    Some(ModelConfig {
        path: path?,
        kind: kind?,
        device: device?,
        autocast: autocast?,
        split_fused: split_fused?,
        from_scratch: from_scratch?,
        new_head: new_head?,
    })
}

pub(super) fn read_data(section: &mut Section<'_>) -> Option<DataConfig> {
    let train = section.text("train").map(PathBuf::from);
    let eval = optional_path(section, "eval");
    let test = optional_path(section, "test");
    let format =
        section.value_or("format", None, "tsv, csv or jsonl", |value| value.try_into().ok().map(Some));
    let text = section.value_or("text", Column::Auto, COLUMN, |value| value.try_into().ok());
    let label = section.value_or("label", Column::Auto, COLUMN, |value| value.try_into().ok());
    let header =
        section.value_or("header", Header::Auto, "true, false or \"auto\"", |value| value.try_into().ok());
    let skip_unlabelled = section.flag_or("skip_unlabelled", false);
    let names = KeyNames::default();
    let keys = [
        ("prompt", names.prompt),
        ("response", names.response),
        ("messages", names.messages),
        ("choices", names.choices),
        ("answer", names.answer),
    ];
    let [prompt, response, messages, choices, answer] = keys.map(|(key, name)| section.text_or(key, &name));
    let chat = section.flag_or("chat", false);
    let turns = section.parsed_or("turns", Turns::All);
    let date = section.value_or("date", None, "a date such as \"2026-01-31\"", |value| {
        let text = match value {
            toml::Value::String(text) => text,
            toml::Value::Datetime(date) => date.to_string(),
            _ => return None,
        };
        text.parse::<Date>().ok().map(Some)
    });
    let too_long = section.parsed_or("too_long", TooLong::Truncate);
    let packing = section.flag_or("packing", false);
    let max_tokens =
        if section.has("max_tokens") { size(section, "max_tokens", 1).map(Some) } else { Some(None) };
    let bucket = size(section, "bucket", 16);
    Some(DataConfig {
        train: train?,
        eval: eval?,
        test: test?,
        format: format?,
        text: text?,
        label: label?,
        header: header?,
        skip_unlabelled: skip_unlabelled?,
        keys: SequenceKeys {
            prompt: prompt?,
            response: response?,
            messages: messages?,
            choices: choices?,
            answer: answer?,
        },
        chat: chat?,
        turns: turns?,
        date: date?,
        too_long: too_long?,
        packing: packing?,
        max_tokens: max_tokens?,
        bucket: bucket?,
    })
}

const COLUMN: &str = "a column's name or its position";

pub(super) fn read_training(section: &mut Section<'_>, default_interval: Interval) -> Option<TrainingConfig> {
    let positive = |number: u64| number >= 1;
    let epochs = section.integer_or("epochs", 3, "at least 1", positive);
    let max_steps = if section.has("max_steps") {
        section.integer_or("max_steps", 1, "at least 1", positive).map(Some)
    } else {
        Some(None)
    };
    let batch_size = size(section, "batch_size", 32);
    let accumulate = size(section, "accumulate", 1);
    let checkpointing = section.flag_or("checkpointing", false);
    let clip_norm = section.number_or("clip_norm", 1.0, "a number of at least 0", at_least_zero);
    let share =
        section.number_or("share", 1.0, "a share above 0, up to 1", |share| share > 0.0 && share <= 1.0);
    let eval_every =
        section.value_or("eval_every", default_interval, Interval::EXPECTED, |value| Interval::read(&value));
    let eval_batch_size = size(section, "eval_batch_size", 64);
    let seed = section.integer_or("seed", 0, "at least 0", |_| true);
    Some(TrainingConfig {
        epochs: epochs?,
        max_steps: max_steps?,
        batch_size: batch_size?,
        accumulate: accumulate?,
        checkpointing: checkpointing?,
        clip_norm: clip_norm?,
        share: share?,
        eval_every: eval_every?,
        eval_batch_size: eval_batch_size?,
        seed: seed?,
    })
}

pub(super) fn read_optimizer(section: &mut Section<'_>, default_lr: f64) -> Option<OptimizerConfig> {
    const SHARE: &str = "a number from 0 to below 1";
    let share = |number: f64| (0.0..1.0).contains(&number);
    let name = section.parsed_or("name", OptimizerName::AdamW);
    let lr = section.number_or("lr", default_lr, "a number above 0", |lr| lr > 0.0 && lr.is_finite());
    let weight_decay = section.number_or("weight_decay", 0.01, "a number of at least 0", at_least_zero);
    let beta1 = section.number_or("beta1", 0.9, SHARE, share);
    let beta2 = section.number_or("beta2", 0.999, SHARE, share);
    let eps = section.number_or("eps", 1e-8, "a number of at least 0", at_least_zero);
    let momentum = section.number_or("momentum", 0.9, SHARE, share);
    Some(OptimizerConfig {
        name: name?,
        lr: lr?,
        weight_decay: weight_decay?,
        beta1: beta1?,
        beta2: beta2?,
        eps: eps?,
        momentum: momentum?,
    })
}

pub(super) fn read_schedule(section: &mut Section<'_>, default: ScheduleName) -> Option<ScheduleConfig> {
    let name = section.parsed_or("name", default);
    let warmup =
        section.number_or("warmup", 0.06, "a share from 0 to 1", |share| (0.0..=1.0).contains(&share));
    Some(ScheduleConfig { name: name?, warmup: warmup? })
}

fn optional_path(section: &mut Section<'_>, key: &str) -> Option<Option<PathBuf>> {
    if section.has(key) { section.text(key).map(|path| Some(PathBuf::from(path))) } else { Some(None) }
}

fn size(section: &mut Section<'_>, key: &str, default: u64) -> Option<usize> {
    let number = section.integer_or(key, default, "at least 1", |number| number >= 1)?;
    usize::try_from(number).ok()
}

fn at_least_zero(number: f64) -> bool {
    number >= 0.0 && number.is_finite()
}
