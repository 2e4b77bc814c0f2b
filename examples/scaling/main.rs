//! Writes kops/SCALING.md: what tracing costs at 90, 1,000 and 10,000 services, and where it gives way first.
//!
//! `cargo run --example scaling` prints the document; `cargo run --example scaling -- measure` measures the bytes of spans again.
//! From figures to text: `measured` (our own), `rates` (other people's), `limits` (the manifests') → `plan` (arithmetic), `kept`
//! and `burst` (simulation) → `document`.

pub mod limits;
pub mod measure;
pub mod measured;

use std::path::Path;

use limits::Limits;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let limits = Limits::read(Path::new(env!("CARGO_MANIFEST_DIR")))?;
    if std::env::args().nth(1).as_deref() == Some("measure") {
        println!("{}", serde_json::to_string_pretty(&measure::measure(1_500, &limits).await?)?);
    }
    println!("{limits:#?}");
    Ok(())
}
