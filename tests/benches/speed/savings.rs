//! Measures the time that a training step saves as components freeze, beside what the product counts predict, and beside PyTorch with the same
//! parameters frozen.
//!
//! Predicted is what the products that fall away take when they are run on their own, with the update of the frozen
//! parameters: for a frozen matrix the product that gives its gradient; for a block through which nothing must go back any
//! more, all products of its backward pass.

use serde_json::json;
use tch::{Device, Kind, Tensor};

use crate::minilm::{BATCH, Run, TOKENS, chosen, components, ids};
use crate::python::{Python, workspace};
use crate::report::Report;
use crate::timing::{Contender, contest, milliseconds};

const HIDDEN: i64 = 384;
const INNER: i64 = 1536;
const HEADS: i64 = 12;
const BLOCKS: usize = 6;

pub(crate) fn run(report: &mut Report) {
    let all = components();
    let products = Products::measure();
    let python = Python::start();
    for (way, from_below) in [("at random", false), ("from the bottom up", true)] {
        let mut runs: Vec<(usize, Run)> = [0, 25, 50, 75, 100]
            .map(|percent| (percent, Run::frozen(chosen(&all, percent, from_below), from_below)))
            .into();
        let names: Vec<Vec<String>> = runs.iter().map(|(_, run)| run.frozen_names()).collect();
        let predicted: Vec<f64> = names.iter().map(|names| products.saved(names)).collect();
        let mut contenders: Vec<Contender<'_>> = Vec::new();
        for (percent, run) in &mut runs {
            contenders.push((format!("{percent} %"), Box::new(|| run.step())));
        }
        if let Some(python) = &python {
            for names in &names {
                let names = names.clone();
                contenders.push((
                    "PyTorch".to_owned(),
                    Box::new(move || {
                        let model = workspace("models/all-MiniLM-L6-v2");
                        python.ask(&json!({"do": "train", "model": model, "ids": ids(), "frozen": names}))
                    }),
                ));
            }
        }
        let times = contest(9, &mut contenders);
        for (index, percent) in [0, 25, 50, 75, 100].into_iter().enumerate() {
            let label = format!("MiniLM step, {percent} % frozen {way}");
            if index > 0 {
                let saved = times.of(0) - times.of(index);
                let other = ("predicted saving", predicted[index]);
                let target = Some((0.9, true));
                report.ratio(
                    &format!("{label}, saving"),
                    saved,
                    other,
                    "ms",
                    saved / predicted[index],
                    target,
                );
            }
            if python.is_some() {
                // With all frozen a run has ended, so ours is the forward pass alone; theirs still trains the head.
                let theirs = times.of(5 + index);
                let ratio = times.ratio(index, 5 + index);
                report.ratio(&label, times.of(index), ("PyTorch", theirs), "ms", ratio, Some((1.0, false)));
            }
        }
    }
}

/// The milliseconds of one product each.
struct Products {
    /// The gradient of a matrix of hidden × hidden, and of hidden × inner.
    weight: [f64; 2],
    /// The gradient of its input.
    input: [f64; 2],
    /// The four products of attention's backward pass.
    attention: f64,
    /// The update of one element.
    update: f64,
}

impl Products {
    fn measure() -> Self {
        let randn = |shape: &[i64]| Tensor::randn(shape, (Kind::Float, Device::Cpu));
        let rows = BATCH * TOKENS;
        let (narrow, wide) = (randn(&[rows, HIDDEN]), randn(&[rows, INNER]));
        let (square, tall) = (randn(&[HIDDEN, HIDDEN]), randn(&[INNER, HIDDEN]));
        let heads = randn(&[BATCH * HEADS, TOKENS, HIDDEN / HEADS]);
        let scores = randn(&[BATCH * HEADS, TOKENS, TOKENS]);
        let vs = crate::updates::matrices(8, 1024, Kind::Float);
        let mut optimizer = grades::optim::AdamConfig::adamw().build(&vs, 1e-5).unwrap();
        let time = |product: &dyn Fn() -> Tensor| milliseconds(|| drop(std::hint::black_box(product())));
        let times = contest(
            41,
            &mut [
                ("weight, square".to_owned(), Box::new(|| time(&|| narrow.tr().matmul(&narrow)))),
                ("weight, tall".to_owned(), Box::new(|| time(&|| wide.tr().matmul(&narrow)))),
                ("input, square".to_owned(), Box::new(|| time(&|| narrow.matmul(&square)))),
                ("input, tall".to_owned(), Box::new(|| time(&|| wide.matmul(&tall)))),
                ("scores".to_owned(), Box::new(|| time(&|| heads.bmm(&heads.transpose(1, 2))))),
                ("values".to_owned(), Box::new(|| time(&|| scores.bmm(&heads)))),
                (
                    "update".to_owned(),
                    Box::new(|| {
                        milliseconds(|| grades::optim::InnerOptimizer::step(&mut optimizer).unwrap())
                    }),
                ),
            ],
        );
        Self {
            weight: [times.of(0), times.of(1)],
            input: [times.of(2), times.of(3)],
            attention: times.of(4) + 3.0 * times.of(5),
            update: times.of(6) / (8.0 * 1024.0 * 1024.0),
        }
    }

    /// Returns the time that a step without these components saves.
    fn saved(&self, frozen: &[String]) -> f64 {
        let is_frozen = |name: &str| frozen.iter().any(|frozen| frozen == name);
        let mut saved = 0.0;
        // Nothing goes back through the blocks below the lowest that trains, unless the embeddings train.
        let mut closed = is_frozen("bert.embeddings.word_embeddings.weight");
        for block in 0..BLOCKS {
            let path = format!("bert.encoder.layer.{block}");
            let square = [
                "attention.self.query",
                "attention.self.key",
                "attention.self.value",
                "attention.output.dense",
            ];
            let tall = ["intermediate.dense", "output.dense"];
            let mut whole = true;
            for (kind, parts) in [(0, &square[..]), (1, &tall[..])] {
                for part in parts {
                    let frozen = is_frozen(&format!("{path}.{part}.weight"));
                    whole &= frozen && is_frozen(&format!("{path}.{part}.bias"));
                    if frozen {
                        let elements = (HIDDEN * [HIDDEN, INNER][kind]) as f64;
                        saved += self.weight[kind] + self.update * elements;
                    }
                }
            }
            closed &= whole;
            if closed {
                saved += 4.0 * self.input[0] + 2.0 * self.input[1] + self.attention;
            }
        }
        if is_frozen("bert.embeddings.word_embeddings.weight") {
            saved += self.update * (30_522 * HIDDEN) as f64;
        }
        saved
    }
}
