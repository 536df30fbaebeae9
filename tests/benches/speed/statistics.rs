//! The sums alone, beside a reduction and a copy to the host for each tensor.

use grades::torch::gradients;
use tch::{Kind, Tensor};

use crate::report::Report;
use crate::timing::{contest, milliseconds};
use crate::updates::matrices;

pub(crate) fn run(report: &mut Report) {
    for (kind, name) in [(Kind::Float, "f32"), (Kind::BFloat16, "bf16")] {
        let vs = matrices(28, 1024, kind);
        let parameters = vs.trainable_variables();
        let times = contest(
            31,
            &mut [
                (
                    "ours".to_owned(),
                    Box::new(|| milliseconds(|| drop(gradients::sums(&parameters).unwrap()))),
                ),
                (
                    "tch".to_owned(),
                    Box::new(|| {
                        milliseconds(|| {
                            let one = |parameter: &Tensor| {
                                parameter.grad().abs().sum(Kind::Float).double_value(&[])
                            };
                            std::hint::black_box(parameters.iter().map(one).sum::<f64>());
                        })
                    }),
                ),
            ],
        );
        let other = ("abs().sum() of each", times.of(1));
        report.ratio(
            &format!("Σ|g| and Σg² of 28 × 1024², {name}"),
            times.of(0),
            other,
            "ms",
            times.ratio(0, 1),
            Some((1.0, false)),
        );
    }
}
