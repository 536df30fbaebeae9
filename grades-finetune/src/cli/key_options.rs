//! Options that are short forms of keys: their help is that of the configuration.

use clap::{Arg, ArgMatches, Args, Command, Error, FromArgMatches};
use toml::Value;

use crate::config::{Document, KeyInfo, key_info};

/// An option, its key, and what its value is called.
struct KeyOption {
    long: &'static str,
    /// The name of the release before.
    alias: Option<&'static str>,
    key: &'static str,
    value: &'static str,
    /// Whether the value is a text even where it could be a number.
    text: bool,
}

const fn text(long: &'static str, key: &'static str, value: &'static str) -> KeyOption {
    KeyOption { long, alias: None, key, value, text: true }
}

const fn value(long: &'static str, key: &'static str, value: &'static str) -> KeyOption {
    KeyOption { long, alias: None, key, value, text: false }
}

const OPTIONS: &[KeyOption] = &[
    text("model", "model.path", "DIR"),
    text("train", "data.train", "FILE"),
    text("eval", "data.eval", "FILE"),
    text("test", "data.test", "FILE"),
    text("name", "output.name", "NAME"),
    text("output", "output.folder", "DIR"),
    value("epochs", "training.epochs", "COUNT"),
    value("max-steps", "training.max_steps", "STEPS"),
    value("batch-size", "training.batch_size", "COUNT"),
    KeyOption {
        alias: Some("accumulate"),
        ..value("gradient-accumulation-steps", "training.gradient_accumulation_steps", "COUNT")
    },
    value("lr", "optimizer.lr", "RATE"),
    value("max-tokens", "data.max_tokens", "COUNT"),
    value("eval-every", "training.eval_every", "STEPS"),
    value("seed", "training.seed", "SEED"),
    text("device", "model.device", "DEVICE"),
    value("lora-rank", "lora.r", "R"),
    value("lora-alpha", "lora.lora_alpha", "ALPHA"),
    value("save-every", "checkpoint.every", "STEPS"),
    value("keep", "checkpoint.keep", "COUNT"),
];

impl KeyOption {
    fn help(&self) -> String {
        let Some(KeyInfo { help, .. }) = key_info(self.key) else { return String::new() };
        let implied = if self.key.starts_with("lora.") { "; implies --lora" } else { "" };
        format!("{}{implied} [{}{}]", help.replace('`', ""), self.key, self.default())
    }

    fn default(&self) -> String {
        match key_info(self.key).map(|info| info.default_text()).as_deref() {
            None | Some("none") => String::new(),
            Some("required") => ", required".to_owned(),
            Some(default) => format!(", default: {default}"),
        }
    }
}

/// The options that were given.
#[derive(Debug, Default)]
pub(super) struct KeyOptions {
    /// Key, value, and whether the value is a text.
    given: Vec<(&'static str, String, bool)>,
}

impl KeyOptions {
    /// Sets the keys of the options that were given.
    pub(super) fn set_in(&self, document: &mut Document) -> anyhow::Result<()> {
        for (key, value, text) in &self.given {
            if *text {
                document.put(key, Value::String(value.clone()))?;
            } else {
                document.set(&format!("{key}={value}"))?;
            }
        }
        Ok(())
    }

    /// Returns whether no option was given.
    pub(super) fn is_empty(&self) -> bool {
        self.given.is_empty()
    }
}

impl Args for KeyOptions {
    fn augment_args(mut command: Command) -> Command {
        for option in OPTIONS {
            let mut arg =
                Arg::new(option.long).long(option.long).value_name(option.value).help(option.help());
            if let Some(alias) = option.alias {
                arg = arg.alias(alias);
            }
            if option.key.starts_with("lora.") {
                arg = arg.conflicts_with("no_lora");
            }
            command = command.arg(arg);
        }
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for KeyOptions {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut options = Self::default();
        options.update_from_arg_matches(matches)?;
        Ok(options)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        for option in OPTIONS {
            if let Some(value) = matches.get_one::<String>(option.long) {
                self.given.push((option.key, value.clone(), option.text));
            }
        }
        Ok(())
    }
}
