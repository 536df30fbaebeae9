//! Gives the program libtorch's rpath, so that it starts without `LD_LIBRARY_PATH` wherever it is installed from.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if let Ok(lib) = std::env::var("DEP_GRADES_TORCH_LIBTORCH_LIB") {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{lib}");
    }
}
