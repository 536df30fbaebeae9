//! The `finetune` program; what it does is in `grades_finetune::cli`.

// Links the policies, so that configurations can name them.
use grades_policies as _;

fn main() -> std::process::ExitCode {
    grades_finetune::cli::main()
}
