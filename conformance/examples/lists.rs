//! Writes the lists that `tests/lists.rs` keeps.

#[path = "../tests/lists.rs"]
mod lists;

fn main() -> anyhow::Result<()> {
    lists::write()
}
