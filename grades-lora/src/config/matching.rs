//! PEFT's rules of which layer a configuration means. Its expressions are those of Python's `re`.

use fancy_regex::Regex;

use super::{LoraConfig, Targets};
use crate::{Error, Result};

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
                .map(|name| compile("modules_to_save", &saved(name)))
                .collect::<Result<_>>()?,
            blocks,
            ranks: by_layer("rank_pattern", &config.rank_pattern)?,
            alphas: by_layer("alpha_pattern", &config.alpha_pattern)?,
        })
    }

    /// Whether a linear layer is adapted; `head` says that it is the model's head.
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

    /// The number of the block that a name stands in.
    fn block(&self, name: &str) -> Result<Option<u32>> {
        for pattern in &self.blocks {
            let found = pattern.captures(name).map_err(|error| too_hard("layers_pattern", &error))?;
            if let Some(found) = found {
                return Ok(found.get(1).and_then(|number| number.as_str().parse().ok()));
            }
        }
        Ok(None)
    }

    /// The rank of a layer.
    pub(crate) fn rank(&self, name: &str) -> Result<i64> {
        first(&self.ranks, name).map(|found| found.unwrap_or(self.config.rank))
    }

    /// The alpha of a layer.
    pub(crate) fn alpha(&self, name: &str) -> Result<f64> {
        first(&self.alphas, name).map(|found| found.unwrap_or(self.config.alpha))
    }

    /// The entry of `modules_to_save` to which a variable belongs: one that ends a module's name, as PEFT has it.
    pub(crate) fn saved_by(&self, variable: &str) -> Option<&str> {
        let modules = variable.match_indices('.').filter_map(|(dot, _)| variable.get(..dot));
        let modules: Vec<&str> = modules.collect();
        let ends = |entry: &&String| modules.iter().any(|module| module.ends_with(entry.as_str()));
        self.config.modules_to_save.iter().find(ends).map(String::as_str)
    }
}

/// What is wrong with the expressions of a configuration, with the key.
pub(super) fn bad_expressions(config: &LoraConfig) -> Vec<(&'static str, String)> {
    let mut expressions: Vec<(&'static str, &str, String)> = Vec::new();
    if let Targets::Pattern(pattern) = &config.target_modules {
        expressions.push(("target_modules", pattern, whole(pattern)));
    }
    if let Some(Targets::Pattern(pattern)) = &config.exclude_modules {
        expressions.push(("exclude_modules", pattern, whole(pattern)));
    }
    expressions
        .extend(config.modules_to_save.iter().map(|name| ("modules_to_save", name.as_str(), saved(name))));
    expressions
        .extend(config.layers_pattern.iter().map(|name| ("layers_pattern", name.as_str(), block(name))));
    expressions
        .extend(config.rank_pattern.iter().map(|(name, _)| ("rank_pattern", name.as_str(), end(name))));
    expressions
        .extend(config.alpha_pattern.iter().map(|(name, _)| ("alpha_pattern", name.as_str(), end(name))));
    let wrong = |(key, source, wrapped): (&'static str, &str, String)| {
        // What is wrong on its own must not become right by being wrapped.
        let error = Regex::new(source).and_then(|_| Regex::new(&wrapped)).err()?;
        Some((key, format!("\"{source}\" is no regular expression: {error}")))
    };
    expressions.into_iter().filter_map(wrong).collect()
}

fn whole(pattern: &str) -> String {
    format!(r"\A(?:{pattern})\z")
}

fn end(pattern: &str) -> String {
    format!(r"\A(?:.*\.)?(?:{pattern})\z")
}

fn saved(name: &str) -> String {
    format!(r"\A(?:|.*\.)(?:{name})(?:\z|\.)")
}

fn block(name: &str) -> String {
    format!(r"\A(?:|.*?\.)(?:{name})\.(\d+)\.")
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
        (Targets::List(list), _) => Ok(list.iter().any(|target| {
            name.strip_suffix(target.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        })),
        (Targets::Pattern(_), Some(pattern)) => is_match(pattern, name),
        (Targets::Pattern(_), None) => Ok(false),
    }
}

fn compile(key: &'static str, pattern: &str) -> Result<Regex> {
    Regex::new(pattern).map_err(|error| too_hard(key, &error))
}

fn is_match(pattern: &Regex, name: &str) -> Result<bool> {
    pattern.is_match(name).map_err(|error| too_hard(pattern.as_str(), &error))
}

/// An expression that backtracks without end, say.
fn too_hard(key: &str, error: &fancy_regex::Error) -> Error {
    Error::Config(grades::Problems::of(key, error.to_string()))
}
