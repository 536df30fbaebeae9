//! The keys of a run's configuration, with a line for each.

use grades::schema::Key;
use grades_lora::LoraConfig;

pub(super) const ROOT: &[Key] = &[
    Key::new("output", "where the results go"),
    Key::new("model", "which model is fine-tuned"),
    Key::new("data", "labelled sentences"),
    Key::new("evaluation", "what a decoder is measured by besides its loss"),
    Key::new("training", "how long and in what batches"),
    Key::new("optimizer", "which optimizer, and its hyperparameters"),
    Key::new("schedule", "the learning rate over the steps"),
    Key::new("checkpoint", "when the state of the run is written, for --resume"),
    Key::new("guard", "what happens when numbers cease to be any"),
    Key::new("freezing", "what freezes when; without it nothing does"),
    Key::new("lora", "adapters to train instead of the model; without it all of the model trains"),
    Key::new("early_stopping", "when evaluations end the run; without it they do not"),
    Key::new("compare", "what `finetune compare` compares; `finetune train` leaves it alone"),
];

/// Those of an adapter, and one more.
pub(super) const LORA: &[Key] = &{
    let mut keys = [Key::new(
        "merge_frozen",
        "merge adapters that froze: false, true or \"always\", on bf16 too (false)",
    ); LoraConfig::KEYS.len() + 1];
    let mut index = 0;
    while index < LoraConfig::KEYS.len() {
        keys[index] = LoraConfig::KEYS[index];
        index += 1;
    }
    keys
};

pub(super) const OUTPUT: &[Key] = &[
    Key::new("folder", "the folder of all runs (runs)"),
    Key::new("name", "the run's folder in it; must not exist yet (the configuration's name, numbered)"),
    Key::new("report", "write report.html into the run's folder (true)"),
    Key::new("tensorboard", "write event files for TensorBoard into the run's folder (false)"),
    Key::new("quiet", "tell nothing but warnings while the run goes on (false)"),
];

pub(super) const MODEL: &[Key] = &[
    Key::new("path", "a Hugging Face model directory (required)"),
    Key::new("kind", "f32 or bf16: the kind of the parameters (f32)"),
    Key::new("device", "auto, cpu, cuda or cuda:N (auto)"),
    Key::new("autocast", "multiply a decoder's matrices in bf16 whatever the kind (false)"),
    Key::new("split_fused", "freeze the parts of a decoder's fused matrices on their own (false)"),
    Key::new("from_scratch", "draw all weights of a decoder; the directory needs none (false)"),
    Key::new("new_head", "draw a new classification head even if the files have one (false)"),
];

pub(super) const DATA: &[Key] = &[
    Key::new("train", "the training examples: .tsv, .csv or .jsonl; for decoders .txt or .jsonl (required)"),
    Key::new("eval", "the examples for evaluation"),
    Key::new("test", "more examples, evaluated once at the end"),
    Key::new("format", "tsv, csv or jsonl, when the files' extensions do not say"),
    Key::new(
        "text",
        "the column of the text, by name or position (auto: by its name); for decoders its key (text)",
    ),
    Key::new("label", "the column of the label, by name or position, -1 is the last (auto: by its name)"),
    Key::new("header", "true, false or \"auto\": whether the first line names the columns (auto)"),
    Key::new("skip_unlabelled", "leave out examples with a negative label, instead of refusing them (false)"),
    Key::new("prompt", "the key of a decoder's prompt (prompt)"),
    Key::new("response", "the key of the response to it (response)"),
    Key::new("messages", "the key of a conversation (messages)"),
    Key::new("choices", "the key of the possible responses to a prompt (choices)"),
    Key::new("answer", "the key of the right one's position (answer)"),
    Key::new("chat", "put prompts and responses through the model's chat template (false)"),
    Key::new("turns", "all or last: which turns of the assistant are learnt (all)"),
    Key::new("date", "the date that chat templates write as today's, such as \"2026-01-31\" (none)"),
    Key::new("too_long", "truncate, refuse or skip: a decoder's examples beyond max_tokens (truncate)"),
    Key::new("packing", "several of a decoder's examples in a row of max_tokens (false)"),
    Key::new("max_tokens", "longer sentences are cut (64; for decoders 1024)"),
    Key::new("bucket", "batches that are sorted by length together (16)"),
];

pub(super) const TRAINING: &[Key] = &[
    Key::new("epochs", "passes over the training examples (3)"),
    Key::new("max_steps", "no more optimizer steps than this (no limit)"),
    Key::new("batch_size", "examples in a forward pass (32)"),
    Key::new("accumulate", "batches in an optimizer step (1)"),
    Key::new("checkpointing", "compute a decoder's blocks twice to save memory (false)"),
    Key::new("clip_norm", "scale gradients to at most this L2 norm; 0 does not (1.0)"),
    Key::new("share", "train for this share of the steps that epochs and max_steps give (1.0)"),
    Key::new(
        "eval_every",
        "evaluate every so many steps as well, or every share of an epoch; 0 does not (0, with early stopping 0.1)",
    ),
    Key::new("eval_batch_size", "examples in a forward pass of an evaluation (64)"),
    Key::new("seed", "seed of the head, the order of the data and dropout (0)"),
];

pub(super) const EVALUATION: &[Key] = &[
    Key::new("exact_match", "answer each prompt and count the answers that are exactly right (false)"),
    Key::new("max_new_tokens", "the longest of these answers (64)"),
];

pub(super) const EARLY_STOPPING: &[Key] = &[
    Key::new("metric", "loss or accuracy: what gets better on data.eval (loss)"),
    Key::new("patience", "evaluations in a row without getting better that end the run (5)"),
    Key::new("min_delta", "by how much it must get better to count (0.0)"),
    Key::new("restore_best", "end with the weights of the best evaluation (true)"),
];

pub(super) const COMPARE: &[Key] = &[
    Key::new("seeds", "the seeds that every row is run with ([0, 1, 2])"),
    Key::new("rows", "the names of the rows (all that are built in)"),
    Key::new("lora_lr", "the learning rate of rows with adapters (ten times that of the others)"),
    Key::new("monitoring_steps", "steps in which the cost of watching gradients is measured (120)"),
];

pub(super) const OPTIMIZER: &[Key] = &[
    Key::new("name", "adamw, adam or sgd (adamw)"),
    Key::new("lr", "the highest learning rate (5e-5, with [lora] 5e-4)"),
    Key::new("weight_decay", "decay of all parameters (0.01)"),
    Key::new("beta1", "Adam's decay of the first moment (0.9)"),
    Key::new("beta2", "Adam's decay of the second moment (0.999)"),
    Key::new("eps", "Adam's term in the denominator (1e-8)"),
    Key::new("momentum", "SGD's momentum (0.9)"),
];

pub(super) const SCHEDULE: &[Key] = &[
    Key::new(
        "name",
        "linear, cosine, constant or until-frozen (until-frozen if components cool, else linear)",
    ),
    Key::new("warmup", "share of the steps over which the rate rises from 0 (0.06)"),
];

pub(super) const CHECKPOINT: &[Key] = &[
    Key::new("every", "steps from one checkpoint to the next; 0: only when the run is ended early (0)"),
    Key::new("keep", "how many of the newest are kept (2)"),
];

pub(super) const GUARD: &[Key] = &[
    Key::new("max_bad_steps", "so many steps in a row without finite loss and gradients end the run (10)"),
    Key::new("spike_factor", "report a loss above its running mean times this; 0 reports none (10.0)"),
    Key::new("check_gradients", "take the norm of the gradients even if clip_norm = 0 (false)"),
];
