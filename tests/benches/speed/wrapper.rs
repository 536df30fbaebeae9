//! A training step under the wrapper with nothing frozen, beside the bare optimizer.

use crate::minilm::{Bare, Run};
use crate::report::Report;
use crate::timing::contest;

pub(crate) fn run(report: &mut Report) {
    let mut bare = Bare::new();
    let mut wrapped = Run::frozen(Vec::new(), true);
    let times = contest(
        41,
        &mut [
            ("wrapped".to_owned(), Box::new(|| wrapped.step())),
            ("bare".to_owned(), Box::new(|| bare.step())),
        ],
    );
    let other = ("bare optimizer", times.of(1));
    let name = "MiniLM, batch 32 × 64, nothing frozen, grad-l1";
    report.ratio(name, times.of(0), other, "ms", times.ratio(0, 1), Some((1.005, false)));
}
