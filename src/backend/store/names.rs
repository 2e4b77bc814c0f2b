//! Services and operations, over all segments.

use std::collections::BTreeSet;

use super::Store;
use super::legacy_json::kind_name;

impl Store {
    /// The services that spans came from, sorted.
    pub(crate) fn services(&self) -> Vec<String> {
        let ring = self.read();
        let mut names = BTreeSet::new();
        for segment in &ring.segments {
            // A service may be known by its logs only; Jaeger lists those that have spans.
            let with_spans =
                segment.service_names.iter().zip(&segment.services).filter(|(_, service)| !service.postings.is_empty());
            names.extend(with_spans.map(|(name, _)| String::from_utf8_lossy(name).into_owned()));
        }
        names.into_iter().collect()
    }

    /// Name and kind of the operations of a service, sorted; the kind is empty where spans have none.
    pub(crate) fn operations(&self, service: &str) -> Vec<(String, &'static str)> {
        let ring = self.read();
        let mut operations = BTreeSet::new();
        for segment in &ring.segments {
            let of_segment = segment.operations(service.as_bytes());
            operations.extend(
                of_segment.map(|(name, kind)| (String::from_utf8_lossy(name).into_owned(), kind_name(kind).unwrap_or_default())),
            );
        }
        operations.into_iter().collect()
    }
}
