//! Arguments -> command -> exit status.

fn main() -> std::process::ExitCode {
    bearward::cli::main()
}
