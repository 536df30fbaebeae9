//! Variables that wait for their values.

use tch::nn::Path;
use tch::{Kind, TchError, Tensor};

/// Adds a trainable variable whose values are not set yet.
pub(crate) fn variable(path: &Path, name: &str, shape: &[i64], kind: Kind) -> Result<Tensor, TchError> {
    let tensor = Tensor::f_empty(shape, (kind, path.device()))?;
    Ok(path.add(name, tensor, true))
}
