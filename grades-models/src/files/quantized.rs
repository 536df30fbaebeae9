//! Quantised weights, which are refused by their name.

use std::path::Path;

use serde_json::{Map, Value};

use crate::error::Error;

/// The key of `config.json` that says how weights are quantised. Weights that are saved here never are.
pub(crate) const QUANTIZATION: &str = "quantization_config";

/// Returns an error that names the quantisation of a configuration, where a tensor does not fit because of it.
pub(crate) fn name_quantization(error: Error, config: &Map<String, Value>, dir: &Path) -> Error {
    let Some(quantization) = config.get(QUANTIZATION).filter(|value| !value.is_null()) else { return error };
    let fits = !matches!(
        error,
        Error::Missing { .. } | Error::Unexpected { .. } | Error::Shape { .. } | Error::Dtype { .. }
    );
    if fits {
        return error;
    }
    let method = quantization.get("quant_method").and_then(Value::as_str).unwrap_or("without quant_method");
    Error::Quantized { path: dir.join("config.json"), method: method.to_owned(), source: Box::new(error) }
}
