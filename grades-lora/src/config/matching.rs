//! PEFT's rules of which layer a configuration means. Its expressions are those of Python's `re`.

use fancy_regex::Regex;

use super::expressions::{block, end, saved, whole};
use super::{LoraConfig, Targets};
use crate::error::{Error, Result};

/// A configuration with its expressions compiled.
#[derive(Debug)]
pub(crate) struct Matcher<'a> {
    config: &'a LoraConfig,
    target: Option<Regex>,
    exclude: Option<Regex>,
    saved: Vec<Regex>,
    blocks: Vec<Regex>,
    ranks: Vec<(Regex, i64)>,
    alphas: Vec<(Regex, f64)>,
}

impl<'a> Matcher<'a> {
    pub(crate) fn new(config: &'a LoraConfig) -> Result<Self> {
        config.check()?;
        let whole = |targets: &Targets| match targets {
            Targets::Pattern(pattern) => compile("target_modules", &whole(pattern)).map(Some),
            _ => Ok(None),
        };
        let blocks = if config.layers_pattern.is_empty() {
            vec![compile("layers_pattern", r"\A.*?\.[^.]*\.(\d+)\.")?]
        } else {
            let block = |pattern: &String| compile("layers_pattern", &block(pattern));
            config.layers_pattern.iter().map(block).collect::<Result<_>>()?
        };
        Ok(Self {
            config,
            target: whole(&config.target_modules)?,
            exclude: config.exclude_modules.as_ref().map(whole).transpose()?.flatten(),
            saved: config
                .modules_to_save
                .iter()
                .map(String::as_str)
                .chain(heads(config.task_type.as_deref()).iter().copied())
                .map(|name| compile("modules_to_save", &saved(name)))
                .collect::<Result<_>>()?,
            blocks,
            ranks: by_layer("rank_pattern", &config.rank_pattern)?,
            alphas: by_layer("alpha_pattern", &config.alpha_pattern)?,
        })
    }

    /// Returns whether a linear layer is adapted; `head` says that it is the model's head.
    pub(crate) fn is_target(&self, name: &str, head: bool) -> Result<bool> {
        if let Some(exclude) = &self.config.exclude_modules
            && names(exclude, self.exclude.as_ref(), name, head)?
        {
            return Ok(false);
        }
        for saved in &self.saved {
            if is_match(saved, name)? {
                return Ok(false);
            }
        }
        let found = names(&self.config.target_modules, self.target.as_ref(), name, head)?;
        match (&self.config.target_modules, &self.config.layers_to_transform) {
            // A name given in full is taken whatever its block.
            (Targets::List(list), Some(blocks)) if found && !blocks.is_empty() => {
                Ok(list.iter().any(|target| target == name)
                    || self.block(name)?.is_some_and(|block| blocks.contains(&block)))
            }
            _ => Ok(found),
        }
    }

    /// Returns the number of the block that a name stands in.
    fn block(&self, name: &str) -> Result<Option<u32>> {
        for pattern in &self.blocks {
            let found = pattern.captures(name).map_err(|error| too_hard("layers_pattern", &error))?;
            if let Some(found) = found {
                return Ok(found.get(1).and_then(|number| number.as_str().parse().ok()));
            }
        }
        Ok(None)
    }

    /// Returns the rank of a layer.
    pub(crate) fn rank(&self, name: &str) -> Result<i64> {
        first(&self.ranks, name).map(|found| found.unwrap_or(self.config.rank))
    }

    /// Returns the alpha of a layer.
    pub(crate) fn alpha(&self, name: &str) -> Result<f64> {
        first(&self.alphas, name).map(|found| found.unwrap_or(self.config.alpha))
    }

    /// Returns the entries of `modules_to_save` to which a variable belongs: those that end a module's name, as PEFT
    /// has it.
    pub(crate) fn saved_by(&self, variable: &str) -> impl Iterator<Item = &'a str> {
        let ends = move |entry: &&String| {
            let mut modules = variable.match_indices('.').filter_map(|(dot, _)| variable.get(..dot));
            modules.any(|module| module.ends_with(entry.as_str()))
        };
        self.config.modules_to_save.iter().filter(ends).map(String::as_str)
    }

    /// Returns the parts of the configuration that match none of these layers.
    pub(crate) fn unused(&self, layers: &[String]) -> Result<Vec<String>> {
        let config = self.config;
        let mut unused = Vec::new();
        let any = |pattern: &Regex| -> Result<bool> {
            layers.iter().try_fold(false, |found, name| Ok(found || is_match(pattern, name)?))
        };
        for (key, targets) in [
            ("target_modules", Some(&config.target_modules)),
            ("exclude_modules", config.exclude_modules.as_ref()),
        ] {
            if let Some(Targets::List(list)) = targets {
                let idle = list.iter().filter(|entry| !layers.iter().any(|name| is_end(name, entry)));
                unused.extend(idle.map(|entry| format!("\"{key}\" entry \"{entry}\"")));
            }
        }
        if let (Some(Targets::Pattern(pattern)), Some(regex)) = (&config.exclude_modules, &self.exclude)
            && !any(regex)?
        {
            unused.push(format!("\"exclude_modules\" expression \"{pattern}\""));
        }
        for (pattern, regex) in config.layers_pattern.iter().zip(&self.blocks) {
            // Only a name that goes on after the number is in a block.
            if !any(regex)? {
                unused.push(format!("\"layers_pattern\" entry \"{pattern}\""));
            }
        }
        let mut blocks = Vec::new();
        for name in layers {
            blocks.extend(self.block(name)?);
        }
        for block in config.layers_to_transform.iter().flatten().filter(|block| !blocks.contains(block)) {
            unused.push(format!("\"layers_to_transform\" entry {block}"));
        }
        let ranks = self.ranks.iter().map(|(regex, _)| regex).zip(&config.rank_pattern);
        for (regex, (pattern, _)) in ranks {
            if !any(regex)? {
                unused.push(format!("\"rank_pattern\" entry \"{pattern}\""));
            }
        }
        let alphas = self.alphas.iter().map(|(regex, _)| regex).zip(&config.alpha_pattern);
        for (regex, (pattern, _)) in alphas {
            if !any(regex)? {
                unused.push(format!("\"alpha_pattern\" entry \"{pattern}\""));
            }
        }
        Ok(unused)
    }
}

/// Returns the names of heads that PEFT adds to `modules_to_save` for a task, and so never adapts.
fn heads(task: Option<&str>) -> &'static [&'static str] {
    match task {
        Some("SEQ_CLS" | "TOKEN_CLS") => &["classifier", "score"],
        Some("QUESTION_ANS") => &["qa_outputs"],
        _ => &[],
    }
}

fn by_layer<T: Copy>(key: &'static str, patterns: &[(String, T)]) -> Result<Vec<(Regex, T)>> {
    patterns.iter().map(|(pattern, value)| Ok((compile(key, &end(pattern))?, *value))).collect()
}

fn first<T: Copy>(patterns: &[(Regex, T)], name: &str) -> Result<Option<T>> {
    for (pattern, value) in patterns {
        if is_match(pattern, name)? {
            return Ok(Some(*value));
        }
    }
    Ok(None)
}

fn names(targets: &Targets, pattern: Option<&Regex>, name: &str, head: bool) -> Result<bool> {
    match (targets, pattern) {
        (Targets::AllLinear, _) => Ok(!head),
        (Targets::List(list), _) => Ok(list.iter().any(|target| is_end(name, target))),
        (Targets::Pattern(_), Some(pattern)) => is_match(pattern, name),
        (Targets::Pattern(_), None) => Ok(false),
    }
}

/// Returns whether a name is this one, or ends in a dot and this one.
fn is_end(name: &str, end: &str) -> bool {
    name.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn compile(key: &'static str, pattern: &str) -> Result<Regex> {
    Regex::new(pattern).map_err(|error| too_hard(key, &error))
}

fn is_match(pattern: &Regex, name: &str) -> Result<bool> {
    pattern.is_match(name).map_err(|error| too_hard(pattern.as_str(), &error))
}

/// Returns the error of an expression that cannot be compiled or that backtracks without end.
fn too_hard(key: &str, error: &fancy_regex::Error) -> Error {
    Error::Config(grades::Problems::of(key, error.to_string()))
}
