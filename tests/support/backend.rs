//! A backend on sockets of its own, and a client for it.
#![allow(dead_code, reason = "every test file uses a part of this")]

use std::net::SocketAddr;
use std::sync::Once;

use serde_json::Value;
use tokio::net::TcpListener;
use tracelab::backend::{self, Listeners, Store};
use tracelab::server::Stop;

pub struct Backend {
    pub store: Store,
    pub query: String,
    pub http: String,
    pub grpc: String,
    pub client: reqwest::Client,
    stop: Stop,
    served: Option<tokio::task::JoinHandle<anyhow::Result<()>>>,
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.stop.stop();
    }
}

impl Backend {
    pub async fn start() -> Self {
        Self::with_limit(64 << 20).await
    }

    pub async fn with_limit(limit_bytes: usize) -> Self {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
        let bind = || TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)));
        let (query, otlp_http, otlp_grpc) = (bind().await.unwrap(), bind().await.unwrap(), bind().await.unwrap());
        let url = |listener: &TcpListener| format!("http://{}", listener.local_addr().unwrap());
        let (store, stop) = (Store::new(limit_bytes), Stop::new());
        let mut backend = Self {
            store: store.clone(),
            query: url(&query),
            http: url(&otlp_http),
            grpc: url(&otlp_grpc),
            client: reqwest::Client::new(),
            stop: stop.clone(),
            served: None,
        };
        backend.served = Some(tokio::spawn(backend::serve(Listeners { query, otlp_http, otlp_grpc }, store, stop)));
        backend
    }

    /// Tells it to stop; returns once it has.
    pub async fn stop(mut self) {
        self.stop.stop();
        self.served.take().unwrap().await.unwrap().unwrap();
    }

    /// Status, content type and text of an answer of the query port.
    pub async fn get(&self, path: &str) -> (u16, String, String) {
        read(self.client.get(format!("{}{path}", self.query)).send().await.unwrap()).await
    }

    /// The JSON of an answer of the query port, which must be a good one.
    pub async fn json(&self, path: &str) -> Value {
        let (status, content_type, text) = self.get(path).await;
        assert_eq!((status, content_type.as_str()), (200, "application/json"), "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    pub async fn post(&self, path: &str, content_type: &str, body: impl Into<reqwest::Body>) -> (u16, String, Vec<u8>) {
        let request = self.client.post(format!("{}{path}", self.http)).header("content-type", content_type).body(body);
        let response = request.send().await.unwrap();
        let (status, content_type) = head(&response);
        (status, content_type, response.bytes().await.unwrap().to_vec())
    }
}

fn head(response: &reqwest::Response) -> (u16, String) {
    let content_type = response.headers().get("content-type").map_or("", |value| value.to_str().unwrap());
    (response.status().as_u16(), content_type.to_owned())
}

pub async fn read(response: reqwest::Response) -> (u16, String, String) {
    let (status, content_type) = head(&response);
    (status, content_type, response.text().await.unwrap())
}
