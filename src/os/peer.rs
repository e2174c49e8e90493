//! Whose process is at the other end of a TCP connection of this machine.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The kernel's tables of connections, by address family.
const TABLES: [&str; 2] = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];

/// The user id of the process that has opened a connection from `from` to `to`; `None`: it is on another machine, or
/// has gone.
pub fn user_of_connection(from: SocketAddr, to: SocketAddr) -> Option<u32> {
    TABLES.iter().filter_map(|table| fs::read_to_string(table).ok()).find_map(|table| owner(&table, from, to))
}

/// The owner of the socket with these two ends in a table: proc_net_tcp(5), columns 2, 3 and 8.
fn owner(table: &str, from: SocketAddr, to: SocketAddr) -> Option<u32> {
    let (from, to) = (canonical(from), canonical(to));
    table.lines().skip(1).find_map(|line| {
        let mut columns = line.split_ascii_whitespace().skip(1);
        let ends = (address(columns.next()?)?, address(columns.next()?)?);
        if ends == (from, to) { columns.nth(4)?.parse().ok() } else { None }
    })
}

fn canonical(address: SocketAddr) -> (IpAddr, u16) {
    (address.ip().to_canonical(), address.port())
}

/// `0100007F:1F90`: words of 32 bits in the machine's own order of bytes, and the port as a number.
fn address(text: &str) -> Option<(IpAddr, u16)> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut bytes = [0; 16];
    let words = ip.as_bytes().chunks(8);
    if !matches!(ip.len(), 8 | 32) {
        return None;
    }
    for (word, place) in words.zip(bytes.chunks_mut(4)) {
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        place.copy_from_slice(&word.to_ne_bytes());
    }
    let ip: IpAddr = match ip.len() {
        8 => Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]).into(),
        _ => Ipv6Addr::from(bytes).to_canonical(),
    };
    Some((ip, port))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn the_owner_of_a_connection_is_who_has_opened_it() {
        for listening in ["127.0.0.1:0", "[::1]:0", "[::]:0"] {
            let Ok(listener) = TcpListener::bind(listening) else { continue };
            let mut to = listener.local_addr().unwrap();
            if to.ip().is_unspecified() {
                to = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), to.port());
            }
            let client = TcpStream::connect(to).unwrap();
            let (accepted, from) = listener.accept().unwrap();
            let own = rustix::process::getuid().as_raw();
            assert_eq!(user_of_connection(from, accepted.local_addr().unwrap()), Some(own), "{listening}");
            let elsewhere = SocketAddr::new(from.ip(), from.port() ^ 1);
            assert_eq!(user_of_connection(elsewhere, to), None, "{listening}");
            drop(client);
        }
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn a_table_is_read_as_the_kernel_writes_it() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
            0: 0100007F:22EA 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1\n   \
            1: 0100007F:22EA 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 2 1\n   \
            2: 0100007F:D431 0100007F:22EA 01 00000000:00000000 00:00000000 00000000  1000        0 3 1\n";
        let end = |text: &str| text.parse::<SocketAddr>().unwrap();
        let (client, server) = (end("127.0.0.1:54321"), end("127.0.0.1:8938"));
        assert_eq!(owner(table, client, server), Some(1000));
        assert_eq!(owner(table, server, client), Some(0));
        assert_eq!(owner(table, end("[::ffff:127.0.0.1]:54321"), server), Some(1000));
        assert_eq!(owner(table, end("127.0.0.1:1"), server), None);
        for wrong in [
            "",
            "\n",
            "header\n  0: x",
            "header\n  0: 0100007F:D431 0100007F:22EA 01",
            "header\n 0: é:1 é:2 1 2 3 4 5",
        ] {
            assert_eq!(owner(wrong, client, server), None);
        }
    }
}
