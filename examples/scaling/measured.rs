//! What one span costs on each of its ways, and how many there are of a press.
//!
//! The figures are measured (`measure`) and committed, so that the document is the same on every machine; a test measures again.

use serde::{Deserialize, Serialize};

/// Bytes are of one span, unless they say otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Spans of a press that calls three services, by kind.
    pub spans: Spans,
    /// What a service sends to its agent: OTLP, protobuf, not compressed.
    pub sent: f64,
    /// What an agent sends on, trace by trace, with gzip.
    pub routed: f64,
    /// A batch of the aggregators, before it is compressed and as it is sent.
    pub batched: f64,
    pub gzipped: f64,
    /// The same batch as Kafka keeps it.
    pub lz4: f64,
    pub cassandra: Cassandra,
    pub opensearch: OpenSearch,
    /// Where services only pass the context on, and the frontend alone makes spans: those of a press, and the bytes of each as sent.
    pub propagate: Propagate,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spans {
    pub server: f64,
    pub client: f64,
    /// Work in the background, which belongs to a press but is not waited for.
    pub internal: f64,
    /// Of the server and client spans those of calls that were refused and made again.
    pub again: f64,
}

impl Spans {
    pub fn all(self) -> f64 {
        self.server + self.client + self.internal
    }
}

/// One copy of a span: a row of its own and those of the indices.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cassandra {
    pub rows: f64,
    /// Of the rows those that index what a resource says, which is the same in all spans of a pod.
    pub process_rows: f64,
    pub bytes: f64,
    pub lz4: f64,
}

/// One copy of a span: a document, each tag of which is one of Lucene's own.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OpenSearch {
    pub documents: f64,
    pub json: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Propagate {
    pub spans: f64,
    pub sent: f64,
}

impl Measured {
    /// The committed figures.
    ///
    /// # Errors
    /// The file is not what [`Measured`] is written as.
    pub fn committed() -> anyhow::Result<Self> {
        Ok(serde_json::from_str(include_str!("measured.json"))?)
    }
}
