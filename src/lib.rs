//! Tracelab: ship a first distributed trace, then find the one hidden sleep among 90 services.
//!
//! The binary in `main.rs` is the product; this library exists so that its tests and benches reach the parts. ARCHITECTURE.md
//! is the map.

pub mod backend;
pub mod mystery;
pub mod server;
pub mod topology;
