//! Servers that lie: handshakes that never end, and floods of what nobody has asked for. Each costs its deadline and
//! some megabytes, and no more.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use maand::bucket::Host;
use maand::ssh::{Cancel, ConnectError, Endpoint, HostProfile, Remote, Settings, Ssh2Remote, UnknownWhy};

use crate::ssh::{script, unknown};
use crate::support::hostile::{Cipher, Session, data, kexinit, listen, server, string};
use crate::support::{Fleet, PATIENCE, PORT, keygen};

/// A key, and a server to try it on.
fn settings(folder: &Path, address: SocketAddr) -> (Settings, Host) {
    let key = folder.join("worker.key");
    if !key.exists() {
        keygen(&key, "worker");
    }
    let profiles = |host: &Host| HostProfile::real(Path::new("/opt/worker"), "test-bucket", host, false);
    let host = Host::parse(&address.ip().to_string()).unwrap();
    let mut settings = Settings::bare(folder.join("known_hosts"), Arc::new(profiles));
    settings.key = Some(key);
    settings.endpoints.insert(host.clone(), Endpoint { port: Some(address.port()), user: None });
    settings.deadlines.handshake = Duration::from_secs(1);
    (settings, host)
}

/// Until the client has gone.
fn forever(mut stream: &TcpStream, bytes: &[u8]) {
    let many = bytes.repeat((4096 / bytes.len().max(1)).max(1));
    while stream.write_all(&many).is_ok() {}
}

fn say_and_wait(mut stream: &TcpStream, bytes: &[u8]) {
    let _ = stream.write_all(bytes);
    let _ = stream.read_to_end(&mut Vec::new());
}

fn plain(payload: &[u8]) -> Vec<u8> {
    let padding = 16 - (payload.len() + 5) % 8;
    let length = u32::try_from(1 + payload.len() + padding).unwrap();
    [&length.to_be_bytes()[..], &[u8::try_from(padding).unwrap()], payload, &vec![0; padding]].concat()
}

type Act = fn(&TcpStream);

const HANDSHAKES: [(&str, Act); 10] = [
    ("says nothing", |stream| say_and_wait(stream, b"")),
    ("line ends without end", |stream| forever(stream, b"\n")),
    ("carriage returns without end", |stream| forever(stream, b"\r")),
    ("lines without end", |stream| forever(stream, b"welcome\r\n")),
    ("a line without end", |stream| forever(stream, b"x")),
    ("a banner without end", |stream| {
        say_some(stream, b"SSH-2.0-");
        forever(stream, b"x");
    }),
    ("a byte now and then", |mut stream| {
        while stream.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    }),
    ("an offer and then silence", |stream| {
        say_and_wait(stream, &[b"SSH-2.0-x\r\n".to_vec(), plain(&kexinit(Cipher::Gcm))].concat());
    }),
    ("packets before the offer", |stream| {
        say_some(stream, b"SSH-2.0-x\r\n");
        forever(stream, &plain(&[vec![2], string(&[0; 200])].concat()));
    }),
    ("packets after the offer", |stream| {
        say_some(stream, &[b"SSH-2.0-x\r\n".to_vec(), plain(&kexinit(Cipher::Gcm))].concat());
        forever(stream, &plain(&[vec![192], string(&[0; 200])].concat()));
    }),
];

fn say_some(mut stream: &TcpStream, bytes: &[u8]) {
    let _ = stream.write_all(bytes);
}

#[test]
fn a_handshake_that_never_ends_is_ended_at_its_deadline() {
    let folder = tempfile::tempdir().unwrap();
    keygen(&folder.path().join("worker.key"), "worker");
    let took = maand::os::parallel_map(HANDSHAKES, HANDSHAKES.len(), |(name, act)| {
        let (settings, host) = settings(folder.path(), listen(move |stream| act(&stream)));
        let began = Instant::now();
        let error = Ssh2Remote::new(settings).connect(&host, began + PATIENCE, &Cancel::new()).err();
        assert!(
            matches!(error, Some(ConnectError::Handshake { .. } | ConnectError::LoginTimedOut { .. })),
            "{name}: {error:?}"
        );
        (name, began.elapsed())
    });
    for (name, took) in took {
        assert!(took < Duration::from_secs(20), "{name}: {took:?}");
    }
}

#[test]
fn a_handshake_that_never_ends_can_be_given_up() {
    let folder = tempfile::tempdir().unwrap();
    for (name, act) in
        HANDSHAKES.into_iter().filter(|(name, _)| name.contains("line ends") || name.contains("byte"))
    {
        let (mut settings, host) = settings(folder.path(), listen(move |stream| act(&stream)));
        settings.deadlines.handshake = PATIENCE;
        let cancel = Cancel::new();
        let error = std::thread::scope(|scope| {
            let dial = scope
                .spawn(|| Ssh2Remote::new(settings).connect(&host, Instant::now() + PATIENCE, &cancel).err());
            std::thread::sleep(Duration::from_millis(100));
            cancel.cancel();
            dial.join().unwrap()
        });
        // What sends a megabyte within a moment is ended before.
        let ended = matches!(error, Some(ConnectError::Cancelled | ConnectError::Handshake { .. }));
        assert!(ended, "{name}: {error:?}");
    }
}

#[test]
fn a_jump_host_changes_nothing_about_it() {
    let Some(fleet) = Fleet::start(1) else { return };
    maand::os::parallel_map(HANDSHAKES, HANDSHAKES.len(), |(name, act)| {
        let address = listen(move |stream| act(&stream));
        let config = fleet.folder().join(format!("config-{}", address.port()));
        let text = format!(
            "Host inner\n  HostName {}\n  Port {}\n  ProxyJump root@hop\nHost hop\n  HostName {}\n  Port {PORT}\n",
            address.ip(),
            address.port(),
            fleet.host(0),
        );
        fs::write(&config, text).unwrap();
        let mut settings = Settings { ssh_config: Some(config), port: None, ..fleet.settings() };
        settings.deadlines.handshake = Duration::from_secs(3);
        let began = Instant::now();
        let inner = Host::parse("inner").unwrap();
        let error = Ssh2Remote::new(settings).connect(&inner, began + PATIENCE / 2, &Cancel::new()).err();
        assert!(
            matches!(error, Some(ConnectError::Handshake { .. } | ConnectError::LoginTimedOut { .. })),
            "{name}: {error:?}"
        );
        assert!(began.elapsed() < PATIENCE / 2, "{name}: {:?}", began.elapsed());
    });
}

type Flood = fn(&mut Session) -> Vec<Vec<u8>>;

/// What is sent again and again after the login.
const FLOODS: [(&str, Flood); 12] = [
    ("packets of no type", |_| vec![[vec![192], vec![0; 1000]].concat()]),
    ("short packets of no type", |_| vec![vec![192]]),
    ("something to ignore", |_| vec![[vec![2], string(&[0; 1000])].concat()]),
    ("something for the debugger", |_| vec![[vec![4, 0], string(&[0; 500]), string(b"")].concat()]),
    ("requests", |_| vec![[vec![80], string(b"keepalive@openssh.com"), vec![1]].concat()]),
    ("banners", |_| vec![[vec![53], string(&[b'x'; 1000]), string(b"")].concat()]),
    ("empty data", |session| vec![data(session.channel, 0, b"")]),
    ("data of a stream that nobody reads", |session| vec![data(session.channel, 7, b"")]),
    ("data of a channel that is not there", |_| vec![data(4711, 0, &[0; 1000])]),
    ("channels to open", |_| {
        vec![[vec![90], string(b"x11"), vec![0; 12], string(b"here"), vec![0; 4]].concat()]
    }),
    ("extensions", |_| {
        vec![[vec![7, 0, 0, 0, 1], string(b"server-sig-algs"), string(&[b'x'; 900])].concat()]
    }),
    ("short packets of no type between output", |session| {
        let mut packets = vec![vec![192]; 8];
        packets.push(data(session.channel, 0, b"x"));
        packets
    }),
];

fn flood(session: &mut Session, flood: Flood) -> std::io::Result<()> {
    // The header has come: the command has begun.
    session.receive_only(94)?;
    session.stop_listening();
    let packets = flood(session);
    let many: Vec<_> = packets.iter().cycle().take(packets.len() * (200 / packets.len())).cloned().collect();
    loop {
        session.send_many(&many)?;
    }
}

#[test]
fn a_flood_of_what_nobody_asked_for_ends_the_connection() {
    let folder = tempfile::tempdir().unwrap();
    keygen(&folder.path().join("worker.key"), "worker");
    // Where packets cannot be counted, the shortest ones last too long for a test.
    let uncounted =
        FLOODS.into_iter().filter(|(name, _)| !name.contains("short") && !name.contains("stream"));
    let counted = FLOODS.into_iter().map(|flood| (Cipher::Gcm, flood));
    let all: Vec<_> = counted.chain(uncounted.map(|flood| (Cipher::ChaCha, flood))).collect();
    maand::os::parallel_map(all, 4, |(cipher, (name, packets))| {
        let (settings, host) =
            settings(folder.path(), server(cipher, move |session| flood(session, packets)));
        let settings = Settings { known_hosts: folder.path().join(format!("{cipher:?}{name}")), ..settings };
        let until = Instant::now() + PATIENCE;
        let mut connection = Ssh2Remote::new(settings).connect(&host, until, &Cancel::new()).unwrap();
        let why = unknown(connection.run(&script("sleep 1000"), None));
        let UnknownWhy::ConnectionLost(words) = &why else { panic!("{cipher:?}, {name}: {why:?}") };
        assert!(words.contains("nobody had asked for"), "{cipher:?}, {name}: {words}");
    });
}

#[test]
fn short_lines_are_output_where_packets_cannot_be_counted() {
    const LINES: usize = 200_000;
    let folder = tempfile::tempdir().unwrap();
    keygen(&folder.path().join("worker.key"), "worker");
    let act = |session: &mut Session| {
        session.receive_only(94)?;
        session.stop_listening();
        let many = vec![data(session.channel, 0, b"x\n"); 200];
        (0..LINES / many.len()).try_for_each(|_| session.send_many(&many))?;
        // Of it, and that nothing more comes.
        session.send_many(&[[vec![96], session.channel.to_be_bytes().to_vec()].concat()])
    };
    let (settings, host) = settings(folder.path(), server(Cipher::ChaCha, act));
    let mut connection =
        Ssh2Remote::new(settings).connect(&host, Instant::now() + PATIENCE, &Cancel::new()).unwrap();
    // All of it has been read, up to the end.
    let why = unknown(connection.run(&script("sleep 1000"), None));
    assert!(why.to_string().contains("ended without a trailer"), "{why}");
}

/// The most memory that `maand run_command` has needed with this server as its only worker, in MiB.
fn memory_of_a_command(folder: &Path, address: SocketAddr) -> u64 {
    let bucket = folder.join(address.port().to_string());
    fs::create_dir_all(bucket.join("secrets")).unwrap();
    fs::create_dir_all(bucket.join("workspace")).unwrap();
    fs::set_permissions(bucket.join("secrets"), fs::Permissions::from_mode(0o700)).unwrap();
    keygen(&bucket.join("secrets/worker.key"), "worker");
    let conf = format!(
        "bucket_id = \"hostile\"\nssh_user = \"root\"\nssh_port = {}\nuse_sudo = false\nssh_config = false\n",
        address.port()
    );
    fs::write(bucket.join("maand.conf"), conf).unwrap();
    fs::write(bucket.join("workspace/workers.json"), r#"[{"host": "127.0.0.1"}]"#).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_maand"))
        .arg("-C")
        .arg(&bucket)
        .args(["run_command", "true", "-y"])
        .env_remove("SSH_AUTH_SOCK")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (mut most, until) = (0, Instant::now() + PATIENCE);
    while child.try_wait().unwrap().is_none() {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        most = line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(most);
        if Instant::now() >= until || most > 500 * 1024 {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("not ended by itself; {most} KiB");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    most / 1024
}

#[test]
fn a_hostile_worker_costs_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    // One that hangs up instead.
    let plain =
        memory_of_a_command(folder.path(), server(Cipher::Gcm, |session| session.receive_only(94).map(drop)));
    for (cipher, at) in [(Cipher::Gcm, 0), (Cipher::Gcm, 11), (Cipher::ChaCha, 0)] {
        let (name, packets) = FLOODS[at];
        let address = server(cipher, move |session| flood(session, packets));
        let most = memory_of_a_command(folder.path(), address);
        assert!(most < plain + 32, "{cipher:?}, {name}: {most} MiB, of an honest one {plain}");
    }
}

/// Much output in many short pieces is no flood, nor is much input.
#[test]
fn honest_output_is_no_flood() {
    let Some(fleet) = Fleet::start(1) else { return };
    let remote = Ssh2Remote::new(fleet.settings());
    let mut connection = crate::ssh::connect(&remote, &fleet, 0);
    // Each a packet of its own, for the most part: some 20 MiB of what is not output.
    let text = "i=0; while [ $i -lt 200000 ]; do echo; i=$((i+1)); done; echo end";
    let (code, out, _) = crate::ssh::exited(connection.run(&script(text), None));
    assert_eq!((code, out.len()), (0, 200_004));
}
