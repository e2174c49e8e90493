//! `maand serve --control`, from outside: a real run that waits for an operator, a real server, and requests as browsers
//! and others send them. What is refused leaves nothing in the journal.

use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use crate::sandbox::up::Up;
use crate::support::http::{Answer, exchange};
use crate::support::serve::Serve;
use crate::support::wait_until;

/// A server, and what a browser knows of it.
struct Browser {
    server: Serve,
    address: SocketAddr,
    token: String,
    cookie: String,
}

impl Browser {
    fn new(server: Serve) -> Self {
        let token = server.told["login"].as_str().and_then(|login| login.split_once('#'));
        let token = token.map_or_else(String::new, |(_, token)| token.to_owned());
        Self { address: server.address, server, token, cookie: String::new() }
    }

    fn of(up: &Up) -> Self {
        Self::new(Serve::with(&up.bucket, &["--control"]))
    }

    /// A request with these headers and no other.
    fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut text =
            format!("{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
        for (name, value) in headers {
            text += &format!("{name}: {value}\r\n");
        }
        exchange(self.address, format!("{text}\r\n{body}").as_bytes())
    }

    fn host(&self) -> String {
        self.address.to_string()
    }

    fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[("Host", &self.host()), ("Cookie", &self.cookie)], "")
    }

    /// As a browser sends the form of a page.
    fn post(&self, path: &str, pairs: &[(&str, &str)]) -> Answer {
        let origin = format!("http://{}", self.address);
        self.send("POST", path, &self.headers(&origin), &encoded(pairs))
    }

    fn headers<'a>(&'a self, origin: &'a str) -> [(&'a str, &'a str); 5] {
        let host = origin.strip_prefix("http://").unwrap();
        [
            ("Host", host),
            ("Origin", origin),
            ("Sec-Fetch-Site", "same-origin"),
            ("Content-Type", FORM),
            ("Cookie", &self.cookie),
        ]
    }

    fn log_in(&mut self, name: &str) -> Answer {
        let answer = self.post("/login", &[("name", name), ("token", &self.token)]);
        if let Some(set) = answer.header("set-cookie") {
            self.cookie = set.split(';').next().unwrap().to_owned();
        }
        answer
    }

    /// The page that an answer leads to.
    fn follow(&self, answer: &Answer) -> Answer {
        assert_eq!(answer.status, 303, "{}", answer.body);
        self.get(answer.header("location").unwrap().split('#').next().unwrap())
    }

    /// Sends the form of a run's page as it is now, and reads what came of it.
    fn ask(&self, path: &str, pairs: &[(&str, &str)]) -> Answer {
        let page = self.get(path);
        let form = field(&page, "form");
        // A run that is over has no form with a ticket.
        let ticket = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_nanos()
            .to_string();
        let all = [&[("form", form.as_str()), ("ticket", &ticket)], pairs].concat();
        self.follow(&self.post(&format!("{path}/control"), &all))
    }
}

const FORM: &str = "application/x-www-form-urlencoded";

fn encoded(pairs: &[(&str, &str)]) -> String {
    let encode = |text: &str| -> String { text.bytes().map(|byte| format!("%{byte:02X}")).collect() };
    pairs.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect::<Vec<_>>().join("&")
}

/// The value of a hidden field.
fn field(page: &Answer, name: &str) -> String {
    let start = format!("name=\"{name}\" value=\"");
    let (_, rest) = page.body.split_once(&start).unwrap_or_else(|| panic!("no {name} in {}", page.body));
    rest.split('"').next().unwrap().to_owned()
}

/// What operators have asked for, and all facts.
fn written(up: &Up) -> (Vec<String>, Vec<String>) {
    let db = rusqlite::Connection::open(up.bucket.join("data/plan.db")).unwrap();
    let rows = |query: &str| -> Vec<String> {
        let mut query = db.prepare(query).unwrap();
        let rows = query.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    };
    (
        rows("SELECT verb || ' ' || by FROM request ORDER BY n"),
        rows("SELECT fact FROM fact ORDER BY run, seq"),
    )
}

fn maand(up: &Up, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_maand"));
    command.current_dir(&up.bucket).args(arguments).stdin(Stdio::null());
    command
}

fn status(up: &Up) -> Value {
    let out = maand(up, &["--output", "json", "plan", "status"]).output().unwrap();
    serde_json::from_slice(&out.stdout).unwrap_or_default()
}

fn apply(up: &Up, plan: &str) -> Child {
    std::fs::write(up.bucket.join("own.yaml"), plan).unwrap();
    let mut command = maand(up, &["plan", "apply", "own.yaml", "--yes"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[track_caller]
fn ended(child: Child, code: i32) -> String {
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert_eq!(status.code(), Some(code), "{text}");
    text
}

/// A gate that its controller keeps open for a time, so that it lives meanwhile. The sandbox's time is a fast one.
const WAITS: &str = "\
version: 1
name: own
rollout: {concurrency: 1}
steps:
  - id: ask
    approve: {message: 'Is <b>it</b> well?'}
    timeout: 1h
  - id: look
    run: {command: 'true', idempotent: true}
";

/// A run of one worker that waits for an approval, its controller, the page's path and the worker.
fn waiting(up: &Up) -> (Child, String, String) {
    let child = apply(up, WAITS);
    let mut at = Value::Null;
    wait_until("the run waits for an approval", || {
        at = status(up);
        at.to_string().contains("waits for an approval")
    });
    let run = at["run"].as_str().unwrap();
    (child, format!("/runs/{run}"), at["workers"][0]["host"].as_str().unwrap().to_owned())
}

#[test]
fn an_approval_by_click_is_recorded_with_who_it_was_and_the_run_continues() {
    let up = Up::new(&["--workers", "1"]);
    let (controller, path, host) = waiting(&up);
    let mut browser = Browser::of(&up);
    let page = browser.get(&path);
    assert!(page.body.contains("href=\"/login?run=") && !page.body.contains("name=\"do\""), "{}", page.body);

    let wrong = browser.post("/login", &[("name", "ana"), ("token", "0")]);
    assert_eq!((wrong.status, wrong.header("set-cookie")), (403, None), "{}", wrong.body);
    let login = browser.log_in("ana");
    assert_eq!((login.status, login.header("location")), (303, Some("/")), "{}", login.body);
    let set = login.header("set-cookie").unwrap();
    assert!(
        set.contains("HttpOnly") && set.contains("SameSite=Strict") && !set.contains(&browser.token),
        "{set}"
    );

    let page = browser.get(&path);
    assert_eq!(page.header("referrer-policy"), Some("same-origin"), "else a browser says `Origin: null`");
    assert!(
        page.body.contains("Is &lt;b&gt;it&lt;/b&gt; well?") && !page.body.contains("<b>it</b>"),
        "{}",
        page.body
    );
    let (form, ticket) = (field(&page, "form"), field(&page, "ticket"));
    let pairs =
        [("form", form.as_str()), ("ticket", &ticket), ("do", "approve"), ("host", &host), ("step", "ask")];
    let control = format!("{path}/control");
    let done = browser.post(&control, &pairs);
    let answer = browser.follow(&done);
    assert!(
        answer.body.contains("Approved: run ") && answer.body.contains("role=\"status\""),
        "{}",
        answer.body
    );
    let text = ended(controller, 0);
    assert!(text.contains("approved by ana (web) via "), "{text}");
    let (requests, facts) = written(&up);
    let by = requests[0].split_once("} ").unwrap().1;
    assert!(by.starts_with("ana (web) via ") && by.contains('@'), "{requests:?}");
    assert!(facts.iter().any(|fact| fact.contains("approved") && fact.contains(by)), "{facts:?}");

    // The same form once more does nothing, and leads to the same answer.
    let again = browser.post(&control, &pairs);
    assert_eq!((again.status, again.header("location")), (303, done.header("location")));
    assert_eq!(written(&up), (requests.clone(), facts.clone()));
    // As another request it is refused, as the command is.
    let late = browser.ask(&path, &[("do", "approve"), ("host", &host), ("step", "ask")]);
    assert!(late.body.contains("it was not done") && late.body.contains("role=\"alert\""), "{}", late.body);
    assert_eq!(written(&up), (requests, facts));
}

#[test]
fn what_is_refused_leaves_nothing_in_the_journal() {
    let up = Up::new(&["--workers", "1"]);
    let (controller, path, _) = waiting(&up);
    let mut browser = Browser::of(&up);
    browser.log_in("ana");
    let page = browser.get(&path);
    let (form, ticket) = (field(&page, "form"), field(&page, "ticket"));
    let (host, port) = (browser.host(), browser.address.port());
    let origin = format!("http://{host}");
    let pause = [("form", form.as_str()), ("ticket", &ticket), ("do", "pause")];
    let control = format!("{path}/control");
    let before = written(&up);
    let check = |what: &str, status: u16, answer: &Answer| {
        assert_eq!(answer.status, status, "{what}: {}", answer.body);
        let led = answer.header("location").or(answer.header("set-cookie"));
        assert_eq!((led, written(&up)), (None, before.clone()), "{what}");
    };
    let with = |name: &'static str, value: Option<&str>| {
        let mut headers: Vec<(&str, &str)> = browser.headers(&origin).to_vec();
        headers.retain(|(other, _)| *other != name);
        headers.extend(value.map(|value| (name, value)));
        browser.send("POST", &control, &headers, &encoded(&pause))
    };
    let neighbour = format!("http://127.0.0.1:{}", port ^ 1);
    let local = format!("http://localhost:{port}");
    for foreign in ["http://evil.example", "null", &neighbour, &local, &format!("{origin}.evil.example"), ""]
    {
        check(foreign, 403, &with("Origin", Some(foreign)));
    }
    for site in ["cross-site", "same-site"] {
        check(site, 403, &with("Sec-Fetch-Site", Some(site)));
    }
    let rebound = format!("evil.example:{port}");
    for named in [rebound.as_str(), "evil.example", "127.0.0.1", &format!("127.0.0.2:{port}")] {
        check(named, 403, &with("Host", Some(named)));
        for read in ["/", &path, &format!("{path}/events"), "/login", "/nothing"] {
            check(
                named,
                403,
                &browser.send("GET", read, &[("Host", named), ("Cookie", &browser.cookie)], ""),
            );
        }
    }
    check("no Host", 400, &with("Host", None));
    check(
        "no Host in HTTP/1.0",
        400,
        &exchange(browser.address, format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()),
    );
    let silent = [("Host", host.as_str()), ("Content-Type", FORM), ("Cookie", &browser.cookie)];
    check("no Origin, no site", 403, &browser.send("POST", &control, &silent, &encoded(&pause)));
    check("no cookie", 403, &with("Cookie", None));
    check("the token as cookie", 403, &with("Cookie", Some(&format!("maand_{port}={}", browser.token))));
    check("two cookies", 403, &with("Cookie", Some(&format!("{}; maand_{port}=0", browser.cookie))));
    check("no form", 415, &with("Content-Type", Some("application/json")));
    check("text", 415, &with("Content-Type", Some("text/plain")));
    let mut forms = 0;
    let mut wrong = |what: &str, status: u16, pairs: &[(&str, &str)]| {
        forms += 1;
        check(
            what,
            status,
            &browser.post(&control, &[&[("ticket", forms.to_string().as_str())], pairs].concat()),
        );
    };
    let own = ("form", form.as_str());
    wrong("a form of another session", 403, &[("form", "0"), ("do", "pause")]);
    wrong(
        "the cookie's secret as the form's",
        403,
        &[("form", browser.cookie.split_once('=').unwrap().1), ("do", "pause")],
    );
    wrong("no form", 403, &[("do", "pause")]);
    wrong("unknown", 400, &[own, ("do", "stop")]);
    wrong("nothing", 400, &[own]);
    wrong("nobody is chosen", 400, &[own, ("do", "skip"), ("confirmed", "yes")]);
    wrong("two tickets", 400, &[own, ("ticket", "x"), ("do", "pause")]);
    wrong("too long", 413, &[own, ("do", "pause"), ("reason", &"x".repeat(200_000))]);
    for method in ["GET", "PUT", "DELETE", "PATCH"] {
        let path = format!("{control}?{}", encoded(&pause));
        check(method, 405, &browser.send(method, &path, &browser.headers(&origin), ""));
    }
    check("a page with parameters", 200, &browser.get(&format!("{path}?{}", encoded(&pause))));
    for other in [path.as_str(), "/", "/logout?form=0"] {
        let answer = browser.post(other, &pause[1..]);
        assert!(matches!(answer.status, 403 | 405), "{other}: {}", answer.body);
    }
    // An abort is asked about first, and that changes nothing either.
    let question = browser.post(&control, &[own, ("ticket", "2"), ("do", "abort")]);
    assert!(question.body.contains("of plan own for good (0 succeeded, 1 under way"), "{}", question.body);
    check("the question", 200, &question);

    // A cookie of the server before is worth nothing to the next one on the same port.
    let (cookie, address) = (browser.cookie.clone(), browser.host());
    browser.server.signal(Signal::TERM);
    let mut browser = Browser::new(Serve::at(&address, &up.bucket, &["--control"]));
    browser.cookie = cookie;
    assert_eq!(browser.host(), address);
    check("an old cookie", 403, &browser.post(&control, &pause));
    assert!(!browser.get(&path).body.contains("name=\"do\""));
    // With all that was missing it is done.
    browser.log_in("Bob O'Neil");
    let answer = browser.ask(&path, &[("do", "abort"), ("confirmed", "yes")]);
    assert!(answer.body.contains("Abort requested"), "{}", answer.body);
    ended(controller, 1);
    assert_eq!(status(&up)["state"], "aborted");
    let requests = written(&up).0;
    assert!(requests.len() == 1 && requests[0].contains("Bob O'Neil (web) via "), "{requests:?}");
}

#[test]
fn without_control_there_is_nothing_to_post_to() {
    let up = Up::new(&["--workers", "1"]);
    let (controller, path, _) = waiting(&up);
    let browser = Browser::new(Serve::of(&up.bucket));
    assert!(browser.server.told.get("login").is_none(), "{}", browser.server.told);
    let before = written(&up);
    let page = browser.get(&path);
    assert_eq!(page.status, 200, "{}", page.body);
    assert!(!page.body.contains("method=\"post\"") && !page.body.contains("/login"), "{}", page.body);
    for to in ["/login", "/logout", &path, &format!("{path}/control"), "/"] {
        let answer = browser.post(to, &[("do", "pause"), ("name", "a"), ("token", "")]);
        assert!(matches!(answer.status, 404 | 405), "{to}: {}", answer.body);
    }
    assert_eq!(browser.get("/login").status, 404);
    assert_eq!(written(&up), before);
    assert!(maand(&up, &["plan", "approve"]).status().unwrap().success());
    ended(controller, 0);
}

#[test]
fn without_a_controller_requests_are_noted_and_what_has_work_to_do_says_what_to_type() {
    let up = Up::new(&["--workers", "2", "--execute"]);
    let plan = WAITS.replace("'true'", "'false'").replace(
        "approve: {message: 'Is <b>it</b> well?'}\n    timeout: 1h",
        "run: {command: 'true', idempotent: true}",
    );
    // The first worker fails, and the run halts.
    ended(apply(&up, &plan), 1);
    let run = status(&up)["run"].as_str().unwrap().to_owned();
    let path = format!("/runs/{run}");
    let mut browser = Browser::of(&up);
    browser.log_in("ana");
    let host = status(&up)["workers"][0]["host"].as_str().unwrap().to_owned();
    let facts = written(&up).1.len();
    let answer = browser.ask(&path, &[("do", "abort"), ("confirmed", "yes")]);
    assert!(answer.body.contains(&format!("maand plan abort {run}")), "{}", answer.body);
    assert!(answer.body.contains("no process carries run"), "{}", answer.body);
    let answer = browser.ask(&path, &[("do", "approve"), ("step", "ask")]);
    assert!(answer.body.contains("nothing there waits for an approval"), "{}", answer.body);
    let answer = browser.ask(&path, &[("do", "skip"), ("host", "w9"), ("confirmed", "yes")]);
    assert!(answer.body.contains("w9 is no worker of this run"), "{}", answer.body);
    assert_eq!(written(&up).1.len(), facts, "nothing was recorded");

    let answer = browser.ask(&path, &[("do", "retry"), ("host", &host), ("confirmed", "yes")]);
    assert!(answer.body.contains(&format!("Noted: {host} continues at the failed step.")), "{}", answer.body);
    let (requests, all) = written(&up);
    assert!(requests.is_empty() && all.len() == facts + 1, "{all:?}");
    assert!(all[facts].contains("retried") && all[facts].contains("ana (web) via "), "{all:?}");

    // A pause is noted as well; what would end it is typed.
    let answer = browser.ask(&path, &[("do", "pause"), ("reason", "<i>lunch</i>")]);
    assert!(answer.body.contains("so no worker is started"), "{}", answer.body);
    assert_eq!(status(&up)["state"], "paused");
    let facts = written(&up).1.len();
    let answer = browser.ask(&path, &[("do", "resume")]);
    assert!(answer.body.contains(&format!("maand plan resume {run}")), "{}", answer.body);
    assert!(
        answer.body.contains("&lt;i&gt;lunch&lt;/i&gt;") && !answer.body.contains("<i>lunch"),
        "{}",
        answer.body
    );
    assert_eq!(written(&up).1.len(), facts, "nothing was recorded");
}

#[test]
fn control_in_clear_has_to_be_agreed_to() {
    let up = Up::new(&["--workers", "1"]);
    let all = ["serve", "--control", "--listen", "0.0.0.0:0"];
    for more in [&[][..], &["--allow-remote"], &["--allow-remote-control"]] {
        let out = maand(&up, &[&all[..], more].concat()).output().unwrap();
        let stderr = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(2), "{more:?}: {stderr}");
        assert!(stderr.contains("--allow-remote") && stderr.contains("ssh -L"), "{more:?}: {stderr}");
        assert!(out.stdout.is_empty());
    }
    for wrong in ["http://ops.example", "*", "a b"] {
        let out = maand(&up, &["serve", "--listen", "127.0.0.1:0", "--allow-host", wrong]).output().unwrap();
        assert_eq!(out.status.code(), Some(2), "{wrong}");
    }
}
