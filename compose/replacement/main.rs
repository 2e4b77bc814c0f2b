//! A program of your own in the place of a service. This one knows nothing of Tracelab or of tracing, and breaks no trace: it hands
//! on the headers that carry the context. Have it make spans, and the gap that it leaves in a trace closes.

use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

/// What a caller says about its trace (W3C), and whether it has called before.
const PASSED_ON: [&str; 4] = ["traceparent:", "tracestate:", "baggage:", "x-resend-count:"];

fn main() -> std::io::Result<()> {
    // host:port of the service to call next; nobody where it is empty.
    let next = env::var("NEXT").unwrap_or_default();
    let listener = TcpListener::bind("0.0.0.0:8080")?;
    for stream in listener.incoming().flatten() {
        let next = next.clone();
        thread::spawn(move || answer(stream, &next));
    }
    Ok(())
}

fn answer(mut stream: TcpStream, next: &str) -> std::io::Result<()> {
    let lines = BufReader::new(stream.try_clone()?).lines();
    let head: Vec<String> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let passed = |line: &&String| PASSED_ON.iter().any(|name| line.to_ascii_lowercase().starts_with(name));
    let headers: String = head.iter().filter(passed).map(|line| format!("{line}\r\n")).collect();
    let asked_for_work = head.first().is_some_and(|line| line.starts_with("GET / "));
    let status = if asked_for_work && !next.is_empty() { call(next, &headers) } else { Ok("200 OK".to_owned()) };
    let status = status.unwrap_or_else(|error| {
        eprintln!("{next}: {error}");
        "502 Bad Gateway".to_owned()
    });
    let body = "{\"message\":\"hello from a program of my own\",\"path\":[]}";
    let length = body.len();
    write!(stream, "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

/// The status that `next` answers with.
fn call(next: &str, headers: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(next)?;
    write!(stream, "GET / HTTP/1.1\r\nhost: {next}\r\n{headers}connection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.lines().next().and_then(|line| line.split_once(' ')).map(|(_, status)| status.to_owned());
    status.ok_or_else(|| std::io::Error::other("no answer"))
}
