//! Keys of `config.json`, typed, with errors that name them.

use std::path::Path;

use serde_json::{Map, Value};

use super::directory::no_model_hint;
use super::json::{as_f64, read_json};
use crate::error::{Error, Result};

/// Typed access to the keys, with errors that name them.
pub(crate) struct Keys<'a> {
    pub(crate) raw: &'a Map<String, Value>,
    pub(crate) path: &'a Path,
}

impl<'a> Keys<'a> {
    /// Reads the object in a file.
    pub(crate) fn read(path: &Path) -> Result<Map<String, Value>> {
        read_json(path).map_err(|error| match error {
            Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                let hint = path.parent().and_then(no_model_hint).unwrap_or_default();
                Error::NoConfig { path: path.to_path_buf(), source, hint }
            }
            error => error,
        })
    }

    pub(crate) fn error(&self, key: &'static str, message: String) -> Error {
        Error::Config { path: self.path.to_path_buf(), key, message }
    }

    pub(crate) fn unsupported(&self, key: &'static str, found: &str, supported: &str) -> Error {
        let path = self.path.to_path_buf();
        Error::Unsupported { path, key, found: format!("\"{found}\""), supported: supported.into() }
    }

    /// Returns the value of a key; null counts as absent, as it does for Hugging Face.
    pub(crate) fn get(&self, key: &str) -> Option<&'a Value> {
        self.raw.get(key).filter(|value| !value.is_null())
    }

    pub(crate) fn text(&self, key: &'static str) -> Result<Option<&'a str>> {
        self.get(key)
            .map(|value| {
                value.as_str().ok_or_else(|| self.error(key, format!("expected a string, found {value}")))
            })
            .transpose()
    }

    pub(crate) fn supported(&self, key: &'static str, values: &[&str], default: Option<&str>) -> Result<()> {
        let found = self.text(key)?.or(default).ok_or_else(|| {
            self.error(key, format!("the key is missing; expected one of: {}", values.join(", ")))
        })?;
        if values.contains(&found) {
            return Ok(());
        }
        Err(self.unsupported(key, found, &values.join(", ")))
    }

    pub(crate) fn absent(&self, key: &'static str) -> Result<()> {
        match self.get(key) {
            None | Some(Value::Bool(false)) => Ok(()),
            Some(value) => Err(Error::Unsupported {
                path: self.path.to_path_buf(),
                key,
                found: value.to_string(),
                supported: "false (an encoder)".into(),
            }),
        }
    }

    pub(crate) fn size(&self, key: &'static str, default: Option<i64>) -> Result<i64> {
        // Far above any model, and small enough that products of two sizes cannot overflow.
        const LARGEST: i64 = 1 << 30;
        let Some(value) = self.get(key) else {
            return default.ok_or_else(|| self.error(key, "the key is missing".into()));
        };
        value.as_i64().filter(|size| (1..=LARGEST).contains(size)).ok_or_else(|| {
            self.error(key, format!("expected a whole number from 1 to {LARGEST}, found {value}"))
        })
    }

    pub(crate) fn number(
        &self,
        key: &'static str,
        default: f64,
        what: &str,
        good: fn(f64) -> bool,
    ) -> Result<f64> {
        let Some(value) = self.get(key) else { return Ok(default) };
        let found = as_f64(value);
        found.filter(|number| good(*number)).ok_or_else(|| {
            let found = found.map_or_else(|| value.to_string(), |number| number.to_string());
            self.error(key, format!("expected {what}, found {found}"))
        })
    }

    pub(crate) fn probability(&self, key: &'static str, default: f64) -> Result<f64> {
        self.number(key, default, "a probability of at least 0 and below 1", |p| (0.0..1.0).contains(&p))
    }

    pub(crate) fn positive(&self, key: &'static str, default: f64) -> Result<f64> {
        self.number(key, default, "a number above 0", |x| x > 0.0 && x.is_finite())
    }

    pub(crate) fn flag(&self, key: &'static str, default: bool) -> Result<bool> {
        match self.get(key) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(value) => Err(self.error(key, format!("expected true or false, found {value}"))),
        }
    }

    /// Reads a whole number that may be 0.
    pub(crate) fn count(&self, key: &'static str, default: u64) -> Result<u64> {
        let Some(value) = self.get(key) else { return Ok(default) };
        value.as_u64().ok_or_else(|| self.error(key, format!("expected a whole number, found {value}")))
    }
}
