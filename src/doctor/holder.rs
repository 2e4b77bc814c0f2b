//! Who has a port of this machine? A container, by what Docker says, or a process, by what Linux says in `/proc` (proc_net_tcp and
//! proc(5) of its documentation). Elsewhere, and of other people's processes, nobody knows.

use std::net::Ipv4Addr;
use std::path::Path;

use super::stage::docker;

/// Of a socket that waits for connections.
const LISTENING: &str = "0A";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// Its name.
    Container(String),
    Process {
        name: String,
        id: u32,
    },
}

/// Who listens at this port where programs of this machine reach it.
pub(super) async fn of(port: u16) -> Option<Holder> {
    // Docker first: what listens for a container is a process of Docker's.
    let filter = format!("publish={port}");
    let names = docker(&["ps", "--filter", &filter, "--format", "{{.Names}}"]).await.unwrap_or_default();
    if let Some(name) = names.lines().next() {
        return Some(Holder::Container(name.to_owned()));
    }
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| std::fs::read_to_string(table).unwrap_or_default());
    let sockets: Vec<String> = tables.iter().flat_map(|table| listening(table, port)).collect();
    process(&sockets)
}

/// The names of sockets that listen at `port` of all addresses or the loopback's, as links to them have it.
fn listening(table: &str, port: u16) -> impl Iterator<Item = String> {
    table.lines().filter_map(move |line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (address, at) = fields.next()?.split_once(':')?;
        let state = fields.nth(1)?;
        let inode = fields.nth(5)?;
        let is_it = state == LISTENING && u16::from_str_radix(at, 16) == Ok(port) && is_here(address);
        (is_it && inode != "0").then(|| format!("socket:[{inode}]"))
    })
}

/// Is it every address, or 127.0.0.1, as such or in IPv6's words? They are written in this machine's order of bytes.
fn is_here(address: &str) -> bool {
    let word = |bytes: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(bytes));
    let (zero, loopback) = (word([0; 4]), word(Ipv4Addr::LOCALHOST.octets()));
    let mapped = word([0, 0, 0xff, 0xff]);
    [zero.clone(), loopback.clone(), zero.repeat(4), zero.repeat(2) + &mapped + &loopback].iter().any(|here| here == address)
}

/// The first process that has one of these sockets open.
fn process(sockets: &[String]) -> Option<Holder> {
    if sockets.is_empty() {
        return None;
    }
    let has_one = |folder: &Path| {
        let files = std::fs::read_dir(folder.join("fd")).into_iter().flatten().flatten();
        files
            .filter_map(|file| std::fs::read_link(file.path()).ok())
            .any(|to| sockets.iter().any(|socket| to.as_os_str() == &**socket))
    };
    let all = std::fs::read_dir("/proc").ok()?.flatten();
    let mut ids: Vec<u32> = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    ids.sort_unstable();
    let id = ids.into_iter().find(|id| has_one(&Path::new("/proc").join(id.to_string())))?;
    let name = std::fs::read_to_string(format!("/proc/{id}/comm")).ok()?;
    Some(Holder::Process { name: name.trim_end().to_owned(), id })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_all_sockets_those_that_listen_here_at_the_port_count() {
        let header = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
        let word = |bytes: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(bytes));
        let (loopback, other, zero) = (word([127, 0, 0, 1]), word([127, 0, 0, 2]), word([0; 4]));
        let mapped = zero.repeat(2) + &word([0, 0, 0xff, 0xff]) + &loopback;
        let lines = [
            (&loopback, "1F90", "0A", 1),
            (&zero, "1F90", "0A", 2),
            // A connection, another port, another address, and one whose process is gone.
            (&loopback, "1F90", "01", 3),
            (&loopback, "1F91", "0A", 4),
            (&other, "1F90", "0A", 5),
            (&loopback, "1F90", "0A", 0),
            (&zero.repeat(4), "1F90", "0A", 6),
            (&mapped, "1F90", "0A", 7),
            (&(zero.repeat(3) + &word([0, 0, 0, 1])), "1F90", "0A", 8),
        ];
        let line = |(address, port, state, inode): &(&String, &str, &str, u32)| {
            format!(
                "   0: {address}:{port} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000  1000        0 {inode} 1 0"
            )
        };
        let table = [header.to_owned()].into_iter().chain(lines.iter().map(line)).collect::<Vec<_>>().join("\n");
        let found: Vec<_> = listening(&table, 8080).collect();
        assert_eq!(found, ["socket:[1]", "socket:[2]", "socket:[6]", "socket:[7]"]);
        assert_eq!(listening("no table\n\n  0: 1", 8080).count(), 0);
        assert_eq!(process(&[]), None);
    }
}
