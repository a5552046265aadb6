//! The program `skiff`: the library of that name, with an allocator.

/// A request is a thousand small pieces that come and go together, on whichever thread is free: this allocator takes half
/// the time of the system's for that. How it keeps memory is said in `.cargo/config.toml`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    skiff::main()
}
