//! Code that must not compile, with the compiler's words: wrong plug-ins are found before any run.
//!
//! The cases are built in `target/tests`, with `grades` as this crate has it: without libtorch. New words are
//! recorded with `TRYBUILD=overwrite cargo test -p grades-third-party`.

use std::process::Command;

/// The compiler whose words are in the `.stderr` files; others say the same in words of their own.
const RECORDED: &str = "rustc 1.95.";

#[test]
fn plug_ins_that_are_wrong_do_not_compile() {
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(compiler).arg("--version").output().unwrap().stdout;
    if !version.starts_with(RECORDED.as_bytes()) {
        eprintln!("skipped: {} does not speak as {RECORDED}x does", String::from_utf8_lossy(&version).trim());
        return;
    }
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/compile_fail/descriptor_not_const.rs");
    cases.compile_fail("tests/compile_fail/name_missing.rs");
    cases.compile_fail("tests/compile_fail/policy_not_clone.rs");
}
