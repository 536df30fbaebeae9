//! A training step under the wrapper with nothing frozen, beside the bare optimizer.

use grades::statistic::Statistic;

use crate::minilm::{Bare, Run};
use crate::report::Report;
use crate::timing::contest;

pub(crate) fn run(report: &mut Report) {
    let mut bare = Bare::new();
    let mut norms = Run::watching(Statistic::GradL1);
    let mut signal = Run::watching(Statistic::SignalFraction);
    let times = contest(
        41,
        &mut [
            ("grad-l1".to_owned(), Box::new(|| norms.step())),
            ("signal-fraction".to_owned(), Box::new(|| signal.step())),
            ("bare".to_owned(), Box::new(|| bare.step())),
        ],
    );
    let other = ("bare optimizer", times.of(2));
    for (index, statistic) in ["grad-l1", "signal-fraction"].into_iter().enumerate() {
        let name = format!("MiniLM, batch 32 × 64, nothing frozen, {statistic}");
        report.ratio(&name, times.of(index), other, "ms", times.ratio(index, 2), Some((1.005, false)));
    }
}
