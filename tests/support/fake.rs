//! A server on a socket of its own that answers as a test likes, whole or not.
#![allow(dead_code, reason = "every test file uses a part of this")]

use std::future::Future;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

pub enum Reply {
    /// Status and body.
    Answer(u16, Vec<u8>),
    /// Promises ten times the bytes that come.
    Cut(Vec<u8>),
    /// Closes the connection.
    Nothing,
    /// Says nothing for as long as the client likes.
    Silence,
}

impl Reply {
    pub fn json(text: &str) -> Self {
        Self::Answer(200, text.as_bytes().to_vec())
    }

    /// What Go's router says of a path that it does not know.
    pub fn not_found() -> Self {
        Self::Answer(404, b"404 page not found\n".to_vec())
    }
}

pub struct Fake {
    pub url: String,
    asked: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fake {
    /// Serves what `reply` makes of paths with their parameters.
    pub async fn start<F, R>(reply: F) -> Self
    where
        F: Fn(String) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Reply> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = asked.clone();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (reply, noted) = (reply.clone(), noted.clone());
                // A client that goes away is no failure of the test.
                tokio::spawn(async move { drop(answer(stream, reply, &noted).await) });
            }
        });
        Self { url, asked, task }
    }

    /// Every path that was asked for, with its parameters.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn answer<F, R>(mut stream: TcpStream, reply: F, noted: &Mutex<Vec<String>>) -> std::io::Result<()>
where
    F: Fn(String) -> R,
    R: Future<Output = Reply>,
{
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    noted.lock().unwrap().push(path.clone());
    let (status, body, length) = match reply(path).await {
        Reply::Answer(status, body) => (status, body.clone(), body.len()),
        Reply::Cut(body) => (200, body.clone(), body.len() * 10),
        Reply::Nothing => return Ok(()),
        Reply::Silence => {
            // Until the client has had enough.
            let _ = stream.read_u8().await;
            return Ok(());
        }
    };
    let head = format!("HTTP/1.1 {status} Status\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&body).await?;
    stream.shutdown().await
}

/// A parameter of a path, as it is written there.
pub fn parameter<'a>(path: &'a str, name: &str) -> Option<&'a str> {
    let (_, parameters) = path.split_once('?')?;
    parameters.split('&').find_map(|parameter| parameter.strip_prefix(name)?.strip_prefix('='))
}
