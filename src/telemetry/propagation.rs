//! The propagator that a list of names stands for.

use std::sync::Arc;

use opentelemetry::propagation::{TextMapCompositePropagator, TextMapPropagator};
use opentelemetry_sdk::propagation::{BaggagePropagator, TraceContextPropagator};

use super::{Propagator, SharedPropagator};

pub(super) fn propagator(names: &[Propagator]) -> SharedPropagator {
    let propagators = names
        .iter()
        .filter_map(|name| -> Option<Box<dyn TextMapPropagator + Send + Sync>> {
            match name {
                Propagator::TraceContext => Some(Box::new(TraceContextPropagator::new())),
                Propagator::Baggage => Some(Box::new(BaggagePropagator::new())),
                Propagator::None => None,
            }
        })
        .collect();
    Arc::new(TextMapCompositePropagator::new(propagators))
}
