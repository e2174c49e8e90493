//! Requests of a plan to a real nginx, which stands for whatever takes a worker out and puts it back: it keeps what is put,
//! asks for a token, and has places that answer with errors, with redirections and with nothing.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::run_bench::RunBench;
use crate::run_faults::end;
use crate::support::{unpacked, wait_until};

const TOKEN: &str = "Bearer s3cret-of-the-balancer";

pub(crate) struct Nginx {
    child: Child,
    pub(crate) address: SocketAddr,
    dir: tempfile::TempDir,
}

impl Nginx {
    fn start() -> Option<Self> {
        let address = free_address();
        let servers = format!(
            "server {{\n    listen {address};\n    root .;\n\
                 location /servers/ {{\n      if ($http_authorization != \"{TOKEN}\") {{ return 401; }}\n\
                   dav_methods PUT DELETE;\n      default_type application/json;\n    }}\n\
                 location /moved {{ return 302 http://else.invalid/; }}\n\
                 location /busy {{ return 503; }}\n\
                 location /cut {{ return 444; }}\n  }}\n"
        );
        Self::with(address, "'$request_method $request_uri $status'", &servers)
    }

    /// One that has these servers, of which one listens at `address`, and writes a line of this format for each request.
    pub(crate) fn with(address: SocketAddr, log: &str, servers: &str) -> Option<Self> {
        let program = unpacked("nginx", "nginx")?;
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().display().to_string();
        for folder in ["servers", "tmp"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
        }
        let config = format!(
            "user root;\nworker_processes 1;\ndaemon off;\npid {root}/pid;\nerror_log {root}/error.log;\n\
             events {{}}\nhttp {{\n  log_format asked {log};\n\
               access_log {root}/access.log asked;\n\
               client_body_temp_path {root}/tmp;\n  proxy_temp_path {root}/tmp;\n  fastcgi_temp_path {root}/tmp;\n\
               uwsgi_temp_path {root}/tmp;\n  scgi_temp_path {root}/tmp;\n  {servers}}}\n"
        );
        fs::write(dir.path().join("nginx.conf"), config).unwrap();
        let child = Command::new(program)
            .args(["-p", &root, "-c", "nginx.conf", "-e", "error.log"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut nginx = Self { child, address, dir };
        wait_until("nginx listens", || {
            assert!(nginx.child.try_wait().unwrap().is_none(), "{}", nginx.read("error.log"));
            TcpStream::connect(address).is_ok()
        });
        Some(nginx)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// What it was asked, with the status of its answers.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.read("access.log").lines().map(str::to_owned).collect()
    }
}

/// An address of this machine that nobody listens at.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap()
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its worker ends with it; killed it would stay.
        let pid = rustix::process::Pid::from_raw(self.child.id().cast_signed()).unwrap();
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}

/// A plan of these steps; `@` stands for the server.
fn plan(bench: &RunBench, nginx: &Nginx, more: &str, steps: &str) -> String {
    let text = format!("version: 1\nname: balanced\n{more}steps:\n{steps}");
    bench.own_plan(&text.replace('@', &format!("http://{}", nginx.address)))
}

fn apply(bench: &RunBench, plan: &str) -> (Option<i32>, String) {
    let output = bench.command(&["plan", "apply", plan, "--yes"]).env("LB_TOKEN", TOKEN).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout) + &text(&output.stderr))
}

#[test]
fn a_worker_is_taken_out_and_put_back() {
    let (Some(nginx), Some(bench)) = (Nginx::start(), RunBench::new(1)) else { return };
    let headers = "headers: {Authorization: {from_env: LB_TOKEN}}";
    let steps = format!(
        "  - http: {{method: PUT, url: '@/servers/$MAAND_HOST', {headers}, json: {{state: drain, by: $MAAND_RUN}}}}\n\
         \x20 - id: look\n    http: {{url: '@/servers/$MAAND_HOST', {headers}, expect: {{status: 200, json: {{/state: drain}}}}}}\n\
         \x20 - run: {{command: 'true', idempotent: true}}\n\
         \x20 - http: {{method: DELETE, url: '@/servers/$MAAND_HOST', {headers}, expect: {{status: 204}}}}\n"
    );
    let plan = plan(&bench, &nginx, "", &steps);
    let shown = bench.expect(0, &["plan", "show", &plan]).0;
    assert!(
        shown.contains("PUT http://")
            && shown.contains("\"state\": \"drain\"")
            && shown.contains("from LB_TOKEN"),
        "{shown}"
    );
    let (code, said) = apply(&bench, &plan);
    assert_eq!(code, Some(0), "{said}");
    let host = &bench.host(0);
    let place = format!("/servers/{host}");
    assert_eq!(
        nginx.asked(),
        [format!("PUT {place} 201"), format!("GET {place} 200"), format!("DELETE {place} 204")]
    );
    let (logs, _) = bench.expect(0, &["plan", "logs", "--worker", host, "--step", "look"]);
    assert!(logs.contains("status 200") && logs.contains("drain"), "{logs}");
    // A secret is nowhere.
    let journal = fs::read(bench.path("data/plan.db")).unwrap();
    let secret = TOKEN.as_bytes();
    assert!(!journal.windows(secret.len()).any(|window| window == secret) && !said.contains(TOKEN));
}

#[test]
fn answers_that_are_not_expected_fail_the_worker_in_words() {
    let (Some(nginx), Some(bench)) = (Nginx::start(), RunBench::new(1)) else { return };
    for (options, why) in [
        ("url: '@/busy'", "status 503, and not 2xx"),
        ("url: '@/servers/x'", "status 401, and not 2xx"),
        ("url: '@/moved'", "points to http://else.invalid/, and no redirection is followed"),
        ("url: 'http://127.0.0.1:1/'", "no connection"),
        ("url: '@/', headers: {X-Token: {from_env: NOT_SET_ANYWHERE}}", "NOT_SET_ANYWHERE is not set here"),
        ("url: '@/servers/$MAAND_TAG_RACK'", "no value for $MAAND_TAG_RACK"),
    ] {
        let plan = plan(&bench, &nginx, "", &format!("  - http: {{{options}}}\n"));
        let (code, said) = apply(&bench, &plan);
        assert_eq!(code, Some(1), "{options}: {said}");
        let flat = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(why), "{options}: {said}");
        bench.expect(0, &["plan", "abort"]);
    }
}

#[test]
fn what_may_be_sent_again_is_and_what_may_not_is_in_doubt_without_an_answer() {
    let (Some(nginx), Some(bench)) = (Nginx::start(), RunBench::new(1)) else { return };
    let retries = "    retries: {attempts: 3, delay: 100ms}\n";
    let again = plan(&bench, &nginx, "", &format!("  - http: {{method: PUT, url: '@/cut'}}\n{retries}"));
    let (code, said) = apply(&bench, &again);
    assert_eq!(code, Some(1), "{said}");
    // Three attempts, and two that do not count after lost answers.
    assert_eq!(nginx.asked(), ["PUT /cut 444"; 5]);
    bench.expect(0, &["plan", "abort"]);
    let once =
        plan(&bench, &nginx, "", &format!("  - http: {{method: POST, url: '@/cut', body: x}}\n{retries}"));
    let (code, said) = apply(&bench, &once);
    assert_ne!(code, Some(0), "{said}");
    assert!(said.contains("in doubt"), "{said}");
    assert_eq!(nginx.asked().iter().filter(|asked| asked.starts_with("POST")).count(), 1);
}

#[test]
fn a_server_that_says_nothing_holds_a_step_for_its_time_out_only() {
    let Some(bench) = RunBench::new(1) else { return };
    // It takes connections, and never answers.
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let plan = bench.own_plan(&format!(
        "version: 1\nname: silent\nsteps:\n  - http: {{url: '{url}'}}\n    timeout: 1s\n"
    ));
    let (code, said) = apply(&bench, &plan);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("1s"), "{said}");
    bench.expect(0, &["plan", "abort"]);
    // A second signal does not wait for it.
    let plan = bench.own_plan(&format!(
        "version: 1\nname: silent\nsteps:\n  - http: {{url: '{url}'}}\n    timeout: 10m\n"
    ));
    silent.set_nonblocking(true).unwrap();
    while silent.accept().is_ok() {}
    let child = bench.spawn(&["plan", "apply", &plan, "--yes"]);
    wait_until("it is asked", || silent.accept().is_ok());
    let pid = rustix::process::Pid::from_raw(child.id().cast_signed()).unwrap();
    let terminate = || rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    terminate();
    wait_until("the first signal is noted", || bench.status().to_string().contains("interrupted"));
    terminate();
    let (code, stdout, stderr) = end(child);
    assert_eq!(code, Some(5), "{stdout}{stderr}");
}

/// A server that takes no connection has got nothing, however short the time was: nobody has to say whether it ran.
#[test]
fn what_was_never_sent_is_not_in_doubt() {
    let Some(bench) = RunBench::new(1) else { return };
    let full = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    rustix::net::listen(&full, 0).unwrap();
    let address = full.local_addr().unwrap();
    let mut queue = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(500)) {
        queue.push(stream);
    }
    let plan = bench.own_plan(&format!(
        "version: 1\nname: full\nsteps:\n  - http: {{method: POST, url: 'http://{address}/', body: x}}\n    timeout: 1s\n"
    ));
    let (code, said) = apply(&bench, &plan);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("no connection was made in time") && !said.contains("in doubt"), "{said}");
}

#[test]
fn a_revert_sends_the_request_that_undoes() {
    let (Some(nginx), Some(bench)) = (Nginx::start(), RunBench::new(1)) else { return };
    let headers = "headers: {Authorization: {from_env: LB_TOKEN}}";
    let steps = format!(
        "  - http:\n      method: PUT\n      url: '@/servers/$MAAND_HOST'\n      {headers}\n      body: drain\n\
         \x20     undo: {{method: DELETE, url: '@/servers/$MAAND_HOST', {headers}}}\n\
         \x20 - run: {{command: 'false', undo: none}}\n"
    );
    let plan = plan(&bench, &nginx, "rollout: {on_failure: revert}\n", &steps);
    let (code, said) = apply(&bench, &plan);
    assert_eq!(code, Some(1), "{said}");
    let place = format!("/servers/{}", bench.host(0));
    assert_eq!(nginx.asked(), [format!("PUT {place} 201"), format!("DELETE {place} 204")], "{said}");
}
