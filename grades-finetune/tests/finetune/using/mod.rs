//! Using a trained model: `finetune evaluate`, `predict` and `chat`, and the metrics of predictions.

mod answers;
mod evaluate;
mod metrics;
mod predict;

use crate::support::Folder;

/// Returns what `finetune predict` prints with this model.
fn predict_with(folder: &Folder, model: &str, arguments: &[&str]) -> String {
    let ran = folder.finetune(&[&["predict", "--model", model, "--device", "cpu"], arguments].concat());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    ran.stdout
}

/// Returns the error with which `finetune predict` refuses.
fn refused(folder: &Folder, arguments: &[&str]) -> String {
    let ran = folder.finetune(&[&["predict", "--device", "cpu"], arguments].concat());
    assert_eq!(ran.code, Some(1), "{ran:?}");
    ran.error()
}
