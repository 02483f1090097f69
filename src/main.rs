//! The `turnkeep` program.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    turnkeep::cli::main()
}
