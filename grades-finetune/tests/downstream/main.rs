//! A program outside of the workspace builds on the packages alone and finds libtorch by `finetune doctor --cargo-config`.

// Clippy allows these in test functions, but not in the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

const PROGRAM: &str = r#"
use grades::{FreezingConfig, FreezingOptimizer};
use grades_policies as _;
use tch::nn::{self, Module};
use tch::{Device, Kind, Tensor};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    tch::manual_seed(0);
    let vs = nn::VarStore::new(Device::Cpu);
    let blocks = vs.root() / "my_blocks";
    let net = nn::seq()
        .add(nn::linear(&blocks / "0" / "wide", 8, 16, Default::default()))
        .add_fn(Tensor::tanh)
        .add(nn::linear(&blocks / "1" / "wide", 16, 1, Default::default()));
    let x = Tensor::randn([64, 8], (Kind::Float, Device::Cpu));
    let y = x.sum_dim_intlist(1, true, Kind::Float);

    let build = || grades::optim::AdamConfig::adamw().build(&vs, 1e-2);
    let config = FreezingConfig::from_toml("[freezing]")?;
    let mut optimizer = FreezingOptimizer::new(build()?, &vs, &config, 400)?;
    let folder = std::env::args().nth(1).ok_or("a folder is needed")?;
    let (state, weights) = (format!("{folder}/state.safetensors"), format!("{folder}/weights.safetensors"));
    let (mut steps, mut frozen) = (0, 0);
    while steps < 400 {
        let loss = net.forward(&x).mse_loss(&y, tch::Reduction::Mean);
        let report = optimizer.backward_step(&loss)?;
        (steps, frozen) = (steps + 1, report.frozen);
        if steps == 5 {
            // Saved and loaded, as by another process.
            optimizer.save(state.as_ref())?;
            vs.save(&weights)?;
            optimizer = FreezingOptimizer::new(build()?, &vs, &config, 400)?;
            optimizer.load(state.as_ref())?;
        }
        if report.should_stop {
            break;
        }
    }
    println!("{frozen} of {} frozen after {steps} steps", optimizer.components().len());
    Ok(())
}
"#;

/// Runs a command and returns its standard output.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}\n{stdout}\n{stderr}");
    stdout.into_owned()
}

/// cargo, without what the test's own cargo has set.
fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for name in
        ["LIBTORCH", "LIBTORCH_USE_PYTORCH", "LD_LIBRARY_PATH", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS"]
    {
        command.env_remove(name);
    }
    command
}

/// Packages a crate and unpacks the package into a folder of its own name, whose files stay where they are the same: cargo
/// goes by their times, and then builds nothing anew.
fn unpack(workspace: &Path, name: &str, into: &Path) {
    let new = tempfile::tempdir_in(into).unwrap();
    let target = new.path().join("packaging");
    run(cargo()
        .current_dir(workspace)
        .arg("package")
        .args(["-p", name, "--no-verify", "--allow-dirty", "--offline"])
        .args([
            // A crate that depends on one which the registry lacks is packaged together with it.
            "-p",
            "grades-core",
            "--target-dir",
        ])
        .arg(&target));
    let version = env!("CARGO_PKG_VERSION");
    let package = target.join("package").join(format!("{name}-{version}.crate"));
    run(Command::new("tar").arg("xzmf").arg(package).current_dir(new.path()));
    update(&new.path().join(format!("{name}-{version}")), &into.join(name));
}

/// Makes a folder equal to another one, and touches only what differs.
fn update(from: &Path, to: &Path) {
    let names = |folder: &Path| -> Vec<OsString> {
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    };
    std::fs::create_dir_all(to).unwrap();
    for name in names(to).into_iter().filter(|name| !from.join(name).exists()) {
        let gone = to.join(name);
        let removed = if gone.is_dir() { std::fs::remove_dir_all(gone) } else { std::fs::remove_file(gone) };
        removed.unwrap();
    }
    for name in names(from) {
        let (from, to) = (from.join(&name), to.join(&name));
        if from.is_dir() {
            update(&from, &to);
        } else {
            write(&to, &std::fs::read(&from).unwrap());
        }
    }
}

/// Writes a file, unless it has this content.
fn write(path: &Path, content: &[u8]) {
    if std::fs::read(path).ok().as_deref() != Some(content) {
        std::fs::write(path, content).unwrap();
    }
}

/// The tables of the workspace's manifest that say how a profile builds: with the same ones the C++ of tch, which takes
/// minutes, is not compiled again.
fn profiles(workspace: &Path) -> toml::Table {
    let manifest: toml::Table =
        std::fs::read_to_string(workspace.join("Cargo.toml")).unwrap().parse().unwrap();
    toml::Table::from_iter([("profile".to_owned(), manifest["profile"].clone())])
}

#[test]
fn a_program_elsewhere_trains_saves_and_resumes_with_the_packages() {
    let workspace = PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned();
    let finetune = Path::new(env!("CARGO_BIN_EXE_finetune"));
    let target = finetune.ancestors().nth(2).unwrap();
    // Where a second run finds it built. It is a workspace of its own, and cargo, which reads the configuration of the
    // current folder and of those above it, is called from elsewhere.
    let outside = Path::new(env!("CARGO_TARGET_TMPDIR")).join("outside");
    std::fs::create_dir_all(&outside).unwrap();
    for name in ["grades-core", "grades-policies"] {
        unpack(&workspace, name, &outside);
    }

    let program = outside.join("program");
    std::fs::create_dir_all(program.join("src")).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::create_dir(elsewhere.path().join(".cargo")).unwrap();
    write(&program.join("src/main.rs"), PROGRAM.as_bytes());
    write(&program.join("Cargo.lock"), &std::fs::read(workspace.join("Cargo.lock")).unwrap());
    let manifest = format!(
        r#"
        [package]
        name = "outside"
        version = "0.0.0"
        edition = "2024"

        [dependencies]
        tch = "0.24"
        grades = {{ package = "grades-core", path = "../grades-core" }}
        grades-policies = {{ path = "../grades-policies" }}

        [patch.crates-io]
        grades-core = {{ path = "../grades-core" }}

        [workspace]

        {}
        "#,
        profiles(&workspace)
    );
    write(&program.join("Cargo.toml"), manifest.as_bytes());
    let config = run(Command::new(finetune).args(["doctor", "--cargo-config"]));
    std::fs::write(elsewhere.path().join(".cargo/config.toml"), config).unwrap();

    run(cargo()
        .current_dir(elsewhere.path())
        .args(["build", "--offline", "--manifest-path"])
        .arg(program.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(target));
    let built = target.join("debug").join("outside");
    let printed = run(Command::new(&built).arg(elsewhere.path()).env_remove("LD_LIBRARY_PATH"));
    assert!(printed.starts_with("2 of 2 frozen after "), "{printed}");
}
