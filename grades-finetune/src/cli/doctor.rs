//! `finetune doctor`.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use grades::policy::PolicyRegistry;
use grades::torch::torch_info;
use tch::Cuda;

use super::output::Output;

/// The options of `finetune doctor`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Print a .cargo/config.toml by which another program finds this libtorch
    #[arg(long)]
    cargo_config: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let info = torch_info()?;
    let mut out = Output::open();
    if arguments.cargo_config {
        write!(out, "{}", cargo_config(Path::new(&info.library), &info.loaded_version)?)?;
        out.finish()?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(out, "finetune         {}", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, "libtorch         {} (compiled with {})", info.loaded_version, info.compiled_version)?;
    writeln!(out, "loaded from      {}", info.library)?;
    writeln!(out, "CPU              {}, {} threads", info.cpu_capability, info.threads)?;
    writeln!(out, "CUDA             {}", cuda(info.built_for_cuda, &info.library))?;
    writeln!(out, "cuDNN            {}", cudnn())?;
    writeln!(
        out,
        "MKL, oneDNN      {}, {}",
        yes_no(tch::utils::has_mkl()),
        yes_no(tch::utils::has_mkldnn())
    )?;
    for kernel in &info.fused {
        let (cpu, cuda) = (yes_no(kernel.cpu), yes_no(kernel.cuda));
        writeln!(out, "fused kernel     {:<18} CPU: {cpu}, CUDA: {cuda}", kernel.operation)?;
    }
    #[cfg(target_os = "linux")]
    for backend in grades::distributed::Backend::ALL {
        let state = backend.unavailable().map_or_else(|| "yes".to_owned(), |reason| format!("no: {reason}"));
        writeln!(out, "ranks            {:<18} {state}", backend.name())?;
    }
    let names: Vec<_> = PolicyRegistry::linked()?.names().collect();
    writeln!(out, "policies         {}", names.join(", "))?;
    out.finish()?;
    Ok(ExitCode::SUCCESS)
}

/// Returns a `.cargo/config.toml` for the libtorch whose `libtorch_cpu` is at `library`.
fn cargo_config(library: &Path, version: &str) -> Result<String> {
    let lib = library.parent().filter(|folder| folder.is_absolute());
    let lib = lib.context("the system does not say where libtorch was loaded from; set LIBTORCH by hand")?;
    let root = toml::Value::from(lib.parent().unwrap_or(lib).display().to_string());
    let rpath = toml::Value::from(format!("link-arg=-Wl,-rpath,{}", lib.display()));
    Ok(format!(
        "# libtorch {version}: tch finds it when it is built.\n[env]\nLIBTORCH = {root}\n\n\
         # Programs and tests find it when they start.\n\
         [target.'cfg(any(target_os = \"linux\", target_os = \"macos\"))']\nrustflags = [\"-C\", {rpath}]\n\n\
         # So do doctests.\n[build]\nrustdocflags = [\"-C\", {rpath}]\n"
    ))
}

/// Describes the CUDA devices, or why there are none.
fn cuda(linked: bool, libtorch_cpu: &str) -> String {
    if Cuda::is_available() {
        let version = tch::utils::version_cudart();
        return format!(
            "seen, {} devices, runtime {}.{}",
            Cuda::device_count(),
            version / 1000,
            version % 1000 / 10
        );
    }
    let beside = Path::new(libtorch_cpu).with_file_name("libtorch_cuda.so");
    let reason = if !beside.exists() {
        "this libtorch has no libtorch_cuda"
    } else if !linked {
        "this program was built against a libtorch without CUDA; build it again"
    } else if !Path::new("/proc/driver/nvidia/version").exists() {
        "no NVIDIA driver is loaded"
    } else {
        "there is a driver but no device: see nvidia-smi and CUDA_VISIBLE_DEVICES, and compare the driver's CUDA version"
    };
    format!("not seen: {reason}")
}

fn cudnn() -> String {
    if Cuda::cudnn_is_available() {
        format!("seen, {}", tch::utils::version_cudnn())
    } else {
        "not seen".to_owned()
    }
}

fn yes_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}
