//! The `[model]` table.

use std::path::PathBuf;

use grades::schema::field::{flag, parsed, required_path, word};
use grades::schema::table;
use serde::Serialize;

use super::device::DeviceChoice;
use super::dtype::Dtype;

table! {
    /// The model that is fine-tuned.
    #[derive(Debug, Clone, Serialize)]
    pub struct ModelConfig = "model" {
        /// A Hugging Face model directory.
        path: PathBuf = required_path("--model DIR"),
        /// The parameters' dtype; `auto` is f32, with autocast where the device multiplies bf16 faster.
        dtype: Dtype = word(Dtype::F32).alias("kind"),
        /// Where the model trains; `auto` takes the first GPU if there is one.
        device: DeviceChoice =
            parsed(DeviceChoice::Auto, "auto, cpu, cuda or cuda:N"),
        /// Multiply the blocks' matrices in bf16 whatever the dtype.
        autocast: bool = flag(false),
        /// Freeze the parts of a decoder's fused matrices on their own.
        split_fused: bool = flag(false),
        /// Draw all weights of a decoder; the directory needs none.
        from_scratch: bool = flag(false),
        /// Draw a new classification head even if the files have one.
        new_head: bool = flag(false),
    }
}
