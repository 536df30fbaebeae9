//! Facts about the loaded libtorch, for diagnosis.

use std::fmt;

use super::ffi;
use super::update::Operation;
use crate::error::Result;

/// The loaded libtorch and its abilities, from [`torch_info`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TorchInfo {
    /// The version of the headers that the kernels were compiled with, such as `2.11.0`.
    pub compiled_version: String,
    /// The version of the loaded library; it should be the same.
    pub loaded_version: String,
    /// The file that libtorch_cpu was loaded from; empty where the system cannot say.
    pub library: String,
    /// The vector instructions that libtorch uses, such as `AVX512`.
    pub cpu_capability: String,
    /// The program is linked to libtorch_cuda.
    pub built_for_cuda: bool,
    /// A CUDA device can be used.
    pub cuda_available: bool,
    /// The number of CUDA devices.
    pub cuda_devices: i64,
    /// The number of threads of an operation on the CPU.
    pub threads: i32,
    /// The fused optimizer kernels.
    pub fused: Vec<FusedKernel>,
}

/// The devices that have a fused optimizer kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FusedKernel {
    /// libtorch's name of the operation, such as `aten::_fused_adamw_`.
    pub operation: &'static str,
    /// There is a kernel for the CPU.
    pub cpu: bool,
    /// There is a kernel for CUDA.
    pub cuda: bool,
}

/// Reads the facts from the loaded libtorch.
///
/// # Errors
///
/// [`Error::Torch`](crate::Error::Torch) when libtorch does not answer.
///
/// ```
/// let info = grades::torch::torch_info()?;
/// assert_eq!(info.compiled_version, info.loaded_version);
/// println!("{info}");
/// # Ok::<(), grades::Error>(())
/// ```
pub fn torch_info() -> Result<TorchInfo> {
    let (compiled, loaded) = ffi::versions()?;
    let kernel = |operation: Operation| {
        Ok(FusedKernel {
            operation: operation.name(),
            cpu: operation.is_available(false)?,
            cuda: operation.is_available(true)?,
        })
    };
    Ok(TorchInfo {
        compiled_version: version(compiled),
        loaded_version: version(loaded),
        library: ffi::library_path()?,
        cpu_capability: ffi::cpu_capability()?,
        built_for_cuda: ffi::built_for_cuda()?,
        cuda_available: tch::Cuda::is_available(),
        cuda_devices: tch::Cuda::device_count(),
        threads: tch::get_num_threads(),
        fused: Operation::ALL.into_iter().map(kernel).collect::<Result<_>>()?,
    })
}

/// Returns how often this crate's kernels waited for a device, in calls from this thread.
///
/// # Errors
///
/// None in practice.
pub fn host_syncs() -> Result<u64> {
    ffi::host_syncs()
}

/// Formats a version whose three highest bytes are major, minor and patch.
fn version(packed: u64) -> String {
    let [major, minor, patch, ..] = packed.to_be_bytes();
    format!("{major}.{minor}.{patch}")
}

impl fmt::Display for TorchInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let yes_no = |yes: bool| if yes { "yes" } else { "no" };
        writeln!(f, "libtorch         {} (compiled with {})", self.loaded_version, self.compiled_version)?;
        writeln!(f, "loaded from      {}", self.library)?;
        writeln!(f, "CPU              {}, {} threads", self.cpu_capability, self.threads)?;
        writeln!(
            f,
            "CUDA             linked: {}, available: {}, devices: {}",
            yes_no(self.built_for_cuda),
            yes_no(self.cuda_available),
            self.cuda_devices
        )?;
        for kernel in &self.fused {
            let (cpu, cuda) = (yes_no(kernel.cpu), yes_no(kernel.cuda));
            writeln!(f, "{:<24} CPU: {cpu}, CUDA: {cuda}", kernel.operation)?;
        }
        Ok(())
    }
}
