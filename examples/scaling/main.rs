//! Writes kops/SCALING.md: what tracing costs at 90, 1,000 and 10,000 services, and where it gives way first.
//!
//! `cargo run --example scaling` prints the document; `cargo run --example scaling -- measure` measures the bytes of spans again.
//! From figures to text: `measured` (our own), `rates` (other people's) and `limits` (the manifests') → `plan` (arithmetic), `kept`
//! and `burst` (simulation) → `document`.

pub mod burst;
pub mod document;
pub mod kept;
pub mod limits;
pub mod measure;
pub mod measured;
pub mod plan;
pub mod rates;

use std::path::Path;

use anyhow::bail;

/// So many presses are measured: some batches of the aggregators' size.
const PRESSES: u64 = 1_500;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    match std::env::args().nth(1).as_deref() {
        None => print!("{}", document::document(root)?),
        Some("measure") => {
            let measured = measure::measure(PRESSES, &limits::Limits::read(root)?).await?;
            println!("{}", serde_json::to_string_pretty(&measured)?);
        }
        Some(other) => bail!("{other:?} is nothing that this does; it takes no argument, or measure"),
    }
    Ok(())
}
