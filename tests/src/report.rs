//! Short ways to the measurements in a step's report.

use grades::statistic::GradientSnapshot;
use grades::tracker::StepReport;

/// Short ways to the measurements in a step's report.
pub trait ReportExt {
    /// The statistics, if the policies were asked.
    fn snapshot(&self) -> Option<&GradientSnapshot>;

    /// The norm of all gradients before clipping, where it was computed.
    fn grad_norm(&self) -> Option<f64>;

    /// The names of the components whose statistics were not finite.
    fn non_finite(&self) -> &[String];
}

impl ReportExt for StepReport {
    fn snapshot(&self) -> Option<&GradientSnapshot> {
        self.checked.as_ref()?.snapshot.as_ref()
    }

    fn grad_norm(&self) -> Option<f64> {
        self.checked.as_ref()?.grad_norm
    }

    fn non_finite(&self) -> &[String] {
        self.checked.as_ref().map(|checked| checked.non_finite.as_slice()).unwrap_or_default()
    }
}
