//! The `[output]` table.

use std::path::{Component, Path, PathBuf};

use grades::Problems;
use grades::schema::field::{flag, optional_text, path};
use grades::schema::table;
use serde::Serialize;

table! {
    /// Where the results go.
    #[derive(Debug, Clone, Serialize)]
    pub struct OutputConfig = "output" {
        /// The folder of all runs.
        folder: PathBuf = path("runs"),
        /// The run's folder in it; it must not exist yet.
        name: Option<String> = optional_text().note("the configuration's name, numbered"),
        /// Write `report.html` into the run's folder.
        report: bool = flag(true),
        /// Write event files for TensorBoard into the run's folder.
        tensorboard: bool = flag(false),
        /// Print nothing but warnings during the run.
        quiet: bool = flag(false),
    }
}

impl OutputConfig {
    /// Refuses a name that is not the name of one folder.
    pub(super) fn check(&self, problems: &mut Problems) {
        let plain = |name: &String| {
            let mut parts = Path::new(name).components();
            matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None))
        };
        if let Some(name) = self.name.as_ref().filter(|name| !plain(name)) {
            problems.push("output.name", format!("\"{name}\" is not the name of a folder"));
        }
    }
}
