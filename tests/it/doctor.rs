//! `maand doctor` on real servers and on a sandbox: each kind of trouble with what to type, and nothing changed.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use maand::bucket::Host;
use maand::doctor::{Examined, FirstKeys, Look, Severity, State, look_at};
use maand::sandbox::{Blueprint, Fault as SandboxFault, FaultKind, Sandbox, SandboxOptions};
use maand::ssh::{Cancel, Endpoint, Layer, Settings, Ssh2Remote, destination};
use serde_json::{Value, json};

use crate::catalog::Bench;
use crate::support::hostile::{Cipher, data, server};
use crate::support::{Fault, Fleet, Options, keygen};

fn maand(bucket: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_maand"));
    command.arg("-C").arg(bucket).args(arguments).env_remove("SSH_AUTH_SOCK").output().unwrap()
}

fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!(
            "{error}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    })
}

fn of_host<'v>(report: &'v Value, host: &str) -> &'v Value {
    report["workers"].as_array().unwrap().iter().find(|worker| worker["host"] == host).unwrap()
}

/// The codes of a worker's findings of at least a warning, and how its layers are.
fn of_worker<'v>(report: &'v Value, host: &str) -> (Vec<&'v str>, BTreeMap<&'v str, &'v str>) {
    let worker = of_host(report, host);
    let findings = worker["findings"].as_array().unwrap().iter();
    let codes = findings.filter(|one| one["severity"] != "note").map(|one| one["code"].as_str().unwrap());
    let layers = worker["layers"].as_array().unwrap().iter();
    let layers = layers.map(|layer| (layer["layer"].as_str().unwrap(), layer["state"].as_str().unwrap()));
    (codes.collect(), layers.collect())
}

/// Every file below, with what would show that it was touched.
fn listing(folder: &Path) -> Vec<String> {
    let find = Command::new("find").arg(folder).args(["-printf", "%p %y %s %m %T@\n"]).output().unwrap();
    let mut lines: Vec<String> = String::from_utf8(find.stdout).unwrap().lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn thirty_hosts_with_five_problems_need_one_look() {
    let options = SandboxOptions {
        speed: 20.0,
        program: Some(PathBuf::from(env!("CARGO_BIN_EXE_maand"))),
        ..SandboxOptions::new(Blueprint::demo(30))
    };
    let sandbox = Sandbox::start(options).unwrap();
    let bucket = sandbox.bucket_dir();
    let hosts = sandbox.hosts().to_vec();
    let fault = |at: usize, kind| {
        let fault = SandboxFault { host: hosts[at].clone(), kind, at_step: None };
        assert!(sandbox.inject(fault));
    };
    // Five that refuse, eleven with a password for sudo, three whose keys nobody knows, one without an address and
    // two without a boot id that could be read.
    (0..5).for_each(|at| fault(at, FaultKind::Refuses));
    (5..16).for_each(|at| fault(at, FaultKind::SudoPassword));
    let known = bucket.join("secrets/known_hosts");
    let lines = fs::read_to_string(&known).unwrap();
    let unknown: Vec<String> =
        (16..19).map(|at| format!("[{}]:", sandbox.address(&hosts[at]).unwrap().ip())).collect();
    let kept = lines.lines().filter(|line| !unknown.iter().any(|name| line.starts_with(name)));
    let kept: String = kept.map(|line| format!("{line}\n")).collect();
    fs::write(&known, kept).unwrap();
    let config = bucket.join("secrets/ssh_config");
    let text = fs::read_to_string(&config).unwrap();
    let one = format!("Host {}\n  HostName no-such-host.invalid\n{text}", hosts[19]);
    fs::write(&config, one).unwrap();
    for host in &hosts[20..22] {
        let file = sandbox.root(host).unwrap().join("proc/sys/kernel/random/boot_id");
        fs::remove_file(&file).unwrap();
        fs::write(file, "no such thing\n").unwrap();
    }
    let before = listing(&bucket);

    let output = maand(&bucket, &["doctor"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    for (group, remedy) in [
        ("5 workers: the connection to port ", "\"ssh_port\": 2222"),
        ("11 workers: sudo wants a password: ", "NOPASSWD: ALL"),
        ("3 workers: the host key is not known, and ", "`ssh-keyscan -p "),
        ("the name has no address", "getent hosts no-such-host.invalid"),
        ("2 workers: the boot id cannot be read", "/proc/sys/kernel/random/boot_id"),
        ("8 workers are fine", ""),
        ("5 problems to fix, 0 warnings; 8 of 30 workers without either. Nothing was changed.", ""),
    ] {
        let line = text.lines().position(|line| line.contains(group));
        let line = line.unwrap_or_else(|| panic!("no `{group}` in\n{text}"));
        assert!(
            text.lines().skip(line).take(7).any(|line| line.contains(remedy)),
            "no `{remedy}` in\n{text}"
        );
    }
    // The fingerprint of each key is there, to be compared.
    assert_eq!(text.matches("SHA256:").count(), 3, "{text}");
    assert!(text.contains(&format!("{}, {}, 9 more", hosts[5], hosts[6])), "{text}");
    assert_eq!(listing(&bucket), before, "nothing is stored here");

    let some = format!("{},{}", hosts[0], hosts[29]);
    let report = json_of(&maand(&bucket, &["doctor", "--workers", &some, "--output", "json"]));
    assert_eq!((&report["ok"], &report["of"], &report["problems"]), (&json!(false), &json!(2), &json!(1)));
    let (codes, layers) = of_worker(&report, hosts[0].as_str());
    assert_eq!(codes, ["port_refused"]);
    assert_eq!((layers["address"], layers["port"], layers["sudo"]), ("ok", "problem", "not_looked_at"));
    let (codes, layers) = of_worker(&report, hosts[29].as_str());
    assert!(codes.is_empty() && layers.values().all(|state| *state == "ok"), "{layers:?}");
    let good = maand(&bucket, &["doctor", "--workers", hosts[29].as_str()]);
    assert_eq!(good.status.code(), Some(0), "{}", String::from_utf8_lossy(&good.stdout));
}

/// A bucket for `agent` with sudo on a fleet.
fn bench(fleet: Fleet) -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench { fleet, dir, env: Vec::new() };
    bench.lay_out("bucket_id = \"9b2f8a52-6f3c-4a43-9a38-1d8d8b1f0c11\"\n");
    let conf = fs::read_to_string(bench.path("maand.conf")).unwrap();
    let conf = conf.replace("\"root\"", "\"agent\"").replace("use_sudo = false", "use_sudo = true");
    bench.write("maand.conf", &conf);
    bench
}

/// More lines for the server of a host.
fn reconfigure(fleet: &Fleet, i: usize, lines: &str) {
    let config = fleet.disk(i).join("sshd_config");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{lines}\n{text}")).unwrap();
    fleet.unplug(i);
    fleet.plug(i);
}

/// What makes a host sick, the code that says so, and a part of what to type.
type Illness = (&'static str, fn(&Fleet, usize), &'static str, &'static str);

const LOGINS: &[Illness] = &[
    (
        "password",
        |fleet, i| fleet.set(i, Fault::SudoPassword),
        "sudo_password",
        "agent ALL=(ALL) NOPASSWD: ALL",
    ),
    ("no sudo", without_sudo, "sudo_absent", "apt-get install sudo"),
    ("off", |fleet, i| fleet.unplug(i), "port_refused", "\"ssh_port\": 2222"),
    ("refused", |fleet, i| reconfigure(fleet, i, "DenyUsers agent"), "key_refused", "ssh-copy-id -i"),
    ("shell", |fleet, i| shell(fleet, i, "/bin/false"), "login_shell", "usermod -s /bin/bash agent"),
    ("no shell", |fleet, i| shell(fleet, i, "/bin/nosuch"), "key_refused", "a shell that does not exist"),
    ("forced", |fleet, i| reconfigure(fleet, i, "ForceCommand echo go away"), "not_executed", "ForceCommand"),
    (
        "nologin",
        |fleet, i| drop(fleet.sh_ok(i, "echo closed for repair >/run/nologin")),
        "no_login",
        "/run/nologin",
    ),
    (
        "noise",
        |fleet, i| {
            shell(fleet, i, "/bin/bash");
            fs::write(fleet.disk(i).join("home/agent/.bashrc"), "echo Welcome to \u{1b}[31mw1\n").unwrap();
        },
        "login_noise",
        "case $- in",
    ),
];

/// Also where this machine, whose programs a host has, has a sudo.
fn without_sudo(fleet: &Fleet, i: usize) {
    fleet.set(i, Fault::SudoAbsent);
    reconfigure(fleet, i, "SetEnv PATH=/run/programs");
    fleet.sh_ok(
        i,
        "mkdir /run/programs && ln -s /bin/* /usr/bin/* /run/programs 2>/dev/null; rm -f /run/programs/sudo",
    );
}

fn shell(fleet: &Fleet, i: usize, shell: &str) {
    fleet.sh_ok(i, &format!("sed -i 's#:/home/agent:.*#:/home/agent:{shell}#' /etc/passwd"));
}

const BEHIND: &[Illness] = &[
    ("home", |fleet, i| drop(fleet.sh_ok(i, "rm -rf /home/agent")), "home_missing", "mkhomedir_helper agent"),
    ("ro", |fleet, i| drop(fleet.sh_ok(i, "mount -o remount,bind,ro /opt")), "read_only", "remount,rw /opt"),
    (
        "noexec",
        |fleet, i| drop(fleet.sh_ok(i, "mount -o remount,bind,noexec /opt")),
        "noexec",
        "remount,exec /opt",
    ),
    (
        "full",
        |fleet, i| drop(fleet.sh_ok(i, "mount -t tmpfs -o size=64k t /opt")),
        "disk_full",
        "du -xh -d 2 /opt",
    ),
    (
        "inodes",
        |fleet, i| drop(fleet.sh_ok(i, "mount -t tmpfs -o size=900m,nr_inodes=10 t /opt")),
        "inodes_full",
        "--inodes -d 2 /opt",
    ),
    (
        "boot id",
        |fleet, i| {
            drop(fleet.sh_ok(i, "umount /proc/sys/kernel/random/boot_id; mount --bind /etc/hostname /proc/sys/kernel/random/boot_id"))
        },
        "boot_id",
        "has to print a UUID",
    ),
    (
        "no make",
        |fleet, i| {
            fleet.set(i, Fault::NoMake);
            fleet.unplug(i);
            fleet.plug(i);
        },
        "tools_missing",
        "apt-get install make",
    ),
    (
        "shutdown",
        |fleet, i| {
            drop(fleet.sh_ok(
                i,
                "mkdir -p /run/systemd/shutdown; echo MODE=reboot >/run/systemd/shutdown/scheduled",
            ))
        },
        "shutdown_scheduled",
        "shutdown -c",
    ),
    ("file", |fleet, i| drop(fleet.sh_ok(i, "echo >/opt/worker")), "folder_in_the_way", "ls -ld /opt/worker"),
];

/// One host for each illness and a well one: one look finds all of them.
#[track_caller]
fn all_are_found(illnesses: &[Illness]) {
    let Some(fleet) = Fleet::start(illnesses.len() + 1) else { return };
    for (i, (_, make, _, _)) in illnesses.iter().enumerate() {
        make(&fleet, i);
    }
    let bench = bench(fleet);
    let output = maand(bench.dir.path(), &["doctor", "--output", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let report = json_of(&output);
    for (i, (name, _, code, typed)) in illnesses.iter().enumerate() {
        let (codes, layers) = of_worker(&report, &bench.host(i));
        let worker = of_host(&report, &bench.host(i));
        assert_eq!(codes, [*code], "{name}: {layers:?} {worker}");
        let found = worker["findings"].as_array().unwrap().iter().find(|one| one["code"] == *code).unwrap();
        let remedy = found["remedy"].as_str().unwrap();
        assert!(remedy.contains(typed), "{name}: {remedy}");
        assert!(!found.to_string().contains('\u{1b}'), "{name}: {found}");
    }
    let well = bench.host(illnesses.len());
    let (codes, layers) = of_worker(&report, &well);
    assert!(codes.is_empty() && layers.values().all(|state| *state == "ok"), "{well}: {codes:?} {layers:?}");
    assert_eq!(report["healthy"], json!([well]), "{report:#}");
}

#[test]
fn what_is_wrong_with_logins_is_found_at_once() {
    all_are_found(LOGINS);
}

#[test]
fn what_is_wrong_behind_the_login_is_found_at_once() {
    all_are_found(BEHIND);
}

#[test]
fn nothing_is_changed_here_or_there() {
    let Some(fleet) = Fleet::start(2) else { return };
    let bench = bench(fleet);
    bench.job("api", "1.0.0", json!({}));
    let there = |i| {
        let folders = "/opt /root /home /var/lib /run /etc";
        bench.fleet.sh_ok(i, &format!("find {folders} -xdev -printf '%p %y %s %m %T@\\n' | sort"))
    };
    let before = (listing(bench.dir.path()), there(0), there(1));
    let (text, _) = bench.expect(0, &["doctor"]);
    // A first key is shown, and not stored: that is for the first command that does something.
    assert!(text.contains("2 workers: the host key is not known yet"), "{text}");
    assert_eq!(text.matches("SHA256:").count(), 2, "{text}");
    let after = (listing(bench.dir.path()), there(0), there(1));
    assert_eq!(after, before);
    assert!(!bench.path("secrets/known_hosts").exists() && !bench.path("data").exists());
    // It is the same after a deploy.
    bench.build_and_deploy();
    assert!(bench.path("secrets/known_hosts").exists());
    let before = (listing(bench.dir.path()), there(0), there(1));
    let (text, _) = bench.expect(0, &["doctor"]);
    assert!(text.contains("2 workers are fine") && !text.contains("SHA256:"), "{text}");
    assert_eq!((listing(bench.dir.path()), there(0), there(1)), before);
}

#[test]
fn a_key_that_is_missing_is_this_machines_fault_and_said_once() {
    let Some(fleet) = Fleet::start(3) else { return };
    let bench = bench(fleet);
    fs::remove_file(bench.path("secrets/worker.key")).unwrap();
    let (text, _) = bench.expect(1, &["doctor"]);
    assert_eq!(text.matches("worker.key").count(), 1, "{text}");
    assert!(text.contains("maand init"), "{text}");
    assert!(text.contains("3 of 3 workers cannot be logged in to because of it"), "{text}");
    let report = json_of(&maand(bench.dir.path(), &["doctor", "--output", "json"]));
    assert_eq!(report["problems"], 1, "{report:#}");
    let (codes, layers) = of_worker(&report, &bench.host(0));
    assert!(codes.is_empty(), "{codes:?}");
    assert_eq!((layers["port"], layers["login"], layers["disk"]), ("ok", "not_looked_at", "not_looked_at"));

    let (_, stderr) = bench.expect(1, &["run_command", "-c", "3", "--keep-going", "true"]);
    assert_eq!(stderr.matches("maand init").count(), 1, "said once: {stderr}");

    // Readable by others, and refused by them for the mode.
    fs::copy(bench.fleet.key(), bench.path("secrets/worker.key")).unwrap();
    fs::set_permissions(bench.path("secrets/worker.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let (text, _) = bench.expect(1, &["doctor"]);
    assert!(text.contains("chmod 600"), "{text}");
}

#[test]
fn accounts_that_pam_refuses_are_told_apart() {
    let options = Options { pam: true, ..Options::default() };
    let Some(fleet) = Fleet::start_with(2, &options) else { return };
    for (i, field) in [(0, "agent:*:0:0:99999:7:::"), (1, "agent:*:19000:0:99999:7::1:")] {
        let pam = "account required pam_unix.so\nauth required pam_permit.so\nsession required pam_permit.so\n\
                   password required pam_permit.so\n";
        fleet.sh_ok(i, &format!("printf '{}' >/etc/pam.d/sshd", pam.replace('\n', "\\n")));
        fleet.sh_ok(i, &format!("sed -i 's#^agent:.*#{field}#' /etc/shadow"));
    }
    let bench = bench(fleet);
    let report = json_of(&maand(bench.dir.path(), &["doctor", "--output", "json"]));
    assert_eq!(of_worker(&report, &bench.host(0)).0, ["password_expired"], "{report:#}");
    // sshd says no more of it to the client than that the key is not good.
    let code = of_worker(&report, &bench.host(1)).0;
    assert!(code == ["account_expired"] || code == ["key_refused"], "{report:#}");
}

/// Looks at one address with little patience.
fn looked(settings: Settings, host: &str) -> Examined {
    let settings = Settings { stores_host_keys: false, ..settings };
    let remote = Ssh2Remote::new(settings.clone());
    let look = Look {
        remote: &remote,
        first_keys: FirstKeys::default(),
        tools: &["bash"],
        patience: Duration::from_secs(2),
        cancel: &Cancel::new(),
    };
    let host = Host::parse(host).unwrap();
    look_at(&look, &host, destination(&settings, &host))
}

fn at_port(port: u16) -> (tempfile::TempDir, Settings) {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key");
    keygen(&key, "doctor");
    let profiles = std::sync::Arc::new(|host: &Host| {
        maand::ssh::HostProfile::real(Path::new("/opt/worker"), "bucket", host, true)
    });
    let mut settings = Settings { key: Some(key), ..Settings::bare(dir.path().join("kh"), profiles) };
    settings.user = Some("root".into());
    settings.deadlines.connect = Duration::from_millis(300);
    settings.endpoints.insert(Host::parse("127.0.0.1").unwrap(), Endpoint { port: Some(port), user: None });
    (dir, settings)
}

#[test]
fn a_server_that_opens_no_session() {
    let Some(fleet) = Fleet::start(1) else { return };
    reconfigure(&fleet, 0, "MaxSessions 0");
    let seen = looked(fleet.settings(), fleet.host(0).as_str());
    assert_eq!(seen.findings.last().unwrap().cause.code, "no_session", "{:?}", seen.findings);
    assert_eq!((seen.layers[&Layer::Login], seen.layers[&Layer::Shell]), (State::Ok, State::Problem));
}

#[test]
fn ports_that_are_no_ssh_servers() {
    use std::io::Write;
    let http = TcpListener::bind("127.0.0.1:0").unwrap();
    let rude = TcpListener::bind("127.0.0.1:0").unwrap();
    let (http_port, rude_port) = (http.local_addr().unwrap().port(), rude.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for mut stream in http.incoming().flatten() {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    std::thread::spawn(move || rude.incoming().for_each(drop));
    for port in [http_port, rude_port] {
        let (_dir, settings) = at_port(port);
        let seen = looked(settings, "127.0.0.1");
        let found: Vec<_> = seen.findings.iter().map(|found| found.cause.code).collect();
        assert_eq!(found, ["port_no_ssh"], "{:?}", seen.findings);
        assert_eq!(seen.layers[&Layer::Port], State::Problem);
        assert_eq!(seen.layers[&Layer::Login], State::NotLookedAt(Layer::Port));
        assert!(seen.findings[0].cause.remedy.contains(&format!("sport = :{port}")), "{:?}", seen.findings);
    }
    let (_dir, mut settings) = at_port(rude_port);
    settings.known_hosts = _dir.path().to_owned();
    let seen = looked(settings, "127.0.0.1");
    assert_eq!(seen.findings[0].cause.code, "known_hosts", "{:?}", seen.findings);
}

/// RFC 4254, section 5.3.
const SSH_MSG_CHANNEL_CLOSE: u8 = 97;

#[test]
fn an_answer_that_lies_is_unknown_and_never_ok() {
    let floods = server(Cipher::Gcm, |session| {
        let channel = session.channel;
        let line = "clock \u{1b}[2J9999999999999999999999\nsudo 0\nspace worker x y z\nboot_id \u{202e}\n"
            .repeat(200);
        for _ in 0..200 {
            session.send(&data(channel, 0, line.as_bytes()))?;
        }
        // Until the client has had enough.
        session.receive_only(SSH_MSG_CHANNEL_CLOSE).map(drop)
    });
    let (_dir, settings) = at_port(floods.port());
    let began = Instant::now();
    let seen = looked(settings, "127.0.0.1");
    assert!(began.elapsed() < Duration::from_secs(60));
    assert!(seen.findings.iter().any(|found| found.severity == Severity::Problem), "{:?}", seen.findings);
    for layer in [Layer::Tools, Layer::Clock, Layer::Boot] {
        let state = seen.layers[&layer];
        assert!(matches!(state, State::Unknown | State::NotLookedAt(_)), "{layer:?} {state:?}");
    }
}

#[test]
fn it_is_ours_on_a_bucket_of_upstream_and_needs_a_bucket() {
    let nowhere = tempfile::tempdir().unwrap();
    let output = maand(nowhere.path(), &["doctor"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("is no bucket"), "{output:?}");
    let bucket = tempfile::tempdir().unwrap();
    fs::write(bucket.path().join("maand.conf"), "bucket_id = \"b\"\n").unwrap();
    fs::create_dir_all(bucket.path().join("workspace")).unwrap();
    fs::create_dir_all(bucket.path().join("data")).unwrap();
    fs::write(bucket.path().join("data/maand.db"), "").unwrap();
    fs::write(bucket.path().join("workspace/workers.json"), "[]").unwrap();
    let before = listing(bucket.path());
    let output = maand(bucket.path(), &["--maand-bin", "/nowhere/maand", "doctor", "--output", "json"]);
    let report = json_of(&output);
    assert_eq!(report["schema"], "maand/doctor/v1");
    let here: Vec<&str> =
        report["here"].as_array().unwrap().iter().map(|one| one["code"].as_str().unwrap()).collect();
    assert!(here.iter().any(|code| code.starts_with("maand::external::")), "{report:#}");
    assert_eq!(listing(bucket.path()), before);
}
