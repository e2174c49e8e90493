//! Notices of real runs: to a real nginx that notes what it is sent, to servers that say nothing, and to commands.

use std::fs;
use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64ct::{Base64, Encoding as _};
use serde_json::Value;

use crate::run_bench::RunBench;
use crate::run_faults::end;
use crate::run_http::{Nginx, free_address};
use crate::support::bmc;
use crate::support::{unpacked, wait_until};

/// A secret of eight bytes and more: no piece of it may be anywhere.
const TOKEN: &str = "Bearer t0ken-of-the-log";

/// Takes what is posted below `/hooks`, and notes it as JSON; a folder `busy` makes it answer 500.
fn receiver(address: SocketAddr) -> Option<Nginx> {
    let inner = free_address();
    Nginx::with(
        address,
        "escape=json '{\"uri\":\"$request_uri\",\"status\":$status,\"key\":\"$http_idempotency_key\",\
         \"id\":\"$http_x_maand_notice\",\"auth\":\"$http_authorization\",\"type\":\"$content_type\",\
         \"body\":\"$request_body\"}'",
        &format!(
            "server {{\n    listen {address};\n    client_body_in_single_buffer on;\n\
               location / {{ proxy_pass http://{inner}; }}\n  }}\n\
             server {{\n    listen {inner};\n    access_log off;\n    root .;\n\
               location / {{ if (-d $document_root/busy) {{ return 500; }}\n return 200 'ok'; }}\n  }}\n"
        ),
    )
}

/// What it was sent.
fn sent(nginx: &Nginx) -> Vec<Value> {
    nginx.asked().iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn ids(sent: &[Value]) -> Vec<&str> {
    sent.iter().map(|one| one["id"].as_str().unwrap().split_once('/').unwrap().1).collect()
}

/// A plan of these targets and steps; `@` stands for the server.
fn plan(bench: &RunBench, address: SocketAddr, notify: &str, steps: &str) -> String {
    let text = format!("version: 1\nname: told\nnotify:\n{notify}steps:\n{steps}");
    bench.own_plan(&text.replace('@', &format!("http://{address}")))
}

const FINE: &str = "  - run: {command: 'true', idempotent: true}\n";
const FAILS: &str = "  - run: {command: 'false', idempotent: true}\n";

fn apply(bench: &RunBench, plan: &str) -> (Option<i32>, String) {
    let output = bench.command(&["plan", "apply", plan, "--yes"]).env("LOG_TOKEN", TOKEN).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout) + &text(&output.stderr))
}

/// Without line ends of a message that is shown in a frame.
fn flat(said: &str) -> String {
    said.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ")
}

#[test]
fn each_service_gets_what_it_takes_and_no_secret_is_anywhere() {
    let (Some(nginx), Some(bench)) = (receiver(free_address()), RunBench::new(1)) else { return };
    let hook = bench.path("hook").display().to_string();
    let notify = format!(
        "  log: {{webhook: {{url: '@/hooks/log', headers: {{Authorization: {{from_env: LOG_TOKEN}}}}}}, on: [finished, wave_done]}}\n\
         \x20 chat: {{slack: {{url: '@/hooks/chat'}}, on: [finished], text: '<$MAAND_STATE> of $MAAND_RUN'}}\n\
         \x20 team: {{teams: {{url: '@/hooks/team'}}, on: [finished]}}\n\
         \x20 phone: {{ntfy: {{url: '@', topic: ops}}, on: [finished]}}\n\
         \x20 quiet: {{webhook: {{url: '@/hooks/quiet'}}, on: [halted]}}\n\
         \x20 hook: {{command: 'cat > {hook}; echo $MAAND_EVENT $MAAND_STATE >> {hook}.env', on: [finished]}}\n"
    );
    let plan = plan(&bench, nginx.address, &notify, FINE);
    let (code, said) = apply(&bench, &plan);
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("not delivered"), "{said}");
    let run = bench.status()["run"].as_str().unwrap().to_owned();
    let sent = sent(&nginx);
    let to = |uri: &str| -> Vec<&Value> { sent.iter().filter(|one| one["uri"] == uri).collect() };
    let body = |one: &Value| -> Value { serde_json::from_str(one["body"].as_str().unwrap()).unwrap() };
    let log = to("/hooks/log");
    assert_eq!(log.len(), 2, "{sent:#?}");
    assert_eq!((&body(log[0])["event"], &body(log[1])["event"]), (&"wave_done".into(), &"finished".into()));
    let id = log[1]["id"].as_str().unwrap();
    assert!(id.starts_with(&run) && id.ends_with("/finished"), "{id}");
    assert_eq!(log[1]["key"], format!("\"{id}\""));
    assert_eq!((&log[1]["auth"], &log[1]["type"]), (&TOKEN.into(), &"application/json".into()));
    assert_eq!((&body(log[1])["id"], &body(log[1])["state"]), (&id.into(), &"succeeded".into()));
    assert_eq!(body(to("/hooks/chat")[0])["text"], format!("told: succeeded\n<succeeded> of {run}"));
    assert_eq!(body(to("/hooks/team")[0])["type"], "message");
    let ntfy = body(to("/")[0]);
    assert_eq!((&ntfy["topic"], &ntfy["title"]), (&"ops".into(), &"told: succeeded".into()));
    assert!(to("/hooks/quiet").is_empty());
    let document: Value = serde_json::from_str(&fs::read_to_string(&hook).unwrap()).unwrap();
    assert_eq!(document["event"], "finished");
    assert_eq!(fs::read_to_string(format!("{hook}.env")).unwrap(), "finished succeeded\n");
    let journal = fs::read(bench.path("data/plan.db")).unwrap();
    let secret = TOKEN.as_bytes();
    assert!(!journal.windows(secret.len()).any(|window| window == secret) && !said.contains(TOKEN));
}

/// The head of one request, from a connection that is kept open and never answered.
fn head_of(stream: &mut TcpStream) -> String {
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap().to_lowercase()
}

fn header<'a>(head: &'a str, name: &str) -> &'a str {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap()
}

#[test]
fn what_a_killed_process_had_not_delivered_is_sent_by_the_next_under_the_same_id() {
    let Some(bench) = RunBench::new(1) else { return };
    // It takes the notice, and does not say so before the process is killed.
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = silent.local_addr().unwrap();
    let notify = "  ops: {webhook: {url: '@/hooks/x'}, on: [worker_failed, halted, resumed]}\n";
    let child = bench.spawn(&["plan", "apply", &plan(&bench, address, notify, FAILS), "--yes"]);
    let (mut stream, _) = silent.accept().unwrap();
    let first = header(&head_of(&mut stream), "x-maand-notice").to_owned();
    assert!(first.ends_with("/worker_failed"), "{first}");
    // All of it is in the journal, and the process waits for its notices.
    wait_until("the run has halted", || bench.status()["state"] == "halted");
    let pid = rustix::process::Pid::from_raw(child.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    assert_eq!(end(child).0, None);
    drop((stream, silent));
    let Some(nginx) = receiver(address) else { return };
    bench.expect(1, &["plan", "resume", "--retry"]);
    let sent = sent(&nginx);
    assert_eq!(sent[0]["id"], first, "the same one again: {sent:#?}");
    let run = first.split('/').next().unwrap();
    assert!(sent.iter().all(|one| one["id"].as_str().unwrap().starts_with(run)));
    let names: Vec<&str> = ids(&sent).into_iter().map(|id| id.split_once('/').unwrap().1).collect();
    assert_eq!(names, ["worker_failed", "halted", "resumed", "worker_failed", "halted"]);
    // What was delivered is not sent again.
    bench.expect(1, &["plan", "resume", "--retry"]);
    let names = self::sent(&nginx);
    assert_eq!(ids(&names)[5..].len(), 3, "{names:#?}");
    bench.expect(0, &["notify", "resend"]);
    assert_eq!(self::sent(&nginx).len(), names.len());
}

#[test]
fn a_server_that_hangs_holds_no_worker_back_and_no_longer_than_a_signal_says() {
    let Some(bench) = RunBench::new(2) else { return };
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let notify = "  ops: {webhook: {url: '@/x'}, on: [wave_done, finished], timeout: 10m}\n";
    let steps = "  - run: {command: 'true', idempotent: true}\n  - id: more\n    run: {command: 'true', idempotent: true}\n";
    let notify = plan(
        &bench,
        silent.local_addr().unwrap(),
        notify,
        &format!("{steps}rollout: {{waves: [1, rest]}}\n"),
    );
    let child = bench.spawn(&["plan", "apply", &notify, "--yes"]);
    let (mut stream, _) = silent.accept().unwrap();
    let head = head_of(&mut stream);
    assert!(header(&head, "x-maand-notice").ends_with("/wave_done"), "{head}");
    // The first of three notices is never answered, and the run comes to its end.
    wait_until("the run succeeds", || bench.status()["state"] == "succeeded");
    let names = || -> Vec<String> {
        let tasks = fs::read_dir(format!("/proc/{}/task", child.id())).into_iter().flatten().flatten();
        tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok()).collect()
    };
    assert!(names().iter().any(|name| name == "tell ops\n"), "{:?}", names());
    let pid = rustix::process::Pid::from_raw(child.id().cast_signed()).unwrap();
    let mut child = child;
    // Ctrl-C ends the waiting, once the process listens again.
    wait_until("it has ended", || {
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        child.try_wait().unwrap().is_some()
    });
    let (code, stdout, stderr) = end(child);
    assert_eq!(code, Some(0), "a notice changes no exit code: {stdout}{stderr}");
    let said = flat(&stderr);
    let under_way = "`wave_done` to ops: it was under way when the process ended, and may have arrived";
    assert!(said.contains(&format!("notices were not delivered: {under_way}")), "{stderr}");
    let (status, _) = bench.expect(0, &["plan", "status"]);
    assert!(flat(&status).contains(&format!("3 notices were not delivered ({under_way}")), "{status}");
    assert!(status.contains("Send what was not delivered once more:\n  maand notify resend\n"), "{status}");
    let view = bench.status();
    assert_eq!(view["undelivered_notices"].as_array().unwrap().len(), 3, "{view:#}");
    // Afterwards somebody listens.
    let address = silent.local_addr().unwrap();
    drop((stream, silent));
    let Some(nginx) = receiver(address) else { return };
    let (told, _) = bench.expect(0, &["notify", "resend"]);
    assert_eq!(told.matches("delivered").count(), 3, "{told}");
    let sent = sent(&nginx);
    assert_eq!(ids(&sent).len(), 3);
    assert!(bench.status().get("undelivered_notices").is_none(), "{:#}", bench.status());
    assert!(!bench.expect(0, &["plan", "status"]).0.contains("resend"));
}

/// A server that wants to be left alone is, for as long as it says, and within bounds.
#[test]
fn what_a_busy_server_asks_for_is_heeded() {
    let Some(bench) = RunBench::new(1) else { return };
    let asked: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let book = Arc::clone(&asked);
    let server = bmc::Server::start(move |_| {
        let mut book = book.lock().unwrap();
        book.push(Instant::now());
        let (status, after) = match book.len() {
            1 => (429, "3".to_owned()),
            2 => (503, "99999999999999999999".to_owned()),
            _ => (200, "-1".to_owned()),
        };
        bmc::Reply::Raw(format!("HTTP/1.1 {status} x\r\nRetry-After: {after}\r\nContent-Length: 0\r\n\r\n"))
    });
    let notify = "  ops: {webhook: {url: '@/x'}, on: [finished], give_up_after: 6s}\n";
    let (code, said) = apply(&bench, &plan(&bench, server.address, notify, FINE));
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("not delivered"), "the last try is made when the time of the notice ends: {said}");
    let asked = asked.lock().unwrap();
    let pauses: Vec<Duration> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let seconds = Duration::from_secs;
    assert!(pauses.len() == 2 && pauses[0] >= seconds(3) && pauses[1] < seconds(6), "{pauses:?}");
}

#[test]
fn a_server_that_is_not_well_is_asked_again_and_a_refusal_is_taken_for_one() {
    let (Some(nginx), Some(bench)) = (receiver(free_address()), RunBench::new(1)) else { return };
    fs::create_dir(nginx.path("busy")).unwrap();
    let notify = "  ops: {webhook: {url: '@/x'}, on: [finished]}\n\
                  \x20 unset: {slack: {url: {from_env: NOT_SET_ANYWHERE}}, on: [finished]}\n";
    let child = bench.spawn(&["plan", "apply", &plan(&bench, nginx.address, notify, FINE), "--yes"]);
    wait_until("it is asked", || sent(&nginx).iter().any(|one| one["uri"] == "/x"));
    fs::remove_dir(nginx.path("busy")).unwrap();
    let (code, stdout, stderr) = end(child);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    let sent = sent(&nginx);
    let ops: Vec<_> = sent.iter().filter(|one| one["uri"] == "/x").collect();
    assert!(ops.len() >= 2 && ops.iter().all(|one| one["id"] == ops[0]["id"]), "{sent:#?}");
    assert_eq!((&ops[0]["status"], &ops.last().unwrap()["status"]), (&500.into(), &200.into()));
    let said = flat(&stderr);
    assert!(said.contains("notices to `unset` cannot be sent: NOT_SET_ANYWHERE is not set here"), "{stderr}");
    assert!(said.contains("NOT_SET_ANYWHERE is not set here: `url` is read from it"), "{stderr}");
}

#[test]
fn a_hook_that_does_not_end_is_ended_with_its_children() {
    let Some(bench) = RunBench::new(1) else { return };
    let pids = bench.path("pids").display().to_string();
    // The child is in a session of its own, and both are deaf to what is polite.
    bench.write(
        "hook.sh",
        &format!(
            "trap '' TERM HUP\nsetsid bash -c 'trap \"\" TERM; echo $$ >> {pids}; sleep 1000' &\n\
             echo $$ >> {pids}\nwait\n"
        ),
    );
    let notify = "  hook: {command: bash hook.sh, on: [halted], timeout: 1s}\n";
    let address = free_address();
    let (code, said) = apply(&bench, &plan(&bench, address, notify, FAILS));
    assert_eq!(code, Some(1), "{said}");
    assert!(flat(&said).contains("`halted` to hook: it did not end within 1s, and was ended"), "{said}");
    let all = fs::read_to_string(&pids).unwrap();
    assert_eq!(all.lines().count(), 2, "{all}");
    for pid in all.lines() {
        wait_until("it is gone", || {
            let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            state.is_empty() || state.contains(") Z ")
        });
    }
}

#[test]
fn a_plan_without_notices_has_no_thread_and_no_table() {
    let Some(bench) = RunBench::new(1) else { return };
    let tables = || -> u32 {
        let db = rusqlite::Connection::open(bench.path("data/plan.db")).unwrap();
        db.query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'notice'", [], |row| row.get(0))
            .unwrap()
    };
    let stop = bench.path("stop").display().to_string();
    let steps = format!(
        "  - local: {{command: 'touch {stop}.begun; until test -e {stop}; do sleep 0.1; done', idempotent: true}}\n"
    );
    let plan = bench.own_plan(&format!("version: 1\nname: silent\nsteps:\n{steps}"));
    let child = bench.spawn(&["plan", "apply", &plan, "--yes"]);
    wait_until("it waits", || bench.path("stop.begun").exists());
    let tasks = fs::read_dir(format!("/proc/{}/task", child.id())).unwrap().flatten();
    let names: Vec<_> =
        tasks.map(|task| fs::read_to_string(task.path().join("comm")).unwrap_or_default()).collect();
    assert!(!names.iter().any(|name| name.starts_with("tell")), "{names:?}");
    fs::write(&stop, "").unwrap();
    assert_eq!(end(child).0, Some(0));
    assert_eq!(tables(), 0);
    // The bucket tells somebody: then there is one, but not for a plan that goes without.
    bench.write("notify.yaml", &format!("log: {{command: 'echo $MAAND_TITLE >> {stop}', on: [finished]}}\n"));
    let conf = fs::read_to_string(bench.path("maand.conf")).unwrap();
    bench.write("maand.conf", &format!("notify = 'notify.yaml'\n{conf}"));
    let without = bench.own_plan(&format!("version: 1\nname: silent\nnotify: none\nsteps:\n{steps}"));
    bench.expect(0, &["plan", "apply", &without, "--yes"]);
    assert_eq!(tables(), 0);
    let plan = bench.own_plan(&format!("version: 1\nname: silent\nsteps:\n{steps}"));
    bench.expect(0, &["plan", "apply", &plan, "--yes"]);
    assert_eq!(tables(), 1);
    assert_eq!(fs::read_to_string(&stop).unwrap(), "silent: succeeded\n");
}

#[test]
fn a_test_shows_what_each_target_answers() {
    let (Some(nginx), Some(bench)) = (receiver(free_address()), RunBench::not_deployed(1)) else { return };
    let none = bench.expect(3, &["notify", "test"]).1;
    assert!(flat(&none).contains("there is nobody to be told"), "{none}");
    let address = nginx.address;
    bench.write("notify.yaml", &format!("ops: {{slack: {{url: 'http://{address}/chat'}}}}\n"));
    let conf = fs::read_to_string(bench.path("maand.conf")).unwrap();
    bench.write("maand.conf", &format!("notify = 'notify.yaml'\n{conf}"));
    let notify =
        "  page: {command: 'echo no pager; exit 3'}\n  gone: {webhook: {url: 'http://127.0.0.1:1/x'}}\n";
    let plan = plan(&bench, address, notify, FINE);
    let told = bench.json(1, &["notify", "test", &plan]);
    let answers: Vec<_> = told["notices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            format!("{} {} {} {}", one["target"], one["service"], one["delivered"], one["answer"])
                .replace('"', "")
        })
        .collect();
    assert!(answers[0].starts_with("gone webhook false no connection"), "{answers:?}");
    assert_eq!(answers[1..], ["ops slack true status 200: ok", "page command false exit code 3: no pager"]);
    let (text, _) = bench.expect(0, &["notify", "test", "--target", "ops"]);
    assert!(text.contains("ops") && text.contains("delivered") && text.contains("status 200: ok"), "{text}");
    // What is wrong with a url that nobody should read is said without it.
    bench.write("notify.yaml", "ops: {slack: {url: {from_env: CHAT_URL}}}\n");
    let url = format!(" http://{address}/s3cret-of-the-chat");
    let out = bench.command(&["notify", "test"]).env("CHAT_URL", url).output().unwrap();
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(flat(&said).contains("it is read from the environment variable CHAT_URL"), "{said}");
    assert!(said.contains("has a blank or the end of a line in it") && !said.contains("s3cret"), "{said}");
    bench.write("notify.yaml", &format!("ops: {{slack: {{url: 'http://{address}/chat'}}}}\n"));
    let sent = sent(&nginx);
    assert!(sent[0]["body"].as_str().unwrap().contains("TEST: a test message of maand"), "{sent:?}");
    assert_ne!(sent[0]["id"], sent[1]["id"]);
    bench.expect(3, &["notify", "test", "--target", "opss"]);
    bench.write("notify.yaml", "ops: {slak: {url: x}}\n");
    for command in [&["notify", "test"][..], &["plan", "apply", &plan, "--yes"]] {
        let said = bench.expect(3, command).1;
        assert!(flat(&said).contains("did you mean `slack`?"), "{said}");
    }
}

#[test]
fn who_answers_has_to_be_who_it_is_said_to_be() {
    let Some(bench) = RunBench::not_deployed(1) else { return };
    let (outer, dir) = (free_address(), tempfile::tempdir().unwrap());
    let at = |name: &str| dir.path().join(name).display().to_string();
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=hooks"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", &at("key"), "-out", &at("cert")])
        .output();
    if !made.is_ok_and(|made| made.status.success()) {
        crate::support::skipped("no openssl to make a certificate");
        return;
    }
    let servers = format!(
        "server {{\n    listen {outer} ssl;\n    ssl_certificate {};\n    ssl_certificate_key {};\n    return 200 'ok';\n  }}\n",
        at("cert"),
        at("key")
    );
    let Some(nginx) = Nginx::with(outer, "'$request_method $http_x_maand_notice'", &servers) else { return };
    let notify = format!("  ops: {{webhook: {{url: 'https://{outer}/'}}, timeout: 5s}}\n");
    let plan = plan(&bench, outer, &notify, FINE);
    let (told, _) = bench.expect(1, &["notify", "test", &plan]);
    assert!(told.contains("no trusted connection"), "{told}");
    assert!(nginx.asked().is_empty());
    let trusted =
        bench.command(&["notify", "test", &plan]).env("SSL_CERT_FILE", at("cert")).output().unwrap();
    assert_eq!(trusted.status.code(), Some(0), "{}", String::from_utf8_lossy(&trusted.stdout));
    assert!(nginx.asked()[0].starts_with("POST test-"), "{:?}", nginx.asked());
}

/// Ends with its test.
struct Server(std::process::Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_mail_is_handed_to_a_real_sendmail_until_a_real_server_takes_it() {
    let (Some(msmtp), Some(aiosmtpd)) = (unpacked("mail", "msmtp"), unpacked("mail", "aiosmtpd")) else {
        return;
    };
    let Some(bench) = RunBench::new(1) else { return };
    let (address, tried, inbox) = (free_address(), bench.path("tried"), bench.path("inbox"));
    bench.write(
        "msmtprc",
        &format!(
            "account default\nhost 127.0.0.1\nport {}\nauth off\ntls off\nfrom maand@example.org\n",
            address.port()
        ),
    );
    let conf = bench.path("msmtprc");
    bench.write(
        "sendmail",
        &format!(
            "#!/bin/sh\necho \"$@\" >> {}\nexec {} -C {} \"$@\"\n",
            tried.display(),
            msmtp.display(),
            conf.display()
        ),
    );
    let sendmail = bench.path("sendmail");
    fs::set_permissions(&sendmail, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let notify = format!(
        "  ops: {{mail: {{to: [ops@example.org, on-call@example.org], from: maand@example.org, sendmail: {}}}, on: [finished], \
         title: 'Zürich: $MAAND_TITLE'}}\n",
        sendmail.display()
    );
    let plan = bench.own_plan(&format!("version: 1\nname: told\nnotify:\n{notify}steps:\n{FINE}"));
    // Nobody takes it at first: `EX_TEMPFAIL`.
    let child = bench.spawn(&["plan", "apply", &plan, "--yes"]);
    wait_until("it is tried", || fs::read_to_string(&tried).is_ok_and(|tried| tried.starts_with("-t -i\n")));
    let listen =
        ["-n", "-l", &address.to_string(), "-c", "aiosmtpd.handlers.Mailbox", inbox.to_str().unwrap()];
    let _server = Server(Command::new(aiosmtpd).args(listen).spawn().unwrap());
    let (code, stdout, stderr) = end(child);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert!(!stderr.contains("not delivered"), "{stderr}");
    let mails: Vec<_> = fs::read_dir(inbox.join("new")).unwrap().flatten().collect();
    assert_eq!(mails.len(), 1);
    let mail = fs::read_to_string(mails[0].path()).unwrap();
    let run = bench.status()["run"].as_str().unwrap().to_owned();
    assert!(
        mail.contains(&format!("\nMessage-ID: <{run}.")) || mail.starts_with(&format!("Message-ID: <{run}.")),
        "{mail}"
    );
    assert!(mail.contains(".finished@example.org>\n"), "{mail}");
    let subject = Base64::encode_string("Zürich: told: succeeded".as_bytes());
    assert!(mail.contains(&format!("Subject: =?UTF-8?B?{subject}?=\n")), "{mail}");
    assert!(mail.contains("X-RcptTo: ops@example.org, on-call@example.org"), "{mail}");
    let body = mail.split_once("\n\n").unwrap().1.replace('\n', "");
    let body = String::from_utf8(Base64::decode_vec(&body).unwrap()).unwrap();
    assert!(body.contains("1 of 1 worker ended, 1 succeeded."), "{body}");
}
