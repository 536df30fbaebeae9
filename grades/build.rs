//! Compiles `csrc/` against the libtorch that torch-sys uses, and links `libtorch_cuda` where there is one.
//!
//! Nothing is compiled without the `torch` feature, or with `doc-only`.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=csrc");
    #[cfg(all(feature = "torch", not(feature = "doc-only")))]
    if let Err(message) = kernels::build() {
        // Cargo shows what a failed build script wrote to stderr; one line is easier to read than a panic.
        eprintln!("error: {message}");
        std::process::exit(1);
    }
}

#[cfg(all(feature = "torch", not(feature = "doc-only")))]
mod kernels {
    use std::env;
    use std::path::{Path, PathBuf};

    #[cfg(feature = "distributed")]
    use crate::distributed;

    const SOURCES: [&str; 10] = [
        "csrc/adam.cpp",
        "csrc/averages.cpp",
        "csrc/fused.cpp",
        "csrc/gradients.cpp",
        "csrc/info.cpp",
        "csrc/norms.cpp",
        "csrc/random.cpp",
        "csrc/sgd.cpp",
        "csrc/sums.cpp",
        "csrc/update.cpp",
    ];

    pub(crate) fn build() -> Result<(), String> {
        let lib = PathBuf::from(variable("DEP_TCH_LIBTORCH_LIB").ok_or(
            "torch-sys did not say where libtorch is (DEP_TCH_LIBTORCH_LIB); build for Linux or macOS",
        )?);
        let includes = include_dirs(&lib)?;
        let abi = variable("LIBTORCH_CXX11_ABI").unwrap_or_else(|| "1".to_owned());
        let cuda = has_library(&lib, "torch_cuda");

        let mut build = compiler(&includes, &abi);
        build.opt_level(3).files(SOURCES);
        // Results are to be the same whatever vector instructions the machine has. The other two let loops with
        // roots and choices be vectorised; neither changes a result.
        build.flag_if_supported("-ffp-contract=off");
        build.flag_if_supported("-fno-math-errno");
        build.flag_if_supported("-fno-trapping-math");
        if cuda {
            build.define("GRADES_CUDA", None);
        }
        // `at::parallel_for` runs on one thread in a file that is not compiled for OpenMP.
        if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
            build.flag("-fopenmp");
            println!("cargo:rustc-link-lib=gomp");
        }
        if let Some(checks) = variable("GRADES_SANITIZE") {
            sanitize(&mut build, &checks);
        }
        build.try_compile("grades_torch").map_err(|error| {
            format!("the libtorch kernels of grades do not compile against {}: {error}", lib.display())
        })?;
        #[cfg(feature = "distributed")]
        distributed::build(&lib, &includes, &abi, cuda)?;

        println!("cargo:rustc-link-search=native={}", lib.display());
        if cuda {
            // The kernels refer to a symbol of it (csrc/gradients.cpp), so `--as-needed` keeps it in every
            // program that takes a training step; without it `Cuda::is_available` is false with a GPU present.
            println!("cargo:rustc-link-lib=dylib=torch_cuda");
        }
        // Build scripts of crates that depend on this one read it as DEP_GRADES_TORCH_LIBTORCH_LIB.
        println!("cargo::metadata=libtorch_lib={}", lib.display());
        Ok(())
    }

    /// A compiler of C++ against libtorch.
    pub(crate) fn compiler(includes: &[PathBuf], abi: &str) -> cc::Build {
        let mut build = cc::Build::new();
        build.cpp(true).pic(true).std("c++17").warnings(true);
        for include in includes {
            // System headers, so that the warnings of libtorch's own headers stay off.
            build.flag("-isystem").flag(include.display().to_string());
        }
        build.define("GLOG_USE_GLOG_EXPORT", None).define("_GLIBCXX_USE_CXX11_ABI", abi);
        build
    }

    /// For the project's own tests (`make sanitize`): lets our C++, and no other, end the program where one of
    /// `checks` fails, such as `address,undefined`. Programs then need the compiler's `libasan` loaded first.
    pub(crate) fn sanitize(build: &mut cc::Build, checks: &str) {
        build.flag(format!("-fsanitize={checks}")).flag("-fno-sanitize-recover=all");
        build.flag("-fno-omit-frame-pointer").flag("-g1");
        for (check, library) in [("address", "asan"), ("undefined", "ubsan")] {
            if checks.split(',').any(|name| name == check) {
                println!("cargo:rustc-link-lib=dylib={library}");
            }
        }
    }

    /// The include directories that go with the library directory, or those of `LIBTORCH_INCLUDE`.
    fn include_dirs(lib: &Path) -> Result<Vec<PathBuf>, String> {
        let root = match variable("LIBTORCH_INCLUDE") {
            Some(root) => PathBuf::from(root),
            None => lib.parent().unwrap_or(lib).to_owned(),
        };
        let include = root.join("include");
        if !include.join("ATen/core/Tensor.h").is_file() {
            return Err(format!(
                "libtorch's headers are not in {}: set LIBTORCH_INCLUDE to the directory that contains `include`",
                include.display()
            ));
        }
        Ok(vec![include.join("torch/csrc/api/include"), include])
    }

    fn has_library(lib: &Path, name: &str) -> bool {
        [format!("lib{name}.so"), format!("{name}.dll")].iter().any(|file| lib.join(file).exists())
    }

    pub(crate) fn variable(name: &str) -> Option<String> {
        println!("cargo:rerun-if-env-changed={name}");
        env::var(name).ok()
    }
}

/// Groups of processes, on the c10d in libtorch.
#[cfg(all(feature = "distributed", not(feature = "doc-only")))]
mod distributed {
    use std::path::{Path, PathBuf};

    use crate::kernels::{compiler, sanitize, variable};

    /// Compiles `csrc/distributed`: with NCCL where its headers are, else without.
    pub(crate) fn build(lib: &Path, includes: &[PathBuf], abi: &str, cuda: bool) -> Result<(), String> {
        if variable("CARGO_CFG_TARGET_OS").as_deref() != Some("linux") {
            return Err("the feature \"distributed\" needs Linux; build without it".to_owned());
        }
        // Nothing here computes: a third of the time to compile is optimisation.
        let base = || {
            let mut build = compiler(includes, abi);
            build.opt_level(1).flag("-isystem").flag("csrc");
            if cuda {
                build.define("GRADES_CUDA", None);
            }
            if let Some(checks) = variable("GRADES_SANITIZE") {
                sanitize(&mut build, &checks);
            }
            build
        };
        let nccl = match nccl_headers(lib, cuda) {
            Ok(headers) => {
                let mut build = base();
                for include in &headers {
                    build.flag("-isystem").flag(include.display().to_string());
                }
                let compiled = build.file("csrc/distributed/nccl.cpp").try_compile("grades_nccl");
                compiled.map_err(|error| format!("the NCCL backend of grades does not compile: {error}"))
            }
            Err(reason) => Err(reason),
        };
        let mut build = base();
        match nccl {
            Ok(()) => {
                build.define("GRADES_NCCL", None);
            }
            // `grades::distributed::backends` and `finetune doctor` show it.
            Err(reason) => println!("cargo:rustc-env=GRADES_WITHOUT_NCCL={}", reason.replace('\n', " ")),
        }
        let sources = ["group", "buckets", "weights"].map(|name| format!("csrc/distributed/{name}.cpp"));
        build.files(sources).try_compile("grades_distributed").map_err(|error| {
            format!(
                "the feature \"distributed\" of grades does not compile against {}: {error}",
                lib.display()
            )
        })
    }

    /// Finds the directories of NCCL's and CUDA's headers, or says which is missing: in the packages that PyPI's torch
    /// depends on, or under `CUDA_HOME`.
    fn nccl_headers(lib: &Path, cuda: bool) -> Result<Vec<PathBuf>, String> {
        if !cuda {
            return Err("libtorch is a build without CUDA".to_owned());
        }
        let mut roots = Vec::new();
        if let Some(home) = variable("CUDA_HOME") {
            roots.push(PathBuf::from(home).join("include"));
        }
        if let Some(packages) = lib.parent().and_then(Path::parent) {
            let nvidia = packages.join("nvidia");
            let mut found: Vec<PathBuf> = std::fs::read_dir(&nvidia)
                .map(|entries| entries.flatten().map(|entry| entry.path().join("include")).collect())
                .unwrap_or_default();
            found.sort();
            roots.extend(found);
        }
        let root_of = |header: &str| {
            let found = roots.iter().find(|root| root.join(header).is_file()).cloned();
            found.ok_or_else(|| {
                format!(
                    "the header {header} was neither in the packages nvidia-* beside torch nor in CUDA_HOME"
                )
            })
        };
        Ok(vec![root_of("nccl.h")?, PathBuf::from("csrc/cuda"), root_of("cuda_runtime.h")?])
    }
}
