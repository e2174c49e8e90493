//! What workers, networks and users may have or lack: an agent instead of a key file, a connection that
//! is half open, PAM, no `flock`, no `setsid`, host keys that have to be known.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use maand::ssh::{Cancel, ConnectError, Remote, Ssh2Remote};
use serde_json::json;

use crate::catalog::Bench;
use crate::run_bench::RunBench;
use crate::ssh::{connect, exited, script};
use crate::support::{Fleet, Options, PATIENCE, keygen, wait_until};

/// Ends with the test, however that ends, by its pid.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn an_agent_lets_us_in_where_the_key_file_does_not() {
    let Some(bench) = Bench::new(1) else { return };
    let socket = bench.path("agent.sock");
    let agent = Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn();
    let _agent = Ended(agent.unwrap());
    wait_until("the agent listens", || socket.exists());
    let run = |agent: bool| {
        let mut command = bench.command(&["run_command", "id -un", "-y"]);
        command.env_remove("SSH_AUTH_SOCK");
        if agent {
            command.env("SSH_AUTH_SOCK", &socket);
        }
        command.output().unwrap()
    };
    // The bucket's own key is one that the worker does not know.
    let key = bench.path("secrets/worker.key");
    fs::remove_file(&key).unwrap();
    keygen(&key, "stranger");
    let out = run(true);
    assert_eq!(out.status.code(), Some(1), "the agent is empty yet");
    assert!(text(&out.stderr).contains("agent"), "{}", text(&out.stderr));
    let added =
        Command::new("ssh-add").arg("-q").arg(bench.fleet.key()).env("SSH_AUTH_SOCK", &socket).status();
    assert!(added.unwrap().success());
    let out = run(true);
    assert_eq!(
        (out.status.code(), text(&out.stdout).contains("| root")),
        (Some(0), true),
        "{}",
        text(&out.stderr)
    );
    let out = run(false);
    assert_eq!(out.status.code(), Some(1));
    assert!(text(&out.stderr).contains("it takes none of"), "{}", text(&out.stderr));
}

/// A network of its own with one sshd in it and the program: the network is then taken away.
const HALF_OPEN: &str = r#"
set -eu
ip link set lo up
mount -t tmpfs tmpfs /run && mkdir -p /run/sshd
/usr/sbin/sshd -D -e -f "$D/sshd_config" >"$D/sshd.log" 2>&1 &
until (exec 3<>"/dev/tcp/127.0.0.1/2222") 2>/dev/null; do sleep 0.1; done
"$MAAND" -C "$D" run_command 'echo begun; sleep 1000' -y >"$D/out" 2>"$D/err" &
m=$!
until grep -q begun "$D/out"; do kill -0 "$m"; sleep 0.1; done
date +%s >"$D/taken"
ip link set lo down
until grep -q 'connection was cut' "$D/err"; do kill -0 "$m"; sleep 0.1; done
date +%s >"$D/noticed"
ip link set lo up
wait "$m" || echo "$?" >"$D/code"
"#;

#[test]
fn a_connection_that_is_half_open_in_the_middle_of_a_command_is_noticed() {
    let Some(fleet) = Fleet::start(0) else { return };
    let dir = fleet.folder().join("half-open");
    fs::create_dir_all(dir.join("secrets")).unwrap();
    fs::create_dir_all(dir.join("workspace")).unwrap();
    fs::set_permissions(dir.join("secrets"), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    keygen(&dir.join("host_key"), "host");
    keygen(&dir.join("secrets/worker.key"), "worker");
    fs::write(
        dir.join("sshd_config"),
        format!(
            "ListenAddress 127.0.0.1:2222\nHostKey {0}/host_key\nPidFile none\nUsePAM no\nStrictModes no\n\
             PermitRootLogin yes\nAuthorizedKeysFile {0}/secrets/worker.key.pub\n",
            dir.display()
        ),
    )
    .unwrap();
    let conf = "bucket_id = \"half-open\"\nssh_user = \"root\"\nssh_port = 2222\nuse_sudo = false\nssh_config = false\n";
    fs::write(dir.join("maand.conf"), conf).unwrap();
    fs::write(dir.join("workspace/workers.json"), json!([{"host": "127.0.0.1"}]).to_string()).unwrap();
    let mut command = Command::new("unshare");
    command
        .args(["--net", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"])
        .args(["bash", "-c", HALF_OPEN])
        .env("D", &dir)
        .env("MAAND", env!("CARGO_BIN_EXE_maand"))
        .env_remove("SSH_AUTH_SOCK")
        .stdin(Stdio::null());
    let mut child = Ended(command.spawn().unwrap());
    let end = Instant::now() + 2 * PATIENCE;
    let log = |name: &str| fs::read_to_string(dir.join(name)).unwrap_or_default();
    while child.0.try_wait().unwrap().is_none() {
        assert!(Instant::now() < end, "{}{}{}", log("out"), log("err"), log("sshd.log"));
        std::thread::sleep(Duration::from_millis(50));
    }
    let number = |name: &str| -> u64 {
        let text = log(name);
        text.trim()
            .parse()
            .unwrap_or_else(|_| panic!("no {name}: {}{}{}", log("out"), log("err"), log("sshd.log")))
    };
    // Not how long it took, but that it was noticed before anything else could have ended it.
    assert!(number("noticed") >= number("taken"));
    assert_eq!(number("code"), 1, "it is not known how the command ended");
    assert!(fs::read_to_string(dir.join("out")).unwrap().contains("unknown"));
}

#[test]
fn pam_keeps_everybody_but_root_out_while_the_machine_goes_up_or_down() {
    let Some(fleet) = Fleet::start_with(1, &Options { pam: true, ..Options::default() }) else { return };
    fleet.sh_ok(
        0,
        "printf '%s\\n' 'auth required pam_permit.so' 'account required pam_nologin.so' \
         'account required pam_permit.so' 'session required pam_permit.so' >/etc/pam.d/sshd",
    );
    let attempt = |user: &str| {
        let mut settings = fleet.settings();
        settings.user = Some(user.into());
        let remote = Ssh2Remote::new(settings);
        remote.connect(&fleet.host(0), Instant::now() + PATIENCE, &Cancel::new()).map(drop)
    };
    attempt("agent").unwrap();
    fleet.sh_ok(
        0,
        "echo 'System is going down. Unprivileged users are not permitted to log in anymore.' >/run/nologin",
    );
    let error = attempt("agent").unwrap_err();
    assert!(matches!(error, ConnectError::NoLogin { .. }), "{error:?}");
    attempt("root").unwrap();
    fleet.sh_ok(0, "rm /run/nologin");
    attempt("agent").unwrap();
}

/// From now on the host lacks this program.
fn without(fleet: &Fleet, i: usize, tool: &str) {
    let nothing = fleet.disk(i).join("nothing");
    let path = fleet.sh_ok(i, &format!("readlink -f \"$(command -v {tool})\""));
    fleet.sh_ok(i, &format!("mount --bind {} {path}", nothing.display()));
    assert!(!fleet.sh(i, &format!("command -v {tool}")).status.success(), "{tool} is still there");
}

#[test]
fn a_worker_without_flock_is_named_with_what_it_lacks() {
    let Some(bench) = RunBench::new(2) else { return };
    without(&bench.fleet, 0, "flock");
    // Commands need no lock.
    bench.expect(0, &["run_command", "true", "-y"]);
    bench.write("workspace/jobs/web/new", "1");
    let (stdout, stderr) = bench.expect(1, &["deploy", "--build"]);
    let all = format!("{stdout}{stderr}");
    assert!(all.contains("flock (util-linux)") && all.contains(&bench.host(0)), "{all}");
    assert!(bench.on_worker(1, "jobs/web/new").exists(), "the other one is served");
    assert!(!bench.on_worker(0, "jobs/web/new").exists());
    let plan = bench.plan("rolling-reboot.yaml");
    let (stdout, stderr) = bench.expect(1, &["plan", "apply", &plan, "--yes"]);
    assert!(format!("{stdout}{stderr}").contains("flock"), "{stdout}{stderr}");
    assert_eq!(bench.requests(), [0, 0]);
}

#[test]
fn without_setsid_a_script_still_has_a_group_of_its_own_and_ends_at_its_deadline() {
    let Some(fleet) = Fleet::start(1) else { return };
    without(&fleet, 0, "setsid");
    let remote = Ssh2Remote::new(fleet.settings());
    let mut connection = connect(&remote, &fleet, 0);
    assert_eq!(
        exited(connection.run(&script("echo hello; exit 3"), None)),
        (3, b"hello\n".to_vec(), Vec::new())
    );
    let mut endless = script("echo $$ >/opt/pid; sleep 1000 & echo $! >/opt/child; wait");
    endless.deadline = Duration::from_secs(1);
    let completion = connection.run(&endless, None);
    assert!(!matches!(completion, maand::ssh::Completion::Exited { code: 0, .. }), "{completion:?}");
    assert!(!matches!(completion, maand::ssh::Completion::NotRun { .. }), "{completion:?}");
    wait_until("all of it has ended", || {
        !fleet.sh(0, "kill -0 $(cat /opt/pid) || kill -0 $(cat /opt/child)").status.success()
    });
}

#[test]
fn strict_host_keys_hold_for_run_command() {
    let Some(bench) = Bench::new(1) else { return };
    let conf = fs::read_to_string(bench.path("maand.conf")).unwrap();
    bench.write("maand.conf", &format!("{conf}host_key_check = \"strict\"\n"));
    let out = bench.maand(&["run_command", "touch /opt/sent", "-y"]);
    assert_eq!(out.status.code(), Some(1));
    let said = text(&out.stderr);
    assert!(said.contains("is not known") || said.contains("unknown"), "{said}");
    assert!(!bench.fleet.disk(0).join("opt/sent").exists());
    // Known from OpenSSH's own tool, it is let in.
    let line = fs::read_to_string(bench.fleet.disk(0).join("host_key.pub")).unwrap();
    let name = format!("[{}]:{}", bench.host(0), bench.fleet.port());
    bench.write("secrets/known_hosts", &format!("{name} {line}"));
    bench.expect(0, &["run_command", "touch /opt/sent", "-y"]);
    assert!(Path::new(&bench.fleet.disk(0).join("opt/sent")).exists());
}

fn signal(child: &std::process::Child, kind: &str) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-s", kind, &pid]).status().unwrap().success());
}

#[test]
fn a_first_ctrl_c_lets_make_finish_and_begins_nothing_more() {
    let Some(bench) = Bench::new(2) else { return };
    bench.job("api", "1.0.0", json!({"max_concurrent_starts": 1}));
    bench.write(
        "workspace/jobs/api/Makefile",
        "start:\n\t@mkdir -p data; echo begun >> data/log; while [ ! -e data/go ]; do sleep 0.05; done; \
         echo started >> data/log\nstop:\n\t@true\n",
    );
    bench.expect(0, &["build"]);
    let child = bench.spawn(&["--output", "json", "deploy"]);
    wait_until("make runs", || !bench.done(0, "api").is_empty());
    signal(&child, "INT");
    fs::write(bench.on_worker(0, "jobs/api/data/go"), "").unwrap();
    let out = child.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(5), "{}{}", text(&out.stdout), text(&out.stderr));
    let report = crate::document(&text(&out.stdout));
    let outcomes: Vec<_> = report["allocations"].as_array().unwrap().iter().map(|a| &a["outcome"]).collect();
    assert_eq!(outcomes, ["ok", "not_begun"], "{report:#}");
    assert_eq!((bench.done(0, "api").len(), bench.done(1, "api").len()), (2, 0));
    let go = bench.on_worker(1, "jobs/api/data/go");
    fs::create_dir_all(go.parent().unwrap()).unwrap();
    fs::write(go, "").unwrap();
    bench.expect(0, &["deploy"]);
    for i in 0..2 {
        assert_eq!(bench.done(i, "api"), ["begun", "started"]);
    }
}

#[test]
fn a_second_ctrl_c_in_a_deploy_ends_make_and_the_next_one_completes_it() {
    let Some(bench) = Bench::new(2) else { return };
    bench.job("api", "1.0.0", json!({}));
    bench.write(
        "workspace/jobs/api/Makefile",
        "start:\n\t@mkdir -p data; echo begun >> data/log; while [ ! -e data/go ]; do sleep 0.05; done; \
         echo started >> data/log\nstop:\n\t@true\n",
    );
    bench.expect(0, &["build"]);
    let child = bench.spawn(&["deploy"]);
    wait_until("make runs", || (0..2).any(|i| !bench.done(i, "api").is_empty()));
    // Twice, by two kinds of signals: two of one kind may become one.
    signal(&child, "INT");
    signal(&child, "TERM");
    let out = child.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(5), "{}{}", text(&out.stdout), text(&out.stderr));
    let runs = |i: usize| {
        let look = "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -q '[d]ata/go'";
        bench.fleet.sh(i, look).status.success()
    };
    wait_until("make has ended", || !runs(0) && !runs(1));
    for i in 0..2 {
        let go = bench.on_worker(i, "jobs/api/data/go");
        fs::create_dir_all(go.parent().unwrap()).unwrap();
        fs::write(go, "").unwrap();
    }
    bench.expect(0, &["deploy"]);
    for i in 0..2 {
        assert_eq!(bench.done(i, "api").iter().filter(|line| *line == "started").count(), 1);
    }
}
