//! What takes itself for a Redis: it answers OK to every command.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use url::Url;

/// Starts one; it ends with the runtime of the test.
pub async fn answering() -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                    // Every command is an array, and no argument of ours has such a sign.
                    let commands = buffer[..read].iter().filter(|byte| **byte == b'*').count();
                    if stream.write_all("+OK\r\n".repeat(commands).as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    url.parse().unwrap()
}
