//! The `arrowsmith` command.

/// A run of many small steps allocates a lot in one thread and frees it in another.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    arrowsmith::project_main()
}
