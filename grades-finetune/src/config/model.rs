//! The `[model]` table.

use std::path::PathBuf;

use serde::Serialize;

use super::describe::MayChange;
use super::device::DeviceChoice;
use super::dtype::Dtype;
use super::field::{flag, parsed, required_path, word};
use super::table::table;

table! {
    /// The model that is fine-tuned.
    #[derive(Debug, Clone, Serialize)]
    pub struct ModelConfig = "model" {
        /// A Hugging Face model directory.
        path: PathBuf = required_path("--model DIR").may_change(MayChange::Yes),
        /// The parameters' dtype.
        dtype: Dtype = word(Dtype::F32).alias("kind"),
        /// Where the model trains; `auto` takes the first GPU if there is one.
        device: DeviceChoice =
            parsed(DeviceChoice::Auto, "auto, cpu, cuda or cuda:N").may_change(MayChange::Yes),
        /// Multiply a decoder's matrices in bf16 whatever the dtype.
        autocast: bool = flag(false),
        /// Freeze the parts of a decoder's fused matrices on their own.
        split_fused: bool = flag(false),
        /// Draw all weights of a decoder; the directory needs none.
        from_scratch: bool = flag(false),
        /// Draw a new classification head even if the files have one.
        new_head: bool = flag(false),
    }
}
