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

        let mut build = cc::Build::new();
        build.cpp(true).pic(true).std("c++17").opt_level(3).warnings(true).files(SOURCES);
        for include in &includes {
            // System headers, so that the warnings of libtorch's own headers stay off.
            build.flag("-isystem").flag(include.display().to_string());
        }
        build.define("GLOG_USE_GLOG_EXPORT", None).define("_GLIBCXX_USE_CXX11_ABI", abi.as_str());
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

    /// For the project's own tests (`make sanitize`): lets our C++, and no other, end the program where one of
    /// `checks` fails, such as `address,undefined`. Programs then need the compiler's `libasan` loaded first.
    fn sanitize(build: &mut cc::Build, checks: &str) {
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

    fn variable(name: &str) -> Option<String> {
        println!("cargo:rerun-if-env-changed={name}");
        env::var(name).ok()
    }
}
