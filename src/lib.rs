//! Tracelab: ship a first distributed trace, then find the one fault hidden among 90 services.
//!
//! The binary in `main.rs` is the product; this library exists so that its tests and benches reach the parts. ARCHITECTURE.md
//! is the map.

pub mod assets;
pub mod backend;
pub mod caller;
pub mod cli;
pub mod cmd;
pub mod config;
pub mod diagnose;
pub mod doctor;
pub mod exit;
pub mod frontend;
pub mod harmless;
pub mod jaeger;
pub mod keeper;
pub mod learn;
pub mod load;
pub mod logs;
pub mod manifest;
pub mod mystery;
pub mod outbound;
pub mod redis;
pub mod sandbox;
pub mod server;
pub mod service;
pub mod simulation;
pub mod telemetry;
pub mod topology;
pub mod watch;
