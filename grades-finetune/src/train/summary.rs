//! `summary.json`, and the table that a run ends with.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use super::early_stopping::EarlyStopping;
use super::evaluate::Evaluation;
use super::folder::RunFolder;
use super::memory::peak_memory;
use super::progress::duration;
use super::recipe::Run;
use crate::tensorboard::TensorBoard;

/// What a run did and reached.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Why it ended: `all-frozen`, `enough-frozen` (the share `stop_at`), `early-stopped`, `all-steps` or `interrupted`.
    pub ended: &'static str,
    /// Wall seconds from the start to the end, loading and evaluations included, breaks of a resumed run left out.
    pub wall_seconds: f64,
    /// Seconds in training steps, freezing included, evaluations left out.
    pub train_seconds: f64,
    /// Seconds that processors worked in them, all threads together; null where the system does not tell.
    pub train_cpu_seconds: Option<f64>,
    /// Optimizer steps that were run, skipped ones included.
    pub steps: u64,
    /// Those whose loss or gradients were not finite; no update was applied where that was seen in time.
    pub bad_steps: u64,
    /// Losses far above their running mean (`guard.spike_factor`).
    pub loss_spikes: u64,
    /// How often the run was resumed.
    pub resumes: u64,
    /// Optimizer steps that were planned.
    pub planned_steps: u64,
    /// Training examples that were seen, each as often as it was.
    pub examples: usize,
    /// Training examples a second of training.
    pub examples_per_second: f64,
    /// Components frozen at the end.
    pub components_frozen: usize,
    /// All components.
    pub components_total: usize,
    /// The step of the first freeze.
    pub first_freeze: Option<u64>,
    /// The step of the last freeze.
    pub last_freeze: Option<u64>,
    /// The mean training loss of the last steps.
    pub final_train_loss: Option<f64>,
    /// Sentences of the training data that were cut at `max_tokens`.
    pub truncated: usize,
    /// Examples of a decoder's training data that were left out because they are too long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<usize>,
    /// Tokens a second of training, padding left out, for decoders.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_second: Option<f64>,
    /// The loss on the examples for evaluation.
    pub eval_loss: Option<f64>,
    /// The accuracy on the examples for evaluation.
    pub eval_accuracy: Option<f64>,
    /// A decoder's perplexity on the examples for evaluation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eval_perplexity: Option<f64>,
    /// Its accuracy there with likelihoods per byte, where they are questions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eval_accuracy_per_byte: Option<f64>,
    /// The share of its answers there that are exactly right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eval_exact_match: Option<f64>,
    /// The loss on the test examples.
    pub test_loss: Option<f64>,
    /// The accuracy on the test examples.
    pub test_accuracy: Option<f64>,
    /// A decoder's perplexity on the test examples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_perplexity: Option<f64>,
    /// Its accuracy there with likelihoods per byte, where they are questions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_accuracy_per_byte: Option<f64>,
    /// The share of its answers there that are exactly right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_exact_match: Option<f64>,
    /// Seconds in evaluations, those during training and those at the end.
    pub eval_seconds: f64,
    /// Seconds in evaluations during training.
    pub validation_seconds: f64,
    /// How many evaluations there were during training.
    pub validations: u64,
    /// The step of the best evaluation, with early stopping.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best_step: Option<u64>,
    /// The step whose weights were put back at the end, with early stopping; null when the last ones were the best.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restored_step: Option<u64>,
    /// Floating-point operations of all training steps, counted from the shapes.
    pub flops: u128,
    /// What the same steps would have taken if nothing had been frozen.
    pub flops_without_freezing: u128,
    /// Floating-point operations of the evaluations during training.
    pub validation_flops: u128,
    /// The wall seconds that training in this way takes: without evaluations, but for those of early stopping.
    pub cost_seconds: f64,
    /// Its floating-point operations, likewise.
    pub cost_flops: u128,
    /// The largest resident size of the process, in bytes.
    pub peak_memory_bytes: Option<u64>,
    /// Bytes of optimizer state at the end.
    pub optimizer_state_bytes: Option<u64>,
    /// Where the model was trained.
    pub device: String,
    /// What was measured on the examples for evaluation, in one line.
    #[serde(skip)]
    pub(super) eval_text: Option<String>,
    /// What was measured on the test examples, in one line.
    #[serde(skip)]
    pub(super) test_text: Option<String>,
    /// The run's folder.
    #[serde(skip)]
    pub folder: PathBuf,
}

impl Summary {
    pub(super) fn take_eval(&mut self, evaluation: Option<Evaluation>) {
        self.eval_loss = evaluation.map(|evaluation| evaluation.loss);
        self.eval_accuracy = evaluation.and_then(|evaluation| evaluation.accuracy);
        self.eval_accuracy_per_byte = evaluation.and_then(|evaluation| evaluation.accuracy_per_byte);
        self.eval_perplexity = evaluation.and_then(|evaluation| evaluation.perplexity);
        self.eval_exact_match = evaluation.and_then(|evaluation| evaluation.exact_match);
        self.eval_text = evaluation.map(|evaluation| evaluation.text());
    }

    pub(super) fn take_test(&mut self, evaluation: Option<Evaluation>) {
        self.test_loss = evaluation.map(|evaluation| evaluation.loss);
        self.test_accuracy = evaluation.and_then(|evaluation| evaluation.accuracy);
        self.test_accuracy_per_byte = evaluation.and_then(|evaluation| evaluation.accuracy_per_byte);
        self.test_perplexity = evaluation.and_then(|evaluation| evaluation.perplexity);
        self.test_exact_match = evaluation.and_then(|evaluation| evaluation.exact_match);
        self.test_text = evaluation.map(|evaluation| evaluation.text());
    }
}

impl Summary {
    /// The FLOPs, and what freezing took off them.
    fn flops_text(&self) -> String {
        let saved = 1.0 - self.flops as f64 / (self.flops_without_freezing as f64).max(1.0);
        let saved =
            if saved > 0.0 { format!(", {:.1} % less by freezing", 100.0 * saved) } else { String::new() };
        format!("{:.3e}{saved}", self.flops as f64)
    }
}

impl Run<'_> {
    /// What the run did so far, but for its results on examples.
    pub(super) fn summary(&self, ended: &'static str, folder: &RunFolder) -> Summary {
        let train_seconds = self.seconds.as_secs_f64();
        let wall_seconds = self.keeping.wall_seconds();
        let paid = self.stopping.as_ref().map(|_| (self.validation_seconds, self.flops.validation()));
        let (paid_seconds, paid_flops) = paid.unwrap_or_default();
        Summary {
            ended,
            wall_seconds,
            train_seconds,
            train_cpu_seconds: self.cpu_seconds,
            steps: self.optimizer.steps(),
            planned_steps: self.planned,
            examples: usize::try_from(self.examples).unwrap_or(usize::MAX),
            examples_per_second: self.examples as f64 / train_seconds.max(f64::MIN_POSITIVE),
            components_frozen: self.optimizer.tracker().frozen(),
            components_total: self.optimizer.tracker().total(),
            bad_steps: self.guard.state().bad,
            loss_spikes: self.guard.state().spikes,
            resumes: self.keeping.earlier().resumes,
            first_freeze: self.counters().first_freeze,
            last_freeze: self.counters().last_freeze,
            final_train_loss: self.log.last_loss(),
            truncated: self.task.truncated(),
            skipped: self.task.skipped(),
            tokens_per_second: self
                .task
                .skipped()
                .map(|_| self.tokens as f64 / train_seconds.max(f64::MIN_POSITIVE)),
            eval_loss: None,
            eval_accuracy: None,
            eval_accuracy_per_byte: None,
            eval_perplexity: None,
            eval_exact_match: None,
            test_loss: None,
            test_accuracy: None,
            test_accuracy_per_byte: None,
            test_perplexity: None,
            test_exact_match: None,
            eval_text: None,
            test_text: None,
            eval_seconds: self.eval_seconds,
            validation_seconds: self.validation_seconds,
            validations: self.validations,
            best_step: self.stopping.as_ref().and_then(EarlyStopping::best_step),
            restored_step: self.stopping.as_ref().and_then(EarlyStopping::restored),
            flops: self.flops.total(),
            flops_without_freezing: self.flops.without_freezing(),
            validation_flops: self.flops.validation(),
            cost_seconds: wall_seconds - self.eval_seconds + paid_seconds,
            cost_flops: self.flops.total() + paid_flops,
            peak_memory_bytes: peak_memory(),
            optimizer_state_bytes: self.optimizer.memory().optimizer_state,
            device: format!("{:?}", self.task.device()).to_lowercase(),
            folder: folder.path().to_path_buf(),
        }
    }

    /// What went wrong without ending the run.
    pub(super) fn warnings(&mut self) -> Vec<String> {
        let observers = self.optimizer.take_observer_errors();
        let events = self.tensorboard.as_ref().and_then(TensorBoard::take_error);
        let events = events.map(|error| format!("the files for TensorBoard are incomplete: {error}"));
        let logs = self.keeping.incomplete();
        let observers = observers.iter().map(ToString::to_string);
        observers.chain(logs).chain(events).chain(self.bad_end()).collect()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
        let steps = or_dash(
            self.first_freeze.zip(self.last_freeze).map(|(first, last)| format!("{first} to {last}")),
        );
        let mebibytes = |bytes: Option<u64>| or_dash(bytes.map(|bytes| format!("{} MiB", bytes >> 20)));
        let restored =
            self.restored_step.map_or_else(String::new, |step| format!(" (weights of step {step})"));
        let rows = [
            ("ended", self.ended.replace('-', " ") + &restored),
            ("steps", format!("{} of {} planned", self.steps, self.planned_steps)),
            ("components frozen", format!("{} of {}", self.components_frozen, self.components_total)),
            ("frozen at steps", steps),
            ("train loss", or_dash(self.final_train_loss.map(|loss| format!("{loss:.4}")))),
            ("eval", or_dash(self.eval_text.clone())),
            ("test", or_dash(self.test_text.clone())),
            ("examples a second", format!("{:.1}", self.examples_per_second)),
            ("FLOPs in training", self.flops_text()),
            ("training time", duration(self.train_seconds)),
            ("evaluation time", duration(self.eval_seconds)),
            ("wall time", duration(self.wall_seconds)),
            ("peak memory", mebibytes(self.peak_memory_bytes)),
            ("optimizer state at the end", mebibytes(self.optimizer_state_bytes)),
            ("device", self.device.clone()),
            ("results", self.folder.display().to_string()),
        ];
        let counted =
            [("bad steps", self.bad_steps), ("loss spikes", self.loss_spikes), ("resumed", self.resumes)];
        let counted = counted
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|(name, count)| (name, count.to_string()));
        let speed = self.tokens_per_second.map(|speed| ("tokens a second", format!("{speed:.0}")));
        for (name, value) in rows.into_iter().chain(counted).chain(speed) {
            writeln!(f, "{name:<27} {value}")?;
        }
        Ok(())
    }
}
