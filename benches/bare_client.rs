//! The least a libssh2 client can do: one thread per host of standard input, all at once, each of which
//! connects, logs in with a key file, runs the command and reads to its end. No host key is checked.
//! `benches/run_command.sh` compares `maand run_command` to it.
//!
//! Arguments: key file, user, port, command.
#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::io::Read;
use std::net::TcpStream;
use std::path::Path;

use ssh2::Session;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [key, user, port, command] = args.as_slice() else {
        panic!("usage: bare_client KEY USER PORT COMMAND <hosts");
    };
    let port: u16 = port.parse().unwrap();
    let hosts: Vec<String> = std::io::stdin().lines().collect::<Result<_, _>>().unwrap();
    let one = |host: &str| {
        let stream = TcpStream::connect((host, port)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut session = Session::new().unwrap();
        session.set_tcp_stream(stream);
        session.handshake().unwrap();
        session.userauth_pubkey_file(user, None, Path::new(key), None).unwrap();
        let mut channel = session.channel_session().unwrap();
        channel.exec(command).unwrap();
        let mut output = Vec::new();
        channel.read_to_end(&mut output).unwrap();
        channel.close().unwrap();
        channel.wait_close().unwrap();
        assert_eq!(channel.exit_status().unwrap(), 0);
    };
    std::thread::scope(|scope| {
        for host in &hosts {
            let builder = std::thread::Builder::new().stack_size(512 * 1024);
            builder.spawn_scoped(scope, || one(host)).unwrap();
        }
    });
}
