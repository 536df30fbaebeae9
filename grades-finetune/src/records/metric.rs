//! The metrics by which evaluations are judged.

use grades::schema::words;

use super::evaluation::Evaluation;

words! {
    /// The measure by which an evaluation is judged; the words are the keys of `evals.jsonl`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Metric: "metric" {
        /// The loss.
        Loss = "loss",
        /// The accuracy.
        Accuracy = "accuracy",
        /// The mean recall of the classes.
        BalancedAccuracy = "balanced_accuracy",
        /// The mean F1 of the classes.
        MacroF1 = "macro_f1",
        /// The F1 of all decisions together.
        MicroF1 = "micro_f1",
        /// The correlation coefficient of Matthews.
        Mcc = "mcc",
        /// e to the power of a decoder's loss.
        Perplexity = "perplexity",
        /// The share of answers that are exactly right.
        ExactMatch = "exact_match",
        /// The accuracy of choices with likelihoods per byte.
        AccuracyPerByte = "accuracy_per_byte",
        /// The mean squared error.
        Mse = "mse",
        /// Pearson's correlation.
        Pearson = "pearson",
        /// Spearman's correlation.
        Spearman = "spearman",
    }
}

impl Metric {
    /// Returns its value in an evaluation; `None` where that does not measure it.
    pub fn of(self, evaluation: &Evaluation) -> Option<f64> {
        match self {
            Self::Loss => Some(evaluation.loss),
            Self::Perplexity => evaluation.perplexity,
            Self::Accuracy => evaluation.accuracy,
            Self::AccuracyPerByte => evaluation.accuracy_per_byte,
            Self::BalancedAccuracy => evaluation.balanced_accuracy,
            Self::MacroF1 => evaluation.macro_f1,
            Self::MicroF1 => evaluation.micro_f1,
            Self::Mcc => evaluation.mcc,
            Self::ExactMatch => evaluation.exact_match,
            Self::Mse => evaluation.mse,
            Self::Pearson => evaluation.pearson,
            Self::Spearman => evaluation.spearman,
        }
    }

    /// Returns whether a lower value is better.
    pub fn is_lower_better(self) -> bool {
        matches!(self, Self::Loss | Self::Perplexity | Self::Mse)
    }

    /// Returns whether `value` is better than `other` by more than `delta`; NaN never is.
    pub fn is_better(self, value: f64, other: f64, delta: f64) -> bool {
        if self.is_lower_better() { other - value > delta } else { value - other > delta }
    }
}
