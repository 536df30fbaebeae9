//! `finetune policies`.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use grades::policy::PolicyRegistry;

pub(super) fn run() -> Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    for plugin in PolicyRegistry::linked()?.plugins() {
        writeln!(out, "{:<20} {}", plugin.name(), plugin.summary())?;
        for key in plugin.keys() {
            writeln!(out, "    {:<16} {}", key.name, key.help)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
