//! The confusion matrix and the metrics that follow from it.

use super::{f1, ratio};
use crate::records::{ClassResult, ClassResults};

/// Counts examples by their label and the label that was predicted.
///
/// ```
/// use grades_finetune::metrics::ConfusionMatrix;
///
/// let mut matrix = ConfusionMatrix::new(2);
/// for (label, predicted) in [(0, 0), (0, 1), (1, 1), (1, 1)] {
///     matrix.add(label, predicted);
/// }
/// assert_eq!(matrix.accuracy(), Some(0.75));
/// assert_eq!((matrix.precision(1), matrix.recall(0)), (2.0 / 3.0, 0.5));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfusionMatrix {
    size: usize,
    /// The label's row, the prediction's column.
    counts: Vec<u64>,
}

impl ConfusionMatrix {
    /// Makes an empty matrix of this many labels.
    pub fn new(labels: usize) -> Self {
        Self { size: labels, counts: vec![0; labels * labels] }
    }

    /// Counts an example; ids beyond the labels are ignored, as of examples without a label.
    pub fn add(&mut self, label: usize, predicted: usize) {
        if label < self.size
            && predicted < self.size
            && let Some(count) = self.counts.get_mut(label * self.size + predicted)
        {
            *count += 1;
        }
    }

    /// Adds the counts of another part of the same data.
    pub fn merge(&mut self, other: &Self) {
        if self.size < other.size {
            let mut larger = Self::new(other.size);
            larger.merge(self);
            *self = larger;
        }
        for label in 0..other.size {
            for predicted in 0..other.size {
                if let Some(count) = self.counts.get_mut(label * self.size + predicted) {
                    *count += other.count(label, predicted);
                }
            }
        }
    }

    /// Returns the number of examples of a label that were predicted as another, or the same.
    pub fn count(&self, label: usize, predicted: usize) -> u64 {
        if label >= self.size || predicted >= self.size {
            return 0;
        }
        self.counts.get(label * self.size + predicted).copied().unwrap_or(0)
    }

    /// Returns the number of labels.
    pub fn labels(&self) -> usize {
        self.size
    }

    /// Returns the number of examples.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns the number of examples whose label was predicted.
    pub fn right(&self) -> u64 {
        (0..self.size).map(|label| self.count(label, label)).sum()
    }

    /// Returns the number of examples of a label.
    pub fn support(&self, label: usize) -> u64 {
        (0..self.size).map(|predicted| self.count(label, predicted)).sum()
    }

    /// Returns the number of examples that were predicted to be of a label.
    pub fn predicted(&self, label: usize) -> u64 {
        (0..self.size).map(|truth| self.count(truth, label)).sum()
    }

    /// Returns the share of examples whose label was predicted; `None` without examples.
    pub fn accuracy(&self) -> Option<f64> {
        let total = self.total();
        (total > 0).then(|| self.right() as f64 / total as f64)
    }

    /// Returns the share of a label's predictions that are right; 0 without one.
    pub fn precision(&self, label: usize) -> f64 {
        ratio(self.count(label, label) as f64, self.predicted(label) as f64)
    }

    /// Returns the share of a label's examples that were found; 0 without one.
    pub fn recall(&self, label: usize) -> f64 {
        ratio(self.count(label, label) as f64, self.support(label) as f64)
    }

    /// Returns the harmonic mean of precision and recall; 0 where both are.
    pub fn f1(&self, label: usize) -> f64 {
        f1(self.count(label, label), self.predicted(label), self.support(label))
    }

    /// Returns the mean recall of the labels that have examples; `None` without examples.
    pub fn balanced_accuracy(&self) -> Option<f64> {
        mean((0..self.size).filter(|&label| self.support(label) > 0).map(|label| self.recall(label)))
    }

    /// Returns the mean F1 of the labels that occur, in the data or among the predictions; `None` without examples.
    pub fn macro_f1(&self) -> Option<f64> {
        let occurs = |&label: &usize| self.support(label) + self.predicted(label) > 0;
        mean((0..self.size).filter(occurs).map(|label| self.f1(label)))
    }

    /// Returns the F1 of all decisions together, which with one label an example is the accuracy.
    pub fn micro_f1(&self) -> Option<f64> {
        self.accuracy()
    }

    /// Returns the correlation coefficient of Matthews for several labels (Gorodkin); 0 where all examples or all
    /// predictions are of one label, `None` without examples.
    pub fn mcc(&self) -> Option<f64> {
        let total = self.total();
        if total == 0 {
            return None;
        }
        let all = total as f64;
        let sum = |of: &dyn Fn(usize) -> f64| (0..self.size).map(of).sum::<f64>();
        let (support, predicted) = (|label| self.support(label) as f64, |label| self.predicted(label) as f64);
        let both = self.right() as f64 * all - sum(&|label| support(label) * predicted(label));
        let truth = all * all - sum(&|label| support(label) * support(label));
        let guess = all * all - sum(&|label| predicted(label) * predicted(label));
        Some(ratio(both, (truth * guess).sqrt()))
    }

    /// Returns the results by label, and the counts; `names` are those of the labels.
    pub fn class_results(&self, names: &[String]) -> ClassResults {
        let class = |(label, name): (usize, &String)| ClassResult {
            label: name.clone(),
            precision: self.precision(label),
            recall: self.recall(label),
            f1: self.f1(label),
            support: self.support(label),
        };
        let row = |label| (0..self.size).map(|predicted| self.count(label, predicted)).collect();
        ClassResults {
            classes: names.iter().enumerate().map(class).collect(),
            confusion: Some((0..self.size).map(row).collect()),
        }
    }
}

/// Returns the mean of some numbers; `None` of none.
fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0usize), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64)
}
