//! `finetune policies`.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use grades::policy::PolicyRegistry;

use super::output::Output;

pub(super) fn run() -> Result<ExitCode> {
    let mut out = Output::open();
    for plugin in PolicyRegistry::linked()?.plugins() {
        writeln!(out, "{:<20} {}", plugin.name(), plugin.summary())?;
        for key in plugin.keys() {
            writeln!(out, "    {:<16} {}", key.name, key.line())?;
        }
    }
    out.finish()?;
    Ok(ExitCode::SUCCESS)
}
