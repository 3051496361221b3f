//! The `arrowsmith` command.

fn main() -> std::process::ExitCode {
    arrowsmith::project_main()
}
