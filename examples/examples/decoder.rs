//! A decoder from a Hugging Face directory: fine-tune it with freezing, then generate.
//!
//! `cargo run --release -p grades-examples --example decoder`

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use grades::optim::AdamConfig;
use grades::{FreezingConfig, FreezingOptimizer};
use grades_models::decoder::{Backward, Decoder, Generation, LoadOptions, Targets, Tokens};
use grades_policies as _; // links the policies that the configuration names
use tch::Tensor;
use tokenizers::Tokenizer;

const EPOCHS: usize = 8;
const BATCH_SIZE: usize = 16;

/// The token ids of a prompt and of the response to it.
type Example = (Vec<i64>, Vec<i64>);

fn main() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let base = folder.join("base");
    let (model, _) = Decoder::load(&base, LoadOptions::default())?;
    let tokenizer = Tokenizer::from_file(base.join("tokenizer.json")).map_err(|error| anyhow!("{error}"))?;
    let stop = model.stop_ids();
    let encode = |text: &str| -> Result<Vec<i64>> {
        let encoding = tokenizer.encode(text, false).map_err(|error| anyhow!("{error}"))?;
        Ok(encoding.get_ids().iter().map(|&id| i64::from(id)).collect())
    };
    let examples = |file: &str| -> Result<Vec<Example>> {
        let text = std::fs::read_to_string(folder.join("data/world").join(file))?;
        text.lines()
            .map(|line| {
                let line: serde_json::Value = serde_json::from_str(line)?;
                let text = |key: &str| line[key].as_str().with_context(|| format!("{file}: no {key}"));
                let mut response = encode(text("response")?)?;
                response.extend(stop.first());
                Ok((encode(text("prompt")?)?, response))
            })
            .collect()
    };
    let (train, dev) = (examples("train.jsonl")?, examples("dev.jsonl")?);

    let config = FreezingConfig::from_toml("[freezing]")?; // the automatic policy
    let steps = EPOCHS * train.len().div_ceil(BATCH_SIZE);
    let inner = AdamConfig::adamw().wd(0.01).build(model.var_store(), 5e-4)?;
    let mut opt = FreezingOptimizer::new(inner, model.var_store(), &config, steps as u64)?;
    println!("{} of {} answers right before training", right(&model, &dev)?, dev.len());
    for epoch in 1..=EPOCHS {
        let mut total = 0.0;
        for batch in train.chunks(BATCH_SIZE) {
            let (tokens, targets) = tensors(batch)?;
            opt.zero_grad()?;
            let count = targets.ids.size()[0] as f64;
            let how = Backward { scale: 1.0 / count, checkpointing: false, dropout: None };
            let pass = model.backward(&tokens, &targets, how)?;
            pass.rest.backward();
            opt.step()?;
            total += f64::try_from(&pass.loss)? / count;
        }
        println!("epoch {epoch}: loss {:.3}", total / (train.len().div_ceil(BATCH_SIZE)) as f64);
    }
    println!("{} of {} components frozen", opt.tracker().frozen(), opt.tracker().total());
    println!("{} of {} answers right after training", right(&model, &dev)?, dev.len());
    Ok(())
}

/// Pads a batch; the targets are the tokens of the responses.
fn tensors(batch: &[Example]) -> Result<(Tokens, Targets)> {
    let width = batch.iter().map(|(prompt, response)| prompt.len() + response.len()).max().unwrap_or(0);
    let (mut ids, mut positions, mut expected) = (Vec::new(), Vec::new(), Vec::new());
    for (row, (prompt, response)) in batch.iter().enumerate() {
        for (index, id) in response.iter().enumerate() {
            // A token is predicted from the position before it.
            positions.push((row * width + prompt.len() + index - 1) as i64);
            expected.push(*id);
        }
        ids.extend(prompt.iter().chain(response));
        ids.resize((row + 1) * width, 0);
    }
    let ids = Tensor::from_slice(&ids).view([batch.len() as i64, width as i64]);
    let targets = Targets { positions: Tensor::from_slice(&positions), ids: Tensor::from_slice(&expected) };
    Ok((Tokens::from(ids), targets))
}

/// Counts the prompts that the model continues with exactly the response.
fn right(model: &Decoder, examples: &[Example]) -> Result<usize> {
    let prompts: Vec<Vec<i64>> = examples.iter().map(|(prompt, _)| prompt.clone()).collect();
    let generation = Generation { max_new_tokens: 12, stop: model.stop_ids(), batch_size: 16 };
    let answers = model.generate(&prompts, &generation)?;
    let is_right = |(answer, (_, response)): &(Vec<i64>, &Example)| {
        answer.iter().eq(response.iter().take(answer.len().max(response.len() - 1)))
    };
    Ok(answers.into_iter().zip(examples).filter(is_right).count())
}
