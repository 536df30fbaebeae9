//! The recorded runs of the Python package; `tests/python/replay.py` says what is in them.

use serde_json::Value;

/// A run of the Python package.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) steps: u64,
    pub(crate) tau: f64,
    pub(crate) alpha: f64,
    pub(crate) interval: u64,
    pub(crate) max_frozen_ratio: f64,
    pub(crate) checks: Vec<u64>,
    pub(crate) matrices: Vec<Matrix>,
    pub(crate) stopped_at: u64,
}

/// One matrix of it.
#[derive(Debug, Clone)]
pub(crate) struct Matrix {
    pub(crate) name: String,
    pub(crate) shape: Vec<i64>,
    /// The package's L1 norms of the change, check by check until it froze the matrix.
    pub(crate) measured: Vec<f64>,
    /// That norm at all checks.
    pub(crate) truth: Vec<f64>,
    pub(crate) frozen_at: Option<u64>,
}

impl Run {
    pub(crate) fn named(name: &str) -> Self {
        let golden: Value = serde_json::from_str(include_str!("../golden/replay.json")).unwrap();
        let run = &golden["runs"][name];
        let options = &run["options"];
        Self {
            steps: run["steps"].as_u64().unwrap(),
            tau: options["tau"].as_f64().unwrap(),
            alpha: options["alpha"].as_f64().unwrap(),
            interval: options["compute_interval"].as_u64().unwrap(),
            max_frozen_ratio: options.get("max_frozen_ratio").map_or(1.0, |ratio| ratio.as_f64().unwrap()),
            checks: list(&run["checks"], Value::as_u64),
            matrices: run["components"].as_object().unwrap().iter().map(matrix).collect(),
            stopped_at: run["stopped_at"].as_u64().unwrap(),
        }
    }

    /// The step after which each matrix froze, by name.
    pub(crate) fn freezes(&self) -> Vec<(String, Option<u64>)> {
        self.matrices.iter().map(|matrix| (matrix.name.clone(), matrix.frozen_at)).collect()
    }
}

fn matrix((name, found): (&String, &Value)) -> Matrix {
    Matrix {
        name: name.clone(),
        shape: list(&found["shape"], Value::as_i64),
        measured: list(&found["measured"], Value::as_f64),
        truth: list(&found["true"], Value::as_f64),
        frozen_at: found["frozen_at"].as_u64(),
    }
}

fn list<T>(found: &Value, read: impl Fn(&Value) -> Option<T>) -> Vec<T> {
    found.as_array().unwrap().iter().map(|value| read(value).unwrap()).collect()
}
