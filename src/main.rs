//! The thin binary: parses, calls and exits.

fn main() -> std::process::ExitCode {
    maand::cli::main()
}
