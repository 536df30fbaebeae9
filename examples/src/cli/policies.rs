//! `finetune policies`.

use std::process::ExitCode;

use anyhow::Result;
use grades::PolicyRegistry;

pub(super) fn run() -> Result<ExitCode> {
    for plugin in PolicyRegistry::linked()?.plugins() {
        println!("{:<20} {}", plugin.name(), plugin.summary());
        for key in plugin.keys() {
            println!("    {:<16} {}", key.name, key.help);
        }
    }
    Ok(ExitCode::SUCCESS)
}
