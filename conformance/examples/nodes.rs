//! Asks upstream what `tests/nodes.rs` asks Skiff, and writes its answers down.

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    conformance::nodes::record().await
}
