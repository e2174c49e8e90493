//! Silences that a run keeps in a real Alertmanager.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Child;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::run_bench::RunBench;
use crate::run_faults::{end, worker};
use crate::support::alertmanager::Alertmanager;
use crate::support::wait_until;

/// What silences are built on: the same one is extended as long as its start and its matchers stay, and not after it has
/// ended or is forgotten.
#[test]
fn alertmanager_extends_a_silence_under_its_id_while_it_lives() {
    let Some(mut alertmanager) = Alertmanager::start() else { return };
    let ask = |alertmanager: &Alertmanager, body: &Value| alertmanager.ask("POST", "/api/v2/silences", body);
    let silence = |more: Value| {
        let matcher = json!({"name": "instance", "value": "10\\.0\\.0\\.1(:[0-9]+)?", "isRegex": true});
        let mut body = json!({
            "matchers": [matcher], "startsAt": "2020-01-01T00:00:00Z", "endsAt": "2999-01-01T00:00:00Z",
            "createdBy": "maand", "comment": "a test",
        });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let (status, made) = ask(&alertmanager, &silence(json!({})));
    assert_eq!(status, 200, "{made}");
    alertmanager.fire(&[
        &[("alertname", "Down"), ("instance", "10.0.0.1:9100")],
        &[("alertname", "Down"), ("instance", "10.0.0.10:9100")],
    ]);
    let states = alertmanager.alerts().into_iter().map(|alert| alert["status"]["state"].clone());
    let mut states: Vec<Value> = states.collect();
    states.sort_by_key(Value::to_string);
    assert_eq!(states, [json!("active"), json!("suppressed")]);
    let shown = alertmanager.amtool(&["silence", "query", "-q"]);
    assert_eq!(shown.trim(), made["silenceID"].as_str().unwrap());
    // It begins when it is made, whatever was asked for; with that start it keeps its id.
    let starts = alertmanager.silences()[0]["startsAt"].clone();
    let id = made["silenceID"].clone();
    let extended =
        ask(&alertmanager, &silence(json!({"id": id, "startsAt": starts, "endsAt": "2999-01-01T00:05:00Z"})));
    assert_eq!(extended, (200, json!({"silenceID": id})));
    let (status, other) = ask(&alertmanager, &silence(json!({"id": id})));
    assert!(status == 200 && other["silenceID"] != id, "another start: {status} {other}");
    // What ends in the past is refused.
    let (status, why) = ask(&alertmanager, &silence(json!({"endsAt": "2020-01-01T00:01:00Z"})));
    assert_eq!(status, 400, "{why}");
    alertmanager.forget();
    let (status, why) = ask(&alertmanager, &silence(json!({"id": id})));
    assert_eq!(status, 404, "{why}");
    alertmanager.end();
    alertmanager.begin_again();
    assert!(alertmanager.silences().is_empty());
}

/// A plan that keeps each worker down until a file is there.
struct Held {
    bench: RunBench,
    dir: tempfile::TempDir,
    plan: String,
}

impl Held {
    /// `more`: further keys of the silence.
    fn new(workers: usize, at_once: usize, url: &str, more: &str) -> Option<Self> {
        let bench = RunBench::not_deployed(workers)?;
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        let place = dir.path().display();
        let plan = bench.own_plan(&format!(
            "version: 1\nname: held\nrollout: {{concurrency: {at_once}}}\n\
             silence:\n  url: '{url}'\n  matchers: ['instance =~ \"$MAAND_HOST(:\\d+)?\"']\n{more}\
             steps:\n  - run:\n      command: |\n        touch {place}/$MAAND_HOST.down\n\
             \x20       until test -e {place}/$MAAND_HOST.go; do sleep 0.02; done\n      idempotent: true\n"
        ));
        Some(Self { bench, dir, plan })
    }

    fn file(&self, i: usize, what: &str) -> PathBuf {
        self.dir.path().join(format!("{}.{what}", self.bench.host(i)))
    }

    /// Begins, and waits until these are down.
    fn begin(&self, arguments: &[&str], down: &[usize]) -> Child {
        let child = self.bench.spawn(arguments);
        for i in down {
            wait_until("the worker is down", || self.file(*i, "down").exists());
        }
        child
    }

    fn apply(&self, down: &[usize]) -> Child {
        self.begin(&["plan", "apply", &self.plan, "--yes"], down)
    }

    fn let_go(&self, i: usize) {
        fs::write(self.file(i, "go"), "").unwrap();
    }

    /// What its event stream or its view has of the worker's silence.
    fn told(&self, i: usize) -> Value {
        worker(&self.bench.status(), &self.bench.host(i))["silence"].clone()
    }

    fn instance(&self, i: usize) -> String {
        format!("{}:9100", self.bench.host(i))
    }
}

/// Those that hold now, by the worker's host in their one matcher.
fn active(alertmanager: &Alertmanager) -> BTreeSet<String> {
    let all = alertmanager.silences();
    let active = all.iter().filter(|silence| silence["status"]["state"] == "active");
    let host = |silence: &Value| {
        let matchers = silence["matchers"].as_array().unwrap();
        assert!(matchers.len() == 1 && matchers[0]["name"] == "instance", "{silence}");
        let value = matchers[0]["value"].as_str().unwrap();
        value.strip_suffix("(:\\d+)?").unwrap().replace('\\', "")
    };
    active.map(host).collect()
}

fn seconds_left(silence: &Value) -> i64 {
    let ends: Timestamp = silence["endsAt"].as_str().unwrap().parse().unwrap();
    ends.as_second() - Timestamp::now().as_second()
}

#[test]
fn exactly_the_workers_that_are_down_are_silenced_and_for_a_while_after() {
    let Some(alertmanager) = Alertmanager::start() else { return };
    let more = "  lease: 2m\n  tail: 20s\n  comment: 'ask $MAAND_PLAN'\n";
    let Some(held) = Held::new(3, 2, &alertmanager.url(), more) else { return };
    let child = held.apply(&[0, 1]);
    let hosts = |of: &[usize]| of.iter().map(|i| held.bench.host(*i)).collect::<BTreeSet<_>>();
    wait_until("both are silenced", || active(&alertmanager) == hosts(&[0, 1]));
    let alerts: Vec<Vec<(&str, String)>> =
        (0..3).map(|i| vec![("alertname", "Down".to_owned()), ("instance", held.instance(i))]).collect();
    let alerts: Vec<Vec<(&str, &str)>> = alerts
        .iter()
        .map(|alert| alert.iter().map(|(name, value)| (*name, value.as_str())).collect())
        .collect();
    alertmanager.fire(&alerts.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let state = |i: usize| {
        let alerts = alertmanager.alerts();
        let alert =
            alerts.iter().find(|alert| alert["labels"]["instance"] == held.instance(i)).unwrap().clone();
        alert["status"]["state"].as_str().unwrap().to_owned()
    };
    assert_eq!([state(0), state(1), state(2)], ["suppressed", "suppressed", "active"]);

    let all = alertmanager.silences();
    let left: Vec<i64> = all.iter().map(seconds_left).collect();
    assert!(left.iter().all(|left| (60..=121).contains(left)), "{left:?}");
    let comment = all[0]["comment"].as_str().unwrap();
    let run = held.bench.status()["run"].as_str().unwrap().to_owned();
    assert!(comment.starts_with("ask held; ") && comment.contains(&run), "{comment}");
    let told = held.told(0);
    assert_eq!(told["silence"], "created");
    assert!(all.iter().any(|silence| silence["id"] == told["id"]), "{told}");

    // The first is back: the third goes down, and each has its own.
    held.let_go(0);
    wait_until("the third is silenced", || active(&alertmanager) == hosts(&[0, 1, 2]));
    wait_until("the first has its tail", || held.told(0)["silence"] == "ending");
    let id = &told["id"];
    let first = alertmanager.silences().into_iter().find(|silence| silence["id"] == *id).unwrap();
    assert!(seconds_left(&first) <= 20, "{first}");
    held.let_go(1);
    held.let_go(2);
    let (code, stdout, stderr) = end(child);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    // Also of the last ones, which were back when the run had ended.
    let all = alertmanager.silences();
    assert_eq!(all.len(), 3, "one for each: {all:?}");
    assert!(all.iter().all(|silence| seconds_left(silence) <= 20), "{all:?}");
    assert!((0..3).all(|i| held.told(i)["silence"] == "ending"), "{:?}", held.bench.status());
    held.bench.expect(0, &["plan", "verify", &run]);
}

#[test]
fn without_its_controller_a_silence_ends_and_a_resume_takes_up_the_one_that_is_there() {
    let Some(alertmanager) = Alertmanager::start() else { return };
    let Some(held) = Held::new(1, 1, &alertmanager.url(), "  lease: 5s\n  tail: 1s\n") else { return };
    let host = BTreeSet::from([held.bench.host(0)]);
    let mut child = held.apply(&[0]);
    wait_until("it is silenced", || active(&alertmanager) == host);
    child.kill().unwrap();
    child.wait().unwrap();
    // While it is still there it is taken up, and extended.
    let id = alertmanager.silences()[0]["id"].clone();
    let ends = alertmanager.silences()[0]["endsAt"].clone();
    let mut child = held.begin(&["plan", "resume"], &[0]);
    wait_until("it is extended", || alertmanager.silences()[0]["endsAt"] != ends);
    assert_eq!(active(&alertmanager), host);
    assert_eq!(alertmanager.silences().len(), 1, "it did not make another one");
    assert_eq!(alertmanager.silences()[0]["id"], id);
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until("it has ended by itself", || active(&alertmanager).is_empty());
    let child = held.begin(&["plan", "resume"], &[0]);
    wait_until("there is another one", || active(&alertmanager) == host);
    assert_eq!(alertmanager.silences().len(), 2);
    held.let_go(0);
    assert_eq!(end(child).0, Some(0));
}

#[test]
fn one_that_is_forgotten_is_made_again() {
    let Some(mut alertmanager) = Alertmanager::start() else { return };
    let Some(held) = Held::new(1, 1, &alertmanager.url(), "  lease: 5s\n") else { return };
    let host = BTreeSet::from([held.bench.host(0)]);
    let child = held.begin(&["plan", "apply", &held.plan, "--yes", "--output", "json"], &[0]);
    wait_until("it is silenced", || active(&alertmanager) == host);
    alertmanager.forget();
    wait_until("it is silenced again", || active(&alertmanager) == host);
    held.let_go(0);
    let (code, stdout, stderr) = end(child);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    let events = stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let told = events.filter(|event| event["type"] == "worker_silence");
    let told: Vec<String> = told.map(|event| event["silence"].as_str().unwrap().to_owned()).collect();
    assert_eq!(told, ["created", "created", "ending"]);
}

/// Takes connections, reads and says nothing, or always the same.
fn server(answer: Option<&'static str>) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut bytes = [0; 4096];
                while stream.read(&mut bytes).is_ok_and(|read| read > 0) {
                    if let Some(answer) = answer {
                        let length = answer.len();
                        let head = format!(
                            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
                        );
                        let _ = std::io::Write::write_all(&mut stream, (head + answer).as_bytes());
                        return;
                    }
                }
            });
        }
    });
    address
}

#[test]
fn one_that_hangs_lies_or_is_not_there_holds_nothing_back_and_is_in_the_record() {
    for (server, why) in [
        (Some(server(None)), "no answer in time"),
        (Some(server(Some("<html>all is well</html>"))), "not one of Alertmanager"),
        (Some(server(Some("{\"silenceID\": \"x\"}"))), "not one of Alertmanager"),
        (None, "no connection"),
    ] {
        let url = server.map_or("http://127.0.0.1:1".to_owned(), |address| format!("http://{address}"));
        let Some(held) = Held::new(2, 1, &url, "  timeout: 1s\n") else { return };
        held.let_go(0);
        held.let_go(1);
        let began = std::time::Instant::now();
        let child = held.apply(&[0, 1]);
        let (code, stdout, stderr) = end(child);
        assert_eq!(code, Some(0), "{stdout}{stderr}");
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
        let told = held.told(0);
        assert_eq!(told["silence"], "failed", "{why}: {stdout}");
        assert!(told["why"].as_str().unwrap().contains(why), "{told}");
        assert!(stdout.contains("are not silenced"), "{stdout}");
        let run = held.bench.status()["run"].as_str().unwrap().to_owned();
        held.bench.expect(0, &["plan", "verify", &run]);
    }
}

/// Stands for an Alertmanager whose clock is off: it dates its answers by it, has no silences, and keeps what is posted.
fn with_other_clock(ahead: i64) -> (SocketAddr, Arc<Mutex<Vec<Value>>>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let posted: Arc<Mutex<Vec<Value>>> = Arc::default();
    let kept = Arc::clone(&posted);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (mut reader, mut stream) = (BufReader::new(stream.try_clone().unwrap()), stream);
            let (mut length, mut line) = (0, String::new());
            while reader.read_line(&mut line).unwrap_or(0) > 2 {
                let lower = line.to_ascii_lowercase();
                if let Some(value) = lower.strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                line.clear();
            }
            let mut body = vec![0; length];
            let _ = reader.read_exact(&mut body);
            let answer = match serde_json::from_slice(&body) {
                Ok(silence) => {
                    kept.lock().unwrap().push(silence);
                    "{\"silenceID\": \"one\"}"
                }
                Err(_) => "[]",
            };
            let date = Timestamp::from_second(Timestamp::now().as_second() + ahead).unwrap();
            let head = format!(
                "HTTP/1.1 200 OK\r\nDate: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                date.strftime("%a, %d %b %Y %H:%M:%S GMT"),
                answer.len()
            );
            let _ = std::io::Write::write_all(&mut stream, (head + answer).as_bytes());
        }
    });
    (address, posted)
}

#[test]
fn silences_last_as_long_as_they_should_by_the_clock_of_alertmanager() {
    for ahead in [-7_200, 600, 3 * 86_400] {
        let (address, posted) = with_other_clock(ahead);
        let Some(held) = Held::new(1, 1, &format!("http://{address}"), "  lease: 2m\n") else { return };
        let child = held.apply(&[0]);
        if ahead > 86_400 {
            wait_until("it is refused", || held.told(0)["silence"] == "failed");
            assert!(held.told(0)["why"].as_str().unwrap().contains("apart"), "{}", held.told(0));
            assert!(posted.lock().unwrap().is_empty());
        } else {
            wait_until("it is silenced", || held.told(0)["silence"] == "created");
            let left = seconds_left(&posted.lock().unwrap()[0]) - ahead;
            assert!((60..=123).contains(&left), "{ahead}: {left}");
        }
        held.let_go(0);
        assert_eq!(end(child).0, Some(0));
    }
}
