//! Measures training steps with the lower half of the blocks frozen: from token ids, and from the stored output of these blocks.

use grades::optim::{AdamConfig, AdamW, InnerOptimizer};
use grades_models::decoder::{Backward, Decoder, LoadOptions, Targets, Tokens};
use tch::Tensor;

use crate::minilm::{Run, chosen, components};
use crate::python::workspace;
use crate::report::Report;
use crate::timing::{contest, milliseconds};

pub(crate) fn run(report: &mut Report) {
    let half = || Run::frozen(chosen(&components(), 50, true), true);
    let (mut whole, mut stored) = (half(), half().begin_above(3));
    let (mut decoder, mut stored_decoder) = (Base::new(false), Base::new(true));
    let times = contest(
        21,
        &mut [
            ("MiniLM".to_owned(), Box::new(|| whole.step())),
            ("MiniLM, stored".to_owned(), Box::new(|| stored.step())),
            ("decoder".to_owned(), Box::new(|| decoder.step())),
            ("decoder, stored".to_owned(), Box::new(|| stored_decoder.step())),
        ],
    );
    for (index, name) in
        ["MiniLM, batch 32 × 64, 3 of 6 blocks", "base decoder, batch 16 × 64, 2 of 4 blocks"]
            .into_iter()
            .enumerate()
    {
        let (whole, stored) = (2 * index, 2 * index + 1);
        let steps = |contender| 1e3 / times.of(contender);
        let name = format!("{name} frozen, from their stored output");
        let other = ("from token ids", steps(whole));
        report.ratio(&name, steps(stored), other, "/s", times.ratio(whole, stored), Some((1.2, true)));
    }
}

/// The decoder of `examples/base` with its embedding and the lower half of its blocks frozen.
struct Base {
    model: Decoder,
    optimizer: AdamW,
    tokens: Tokens,
    targets: Targets,
}

impl Base {
    /// With `stored`, steps begin above the frozen blocks.
    fn new(stored: bool) -> Self {
        const SHAPE: [i64; 2] = [16, 64];
        let (model, _) = Decoder::load(&workspace("examples/base"), LoadOptions::default()).unwrap();
        let frozen = ["model.embed_tokens.", "model.layers.0.", "model.layers.1."];
        for (name, variable) in model.var_store().variables() {
            if frozen.iter().any(|start| name.starts_with(start)) {
                let _ = variable.set_requires_grad(false);
            }
        }
        let optimizer = AdamConfig::adamw().build(model.var_store(), 1e-5).unwrap();
        let count = SHAPE[0] * SHAPE[1];
        let ids: Vec<i64> = (0..count).map(|at| at * 7919 % model.vocab_size()).collect();
        let positions: Vec<i64> = (0..count).filter(|at| at % SHAPE[1] != SHAPE[1] - 1).collect();
        let next: Vec<i64> = positions.iter().map(|&at| ids[at as usize + 1]).collect();
        let mut tokens = Tokens::from(Tensor::from_slice(&ids).view(SHAPE));
        if stored {
            assert_eq!(model.frozen_blocks(), 2);
            tokens.prefix = Some(model.prefix(&tokens, 2).unwrap());
        }
        let targets = Targets { positions: Tensor::from_slice(&positions), ids: Tensor::from_slice(&next) };
        Self { model, optimizer, tokens, targets }
    }

    /// The milliseconds of one training step.
    fn step(&mut self) -> f64 {
        milliseconds(|| {
            let scale = 1.0 / self.targets.ids.numel() as f64;
            let how = Backward { scale, checkpointing: false, dropout: None };
            let pass = self.model.backward(&self.tokens, &self.targets, how).unwrap();
            pass.rest.f_backward().unwrap();
            self.optimizer.step().unwrap();
            self.optimizer.zero_grad().unwrap();
        })
    }
}
