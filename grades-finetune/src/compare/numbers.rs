//! What a run measured, by name.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// Numbers by name, in the order in which they are written; what was not measured is null.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Numbers {
    list: Vec<(&'static str, Option<f64>)>,
}

impl Numbers {
    /// Sets a number.
    pub fn set(&mut self, name: &'static str, value: Option<f64>) {
        let value = value.filter(|value| value.is_finite());
        match self.list.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.list.push((name, value)),
        }
    }

    /// A number; `None` when it was not measured.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.list.iter().find(|(known, _)| *known == name).and_then(|(_, value)| *value)
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.list.iter().map(|(name, _)| *name)
    }
}

impl Serialize for Numbers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        /// Up to here every whole number is an f64.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        let mut map = serializer.serialize_map(Some(self.list.len()))?;
        for (name, value) in &self.list {
            match value {
                Some(value) if value.fract() == 0.0 && value.abs() < EXACT => {
                    map.serialize_entry(name, &(*value as i64))?;
                }
                value => map.serialize_entry(name, value)?,
            }
        }
        map.end()
    }
}
