//! What runs, what does not, reboots and faults.

use std::io::Write;
use std::path::Path;

use maand::bucket::Host;
use maand::sandbox::{Event, Fault, FaultKind, Sandbox};

use super::client::{BOOTSTRAP, Client, finish, framed, processes_of, sandbox, until};

fn boot_id(root: &Path) -> String {
    std::fs::read_to_string(root.join("proc/sys/kernel/random/boot_id")).unwrap().trim().to_owned()
}

fn fault(host: &Host, kind: FaultKind, at_step: Option<&str>) -> Fault {
    Fault { host: host.clone(), kind, at_step: at_step.map(str::to_owned) }
}

fn reconnect(sandbox: &Sandbox, host: &Host) -> Client {
    until("the worker to be back", || Client::connect(sandbox, host).ok())
}

/// Asks for a reboot; whether the answer comes before the connection is cut is a matter of luck.
fn reboots(client: &Client, words: &str) {
    if let Ok(answer) = client.script(false, &format!("sandbox-reboot {words}"), b"") {
        assert_eq!(answer.code, 0, "{}", answer.stderr);
    }
}

#[test]
fn our_own_script_runs_in_the_workers_folder() {
    let sandbox = sandbox(3);
    for host in sandbox.hosts() {
        let client = Client::connect(&sandbox, host).unwrap();
        let answer =
            client.own("pwd; echo oops >&2; cat \"$MAAND_SANDBOX/proc/sys/kernel/random/boot_id\"; exit 7");
        assert_eq!((answer.code, answer.stderr.as_str()), (7, "oops\n"));
        let root = sandbox.root(host).unwrap();
        let wanted = format!("{}\n{}\n", root.join("home").display(), sandbox.boots(host)[0].boot_id);
        assert_eq!(answer.stdout, wanted);
    }
    let ids: std::collections::BTreeSet<_> =
        sandbox.hosts().iter().map(|host| boot_id(sandbox.root(host).unwrap())).collect();
    assert_eq!(ids.len(), 3);
}

#[test]
fn what_libssh2_negotiates_is_modern() {
    let sandbox = sandbox(1);
    let client = Client::connect(&sandbox, &sandbox.hosts()[0]).unwrap();
    let method = |kind| client.0.methods(kind).unwrap().to_owned();
    let kex = method(ssh2::MethodType::Kex);
    // Plain, or as half of a post-quantum pair: either is what OpenSSH prefers today.
    assert!(kex.contains("25519-sha256"), "{kex}");
    assert_eq!(method(ssh2::MethodType::HostKey), "ssh-ed25519");
    let (key, kind) = client.0.host_key().unwrap();
    assert!(matches!(kind, ssh2::HostKeyType::Ed25519));
    let known = std::fs::read_to_string(sandbox.bucket_dir().join("secrets/known_hosts")).unwrap();
    let mut hosts = client.0.known_hosts().unwrap();
    hosts.read_str(known.trim(), ssh2::KnownHostFileKind::OpenSSH).unwrap();
    let address = sandbox.address(&sandbox.hosts()[0]).unwrap();
    let checked = hosts.check_port(&address.ip().to_string(), address.port(), key);
    assert!(matches!(checked, ssh2::CheckResult::Match));
}

#[test]
fn another_key_is_refused() {
    let sandbox = sandbox(1);
    let other = super::client::sandbox(1);
    let stream = std::net::TcpStream::connect(sandbox.address(&sandbox.hosts()[0]).unwrap()).unwrap();
    let mut session = ssh2::Session::new().unwrap();
    session.set_tcp_stream(stream);
    session.handshake().unwrap();
    let key = other.bucket_dir().join("secrets/worker.key");
    assert!(session.userauth_pubkey_file("anybody", None, &key, None).is_err());
}

#[test]
fn the_users_own_text_is_recorded_and_not_executed() {
    let sandbox = sandbox(1);
    let host = &sandbox.hosts()[0];
    let marker = sandbox.dir().join("EXECUTED");
    let client = Client::connect(&sandbox, host).unwrap();
    let text = format!("touch '{}'", marker.display());
    assert_eq!(client.script(true, &text, b"payload").unwrap().stdout, "sandbox: recorded, not executed\n");
    // What comes without our framing, or with a broken one, is not executed either.
    assert_eq!(client.raw(&text, b"").unwrap().code, 0);
    assert_eq!(client.raw("sh -s", text.as_bytes()).unwrap().code, 0);
    let broken = framed(true, &text).replace(" 1\n.maand", "\n.maand");
    let _ = client.raw(BOOTSTRAP, broken.as_bytes());
    assert!(!marker.exists());
    let recorded = |wanted: &str| {
        let log = sandbox.log(host);
        log.iter()
            .filter(|entry| matches!(&entry.event, Event::NotExecuted { text, .. } if text == wanted))
            .count()
    };
    assert_eq!((recorded(&text), recorded("sh -s")), (2, 1));
    assert_eq!(client.script(false, &text, b"").unwrap().code, 0);
    assert!(marker.exists(), "the same as text of our own");
}

#[test]
fn much_input_and_output_pass_through() {
    let sandbox = sandbox(1);
    let client = Client::connect(&sandbox, &sandbox.hosts()[0]).unwrap();
    let input: Vec<u8> = (0..3_000_000_u32).map(|n| b'a' + (n % 23) as u8).collect();
    let answer = client.script(false, "cat; echo noise >&2", &input).unwrap();
    assert!(answer.stdout.as_bytes() == input && answer.stderr == "noise\n");
    // A script that does not read what it is sent must not stall the connection.
    let mut channel = client.0.channel_session().unwrap();
    channel.exec(BOOTSTRAP).unwrap();
    let script = framed(false, "exec <&-; until [ -e go ]; do sleep 0.02; done; exit 3");
    channel.write_all(script.as_bytes()).unwrap();
    channel.write_all(&input).unwrap();
    std::fs::write(sandbox.root(&sandbox.hosts()[0]).unwrap().join("home/go"), "").unwrap();
    assert_eq!(finish(channel).unwrap().code, 3);
}

#[test]
fn a_reboot_ends_processes_and_gives_a_new_boot_id() {
    let sandbox = sandbox(2);
    let host = &sandbox.hosts()[0];
    let root = sandbox.root(host).unwrap().to_owned();
    let before = boot_id(&root);
    let client = Client::connect(&sandbox, host).unwrap();
    // One that has left its parent, its session and its streams.
    let answer =
        client.own("(setsid sleep 1000 </dev/null >/dev/null 2>&1 &) ; touch \"$MAAND_SANDBOX/run/here\"");
    assert_eq!(answer.code, 0);
    until("the daemon", || (!processes_of(&root).is_empty()).then_some(()));
    reboots(&client, "sudo shutdown -r now");
    until("the reboot", || (sandbox.boots(host).len() == 2).then_some(()));
    let after = boot_id(&root);
    assert_ne!(before, after);
    assert_eq!(sandbox.boots(host)[1].boot_id, after);
    assert!(processes_of(&root).is_empty());
    assert!(!root.join("run/here").exists());
    assert_eq!(reconnect(&sandbox, host).own("exit 0").code, 0);
    assert_eq!(sandbox.boots(&sandbox.hosts()[1]).len(), 1);
    assert!(sandbox.log(host).iter().any(|entry| matches!(
        &entry.event,
        Event::RebootAsked { by, obeyed: true } if by == "sudo shutdown -r now"
    )));
}

#[test]
fn a_rebooting_worker_cuts_its_connections_and_closes_its_port() {
    let sandbox =
        super::client::sandbox_with(maand::sandbox::SandboxOptions::new(maand::sandbox::Blueprint::demo(1)));
    let host = &sandbox.hosts()[0];
    sandbox.inject(fault(host, FaultKind::NeverReturns, None));
    let client = Client::connect(&sandbox, host).unwrap();
    assert!(client.script(false, "sandbox-reboot; sleep 1000", b"").is_err());
    let refused = until("the port to close", || Client::connect(&sandbox, host).err());
    assert!(!refused.is_empty());
    assert_eq!(sandbox.boots(host).len(), 1);
}

#[test]
fn faults_of_the_reboot() {
    let sandbox = sandbox(4);
    let [never, fails, twice, key] = [0, 1, 2, 3].map(|at| &sandbox.hosts()[at]);
    sandbox.inject(fault(never, FaultKind::AcceptsAndNeverReboots, None));
    sandbox.inject(fault(fails, FaultKind::RebootFails, None));
    sandbox.inject(fault(twice, FaultKind::RebootsTwice, None));
    sandbox.inject(fault(key, FaultKind::ChangesHostKey, None));
    let old_key = Client::connect(&sandbox, key).unwrap().0.host_key().unwrap().0.to_vec();
    for host in [never, twice, key] {
        reboots(&Client::connect(&sandbox, host).unwrap(), "");
    }
    let answer = Client::connect(&sandbox, fails).unwrap().own("sandbox-reboot");
    assert!(answer.code == 1 && answer.stderr.contains("a fault of the sandbox"), "{}", answer.stderr);
    until("two reboots", || (sandbox.boots(twice).len() == 3).then_some(()));
    until("a reboot", || (sandbox.boots(key).len() == 2).then_some(()));
    let new_key = reconnect(&sandbox, key).0.host_key().unwrap().0.to_vec();
    assert_ne!(old_key, new_key);
    assert!(sandbox.log(never).iter().any(|e| matches!(e.event, Event::RebootAsked { obeyed: false, .. })));
    assert_eq!((sandbox.boots(never).len(), sandbox.boots(fails).len()), (1, 1));
}

#[test]
fn nobody_logs_in_for_a_while_after_a_reboot() {
    let sandbox = sandbox(1);
    let host = &sandbox.hosts()[0];
    sandbox.inject(fault(host, FaultKind::Nologin, Some("reboot")));
    sandbox.step_begins(host, "reboot");
    let refused = until("nologin", || {
        let answer = Client::connect(&sandbox, host).ok()?.script(false, "exit 0", b"").ok()?;
        (answer.code == 254).then_some(answer)
    });
    assert!(refused.stderr.contains("booting up"), "{}", refused.stderr);
    until("logins to be on again", || {
        let answer = Client::connect(&sandbox, host).ok()?.script(false, "exit 5", b"").ok()?;
        (answer.code == 5).then_some(())
    });
}

#[test]
fn faults_of_the_connection() {
    let sandbox = sandbox(3);
    let [before, after, refuses] = [0, 1, 2].map(|at| &sandbox.hosts()[at]);
    sandbox.inject(fault(before, FaultKind::CutsBeforeCommand, None));
    sandbox.inject(fault(after, FaultKind::CutsAfterCommand, Some("mark")));
    let client = Client::connect(&sandbox, before).unwrap();
    assert_eq!(client.own("exit 0").code, 0, "it waits for the command that reboots");
    let script = "touch \"$MAAND_SANDBOX/home/ran\" # sandbox-reboot";
    assert!(client.script(false, script, b"").is_err());
    assert!(!sandbox.root(before).unwrap().join("home/ran").exists());
    assert_eq!(reconnect(&sandbox, before).script(false, script, b"").unwrap().code, 0, "only once");

    let client = Client::connect(&sandbox, after).unwrap();
    assert_eq!(client.own("exit 0").code, 0, "it waits for its step");
    sandbox.step_begins(after, "mark");
    assert_eq!(client.own("exit 0").code, 0, "looking changes nothing");
    let changes = framed(false, "touch \"$MAAND_SANDBOX/home/ran\"").replace(" sh 0 ", " sh 1 ");
    assert!(client.raw(BOOTSTRAP, changes.as_bytes()).is_err());
    assert!(sandbox.root(after).unwrap().join("home/ran").exists());

    sandbox.inject(fault(refuses, FaultKind::Refuses, None));
    until("a closed port", || Client::connect(&sandbox, refuses).err());
    sandbox.heal(refuses);
    assert_eq!(reconnect(&sandbox, refuses).own("exit 0").code, 0);
}

#[test]
fn two_sandboxes_live_side_by_side() {
    let (one, two) = (sandbox(2), sandbox(2));
    for sandbox in [&one, &two] {
        for host in sandbox.hosts() {
            let answer = Client::connect(sandbox, host).unwrap().own("echo \"$MAAND_SANDBOX\"");
            assert_eq!(Path::new(answer.stdout.trim()), sandbox.root(host).unwrap());
        }
    }
    let folder = one.dir().to_owned();
    one.stop();
    assert!(!folder.exists() && two.dir().exists());
    assert_eq!(Client::connect(&two, &two.hosts()[0]).unwrap().own("exit 0").code, 0);
}
