//! Workers that do exactly what a test says, without any network.

use std::collections::{BTreeMap, VecDeque};
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use maand::bucket::Host;
use maand::catalog::command::{CommandOutcome, CommandRequest, CommandResult, Observer, run_command};
use maand::ssh::{
    Cancel, Captured, Completion, ConnectError, Connection, HostProfile, OutputSink, Remote, Script, Stream,
    UnknownWhy,
};

const A: &str = "11111111-1111-4111-8111-111111111111";
const B: &str = "22222222-2222-4222-8222-222222222222";
const C: &str = "33333333-3333-4333-8333-333333333333";
const D: &str = "44444444-4444-4444-8444-444444444444";

/// What the user's command does on a worker.
#[derive(Clone)]
enum Does {
    Exits(i32),
    IsCut,
    /// Exits with 0 once the named workers have been finished.
    WaitsFor(Vec<&'static str>),
}

/// What a worker shows when it is looked at, in turn; the last one stays.
#[derive(Clone)]
enum Shows {
    Id(&'static str),
    Refuses,
    LetsNobodyIn,
    OtherKey,
}

struct Worker {
    does: Does,
    shows: VecDeque<Shows>,
}

#[derive(Default)]
struct State {
    workers: BTreeMap<String, Worker>,
    running: usize,
    most: usize,
    /// `start h`, `end h` in their order.
    log: Vec<String>,
    finished: Vec<String>,
}

#[derive(Clone, Default)]
struct World {
    state: Arc<(Mutex<State>, Condvar)>,
    cancel: Cancel,
    /// Cancelled when this worker is refused.
    cancel_when_away: Arc<Mutex<bool>>,
    /// What the check after each batch says.
    checks: Arc<Mutex<VecDeque<Result<(), String>>>>,
}

impl World {
    fn with(workers: &[(&'static str, Does, &[Shows])]) -> Self {
        let world = Self::default();
        for (host, does, shows) in workers {
            let worker = Worker { does: does.clone(), shows: shows.iter().cloned().collect() };
            world.state.0.lock().unwrap().workers.insert((*host).to_owned(), worker);
        }
        world
    }

    fn request(&self, command: &str, concurrency: usize) -> CommandRequest {
        let state = self.state.0.lock().unwrap();
        CommandRequest {
            hosts: state.workers.keys().map(|host| Host::parse(host).unwrap()).collect(),
            command: command.to_owned(),
            bucket_id: "b".to_owned(),
            concurrency,
            keep_going: false,
            timeout: Duration::from_secs(60),
            watchdog: false,
            back_within: Duration::from_secs(60),
            batches: false,
        }
    }

    fn run(&self, request: &CommandRequest) -> Vec<CommandResult> {
        run_command(self, request, self, &self.cancel)
    }

    fn words(&self, request: &CommandRequest) -> Vec<&'static str> {
        self.run(request).iter().map(|result| result.outcome.word()).collect()
    }
}

impl Observer for World {
    fn started(&self, host: &Host) {
        let mut state = self.state.0.lock().unwrap();
        state.running += 1;
        state.most = state.most.max(state.running);
        state.log.push(format!("start {host}"));
    }

    fn lines(&self, host: &Host, stream: Stream, lines: &str) {
        self.state.0.lock().unwrap().log.push(format!("{host} {stream:?} {lines}"));
    }

    fn note(&self, _host: &Host, _text: &str) {}

    fn finished(&self, result: &CommandResult) {
        let mut state = self.state.0.lock().unwrap();
        if !matches!(result.outcome, CommandOutcome::NotStarted { .. }) {
            state.log.push(format!("end {}", result.host));
            state.running = state.running.saturating_sub(1);
        }
        state.finished.push(result.host.to_string());
        self.state.1.notify_all();
    }

    fn after_batch(&self) -> Result<(), String> {
        self.state.0.lock().unwrap().log.push("check".to_owned());
        self.checks.lock().unwrap().pop_front().unwrap_or(Ok(()))
    }
}

impl Remote for World {
    fn connect(
        &self,
        host: &Host,
        _until: Instant,
        _cancel: &Cancel,
    ) -> Result<Box<dyn Connection>, ConnectError> {
        let mut state = self.state.0.lock().unwrap();
        let shows = &mut state.workers.get_mut(host.as_str()).unwrap().shows;
        let now = if shows.len() > 1 { shows.pop_front() } else { shows.front().cloned() };
        match now {
            None => Ok(Box::new(Session { world: self.clone(), host: host.clone(), id: A })),
            Some(Shows::Id(id)) => Ok(Box::new(Session { world: self.clone(), host: host.clone(), id })),
            Some(Shows::Refuses) => {
                if *self.cancel_when_away.lock().unwrap() {
                    self.cancel.cancel();
                }
                Err(ConnectError::Refused { addr: host.to_string() })
            }
            Some(Shows::LetsNobodyIn) => {
                Err(ConnectError::NoLogin { addr: host.to_string(), message: "System is going down.".into() })
            }
            Some(Shows::OtherKey) => Err(ConnectError::HostKeyChanged {
                host: host.to_string(),
                known: "SHA256:a".into(),
                shown: "SHA256:b".into(),
            }),
        }
    }

    fn profile(&self, host: &Host) -> HostProfile {
        HostProfile::real(Path::new("/opt/worker"), "b", host, false)
    }
}

struct Session {
    world: World,
    host: Host,
    id: &'static str,
}

fn printed(text: &str) -> Captured {
    Captured { bytes: text.as_bytes().to_vec(), dropped: 0 }
}

impl Connection for Session {
    fn run(&mut self, script: &Script, sink: Option<OutputSink<'_>>) -> Completion {
        if !script.users_own {
            let text = if script.text.contains("uptime") {
                "100000.0\n".to_owned()
            } else {
                format!("{}\n", self.id)
            };
            return Completion::Exited { code: 0, stdout: printed(&text), stderr: Captured::default() };
        }
        assert!(script.env.contains(&("WORKER_IP".into(), self.host.to_string())));
        assert!(script.env.contains(&("BUCKET_ID".into(), "b".into())));
        let does = self.world.state.0.lock().unwrap().workers[self.host.as_str()].does.clone();
        if let Some(sink) = sink {
            sink(Stream::Stdout, b"one\ntwo\nth");
            sink(Stream::Stdout, b"ree");
        }
        let code = match does {
            Does::Exits(code) => code,
            Does::IsCut => {
                let why = UnknownWhy::ConnectionLost("reset".into());
                return Completion::Unknown { why, stdout: Captured::default(), stderr: Captured::default() };
            }
            Does::WaitsFor(hosts) => {
                let state = self.world.state.0.lock().unwrap();
                let all = |state: &mut State| {
                    !hosts.iter().all(|host| state.finished.iter().any(|done| done == host))
                };
                let (_state, result) =
                    self.world.state.1.wait_timeout_while(state, Duration::from_secs(60), all).unwrap();
                assert!(!result.timed_out(), "the others are held back");
                0
            }
        };
        Completion::Exited { code, stdout: Captured::default(), stderr: Captured::default() }
    }

    fn run_with_payload(&mut self, _: &Script, _: &mut dyn Read, _: u64) -> Completion {
        unreachable!("no payload here")
    }

    fn is_usable(&self) -> bool {
        true
    }
}

#[test]
fn a_slow_worker_does_not_hold_back_the_others_and_the_window_holds() {
    let world = World::with(&[
        ("h1", Does::WaitsFor(vec!["h2", "h3", "h4", "h5"]), &[]),
        ("h2", Does::Exits(0), &[]),
        ("h3", Does::Exits(0), &[]),
        ("h4", Does::Exits(0), &[]),
        ("h5", Does::Exits(0), &[]),
    ]);
    assert_eq!(world.words(&world.request("uptime", 2)), ["ok"; 5]);
    let state = world.state.0.lock().unwrap();
    assert!(state.most <= 2, "{}", state.most);
    assert!(
        state.log.contains(&"h2 Stdout one\ntwo".to_owned())
            && state.log.contains(&"h2 Stdout three".to_owned())
    );
}

#[test]
fn after_a_failure_no_other_worker_is_started_unless_asked_to() {
    let workers: &[(&'static str, Does, &[Shows])] =
        &[("h1", Does::Exits(0), &[]), ("h2", Does::Exits(3), &[]), ("h3", Does::Exits(0), &[])];
    let world = World::with(workers);
    let results = world.run(&world.request("x", 1));
    assert_eq!(results[1].outcome, CommandOutcome::Failed { code: 3 });
    assert!(matches!(&results[2].outcome, CommandOutcome::NotStarted { why } if why.contains("h2")));
    let world = World::with(workers);
    let request = CommandRequest { keep_going: true, ..world.request("x", 1) };
    assert_eq!(world.words(&request), ["ok", "failed", "ok"]);
}

#[test]
fn with_a_check_it_goes_in_batches() {
    let workers: Vec<(&'static str, Does, &[Shows])> =
        ["h1", "h2", "h3", "h4", "h5"].map(|host| (host, Does::Exits(0), &[] as &[Shows])).to_vec();
    let world = World::with(&workers);
    world.checks.lock().unwrap().extend([Ok(()), Err("api is sick".to_owned())]);
    let request = CommandRequest { batches: true, ..world.request("x", 2) };
    assert_eq!(world.words(&request), ["ok", "ok", "ok", "ok", "not_started"]);
    let log = world.state.0.lock().unwrap().log.clone();
    let checks: Vec<usize> =
        log.iter().enumerate().filter(|(_, l)| *l == "check").map(|(at, _)| at).collect();
    let ends = |to: usize| log[..to].iter().filter(|line| line.starts_with("end")).count();
    assert_eq!(checks.iter().map(|at| ends(*at)).collect::<Vec<_>>(), [2, 4]);
}

#[test]
fn a_reboot_takes_one_worker_at_a_time_and_is_seen_by_its_boot_id() {
    let shows = |before, after| {
        [Shows::Id(before), Shows::Id(before), Shows::Refuses, Shows::Refuses, Shows::Id(after)]
    };
    let world = World::with(&[("h1", Does::Exits(0), &shows(A, B)), ("h2", Does::IsCut, &shows(C, D))]);
    let results = world.run(&world.request("sudo shutdown -r now", 1));
    for (result, boot_id) in results.iter().zip([B, D]) {
        assert_eq!(result.outcome, CommandOutcome::Rebooted { boot_id: boot_id.into() });
    }
    let log = world.state.0.lock().unwrap().log.clone();
    let at = |line: &str| log.iter().position(|l| l == line).unwrap();
    assert!(at("end h1") < at("start h2"), "{log:?}");
}

#[test]
fn a_machine_with_two_names_is_rebooted_once() {
    let shows: &[Shows] = &[Shows::Id(A), Shows::Id(A), Shows::Refuses, Shows::Refuses, Shows::Id(B)];
    let world = World::with(&[("h1", Does::Exits(0), shows), ("h2", Does::Exits(0), &[Shows::Id(B)])]);
    assert_eq!(world.words(&world.request("reboot", 1)), ["rebooted", "not_run"]);
    assert!(!world.state.0.lock().unwrap().log.contains(&"start h2".to_owned()));
    // At the same time. What only speaks of it may run in two containers.
    let both = |command| {
        let world =
            World::with(&[("h1", Does::Exits(0), &[Shows::Id(A)]), ("h2", Does::Exits(0), &[Shows::Id(A)])]);
        let request = CommandRequest {
            back_within: Duration::from_millis(10),
            keep_going: true,
            ..world.request(command, 2)
        };
        let mut words = world.words(&request);
        words.sort_unstable();
        words
    };
    assert_eq!(both("reboot"), ["not_rebooted", "not_run"]);
    assert_eq!(both("last reboot"), ["ok", "ok"]);
}

#[test]
fn a_reboot_that_does_not_come_is_no_success() {
    let world = World::with(&[("h1", Does::Exits(0), &[Shows::Id(A)])]);
    let request = CommandRequest { back_within: Duration::from_millis(10), ..world.request("reboot", 1) };
    assert_eq!(world.words(&request), ["not_rebooted"]);
    let world = World::with(&[("h1", Does::Exits(0), &[Shows::Id(A), Shows::Refuses])]);
    let request = CommandRequest { back_within: Duration::from_millis(10), ..world.request("reboot", 1) };
    assert_eq!(world.words(&request), ["not_back"]);
    let world = World::with(&[("h1", Does::Exits(0), &[Shows::Id(A), Shows::Refuses, Shows::OtherKey])]);
    assert_eq!(world.words(&world.request("reboot", 1)), ["not_back"], "a changed key is final");
}

#[test]
fn what_only_speaks_of_a_reboot_succeeds_by_itself() {
    let world =
        World::with(&[("h1", Does::Exits(0), &[Shows::Id(A)]), ("h2", Does::Exits(1), &[Shows::Id(A)])]);
    let request =
        CommandRequest { back_within: Duration::from_millis(10), ..world.request("last reboot", 2) };
    assert_eq!(world.words(&request), ["ok", "failed"]);
}

#[test]
fn a_cut_connection_is_unknown_unless_the_worker_has_rebooted() {
    let shows: &[Shows] = &[Shows::Id(A), Shows::Refuses, Shows::Id(A)];
    let world = World::with(&[("h1", Does::IsCut, shows), ("h2", Does::Exits(0), &[])]);
    let results = world.run(&world.request("systemctl restart networking", 1));
    assert!(matches!(&results[0].outcome, CommandOutcome::Unknown { why } if why.contains("there again")));
    assert_eq!(results[1].outcome.word(), "not_started");
}

#[test]
fn an_interrupted_wait_says_what_is_unknown() {
    let world = World::with(&[
        ("h1", Does::Exits(0), &[Shows::Id(A), Shows::Refuses]),
        ("h2", Does::Exits(0), &[Shows::Id(A)]),
    ]);
    *world.cancel_when_away.lock().unwrap() = true;
    let results = world.run(&world.request("reboot", 1));
    assert!(matches!(&results[0].outcome, CommandOutcome::Unknown { why } if why.contains("interrupted")));
    assert!(matches!(&results[1].outcome, CommandOutcome::NotStarted { why } if why.contains("interrupted")));
}

#[test]
fn a_worker_that_was_not_reached_for_a_moment_before_it_went_down_has_rebooted() {
    use Shows::{Id, Refuses};
    let shows = [Id(A), Refuses, Refuses, Id(A), Id(A), Refuses, Id(B)];
    for command in ["reboot", "apt-get install -y linux-image && reboot"] {
        let world = World::with(&[("h1", Does::Exits(0), &shows)]);
        let outcome = world.run(&world.request(command, 1)).remove(0).outcome;
        assert_eq!(outcome, CommandOutcome::Rebooted { boot_id: B.to_owned() }, "{command}");
    }
}

#[test]
fn a_worker_that_lets_nobody_in_before_a_shutdown_that_is_due_is_waited_for() {
    let mut shows = vec![Shows::Id(A)];
    shows.extend(std::iter::repeat_n(Shows::LetsNobodyIn, 32));
    shows.push(Shows::Id(B));
    let world = World::with(&[("h1", Does::Exits(0), &shows)]);
    let outcome = world.run(&world.request("shutdown -r +1", 1)).remove(0).outcome;
    assert_eq!(outcome, CommandOutcome::Rebooted { boot_id: B.to_owned() });
}
