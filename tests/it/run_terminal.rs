//! A controller at a terminal of its own (`script` of util-linux): one that closes, one at which it is stopped and
//! continued, and Ctrl-C.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};

use maand::engine::Fact;
use maand::journal::{Journal, Mode};
use rustix::process::{Pid, Signal, kill_process};

use crate::run_bench::RunBench;
use crate::run_local::{is_alive, parent_of, pids};
use crate::support::wait_until;

/// A step that runs until the file `go` is there, and one after it.
const PLAN: &str = "\
version: 1
name: terminal
steps:
  - id: waits
    local: {command: 'echo $$ >> pids; until [ -e go ]; do sleep 0.1; done', idempotent: true}
    timeout: 5m
  - id: next
    local: {command: echo next >> next}
";

pub(crate) struct Terminal {
    pub(crate) script: Child,
    keyboard: ChildStdin,
    /// What it shows, in 80 columns.
    screen: Arc<Mutex<vt100::Parser>>,
    /// All that was written to it.
    written: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    /// Runs a line of shell text at it, in the bucket's folder.
    fn run(bench: &RunBench, line: &str) -> Self {
        Self::at(&bench.path("."), line)
    }

    /// Runs a line of shell text at it, in this folder.
    pub(crate) fn at(folder: &Path, line: &str) -> Self {
        let mut script = Command::new("script")
            .args(["-q", "-e", "-c", line, "/dev/null"])
            .current_dir(folder)
            .env("TERM", "xterm")
            .env("SHELL", "/bin/bash")
            .env("MAAND", env!("CARGO_BIN_EXE_maand"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let keyboard = script.stdin.take().unwrap();
        let mut stdout = script.stdout.take().unwrap();
        let (screen, written) =
            (Arc::new(Mutex::new(vt100::Parser::default())), Arc::<Mutex<Vec<u8>>>::default());
        let (shown, kept) = (Arc::clone(&screen), Arc::clone(&written));
        // Read to its end, so that nothing waits for it.
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = stdout.read(&mut buffer) {
                kept.lock().unwrap().extend_from_slice(&buffer[..n]);
                shown.lock().unwrap().process(&buffer[..n]);
            }
        });
        Self { script, keyboard, screen, written }
    }

    pub(crate) fn text(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    pub(crate) fn wait_for(&self, what: &str) {
        wait_until(&format!("`{what}` is shown"), || self.text().contains(what));
    }

    /// All that was written to it.
    pub(crate) fn written(&self) -> Vec<u8> {
        self.written.lock().unwrap().clone()
    }

    pub(crate) fn shows(&self, text: &str) -> bool {
        String::from_utf8_lossy(&self.written.lock().unwrap()).contains(text)
    }

    pub(crate) fn types(&mut self, keys: &[u8]) {
        self.keyboard.write_all(keys).unwrap();
        self.keyboard.flush().unwrap();
    }
}

/// The signal that the run has heard of.
fn interrupted_by(bench: &RunBench) -> Option<String> {
    let journal = Journal::open(&bench.path("data"), Mode::ReadOnly).unwrap();
    let run = journal.unfinished().unwrap()?;
    journal.read(&run).unwrap().find_map(|fact| match fact.unwrap().fact {
        Fact::Interrupted { by } => Some(by),
        _ => None,
    })
}

/// The controller of the run whose command this is: below it is the command's guard.
fn controller_of(command: u32) -> u32 {
    parent_of(parent_of(command))
}

fn state_of(pid: u32) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").map_or("", |(_, rest)| &rest[..1]).to_owned()
}

fn start(bench: &RunBench, line: &str) -> (Terminal, u32, u32) {
    bench.own_plan(PLAN);
    let _ = fs::remove_file(bench.path("pids"));
    let terminal = Terminal::run(bench, line);
    let command = pids(&bench.path("pids"), 1)[0];
    let controller = controller_of(command);
    (terminal, command, controller)
}

#[test]
fn a_terminal_that_closes_stops_the_run_after_the_step() {
    let Some(bench) = RunBench::new(1) else { return };
    let (mut terminal, command, controller) = start(&bench, "exec \"$MAAND\" plan apply own.yaml --yes");
    terminal.script.kill().unwrap();
    terminal.script.wait().unwrap();
    wait_until("it has heard of it", || interrupted_by(&bench).as_deref() == Some("SIGHUP"));
    assert!(is_alive(command) && is_alive(controller), "the step in flight is finished first");
    bench.write("go", "");
    wait_until("it has ended", || !is_alive(controller));
    assert!(!bench.path("next").exists());
    bench.expect(0, &["plan", "resume"]);
    assert!(bench.path("next").exists());
}

#[test]
fn under_nohup_a_terminal_that_closes_stops_nothing() {
    let Some(bench) = RunBench::new(1) else { return };
    let line = "nohup \"$MAAND\" plan apply own.yaml --yes >out 2>&1 </dev/null & wait";
    let (mut terminal, _, controller) = start(&bench, line);
    terminal.script.kill().unwrap();
    terminal.script.wait().unwrap();
    let hang_up = || kill_process(Pid::from_raw(controller.cast_signed()).unwrap(), Signal::HUP);
    hang_up().unwrap();
    bench.write("go", "");
    wait_until("it has ended", || !is_alive(controller));
    assert!(bench.path("next").exists());
    assert_eq!(bench.status()["state"], "succeeded");
}

#[test]
fn a_run_that_is_stopped_at_its_terminal_continues_with_fg() {
    let Some(bench) = RunBench::new(1) else { return };
    let (mut terminal, command, controller) = start(
        &bench,
        "set -m; \"$MAAND\" plan apply own.yaml --yes; until [ -e fg ]; do sleep 0.1; done; fg; exit $?",
    );
    terminal.wait_for("[....");
    terminal.types(b"\x1a");
    wait_until("it is stopped", || state_of(controller) == "T");
    assert!(is_alive(command));
    wait_until("its rows are gone", || !terminal.text().contains("[...."));
    bench.expect(0, &["plan", "status"]);
    let (_, stderr) = bench.expect(4, &["plan", "resume"]);
    assert!(stderr.contains(&controller.to_string()), "{stderr}");
    // Its step ends meanwhile.
    bench.write("go", "");
    wait_until("the command has ended", || !is_alive(command));
    bench.write("fg", "");
    wait_until("it has ended", || !is_alive(controller));
    assert!(bench.path("next").exists());
    assert_eq!(bench.status()["state"], "succeeded");
    assert_eq!(terminal.script.wait().unwrap().code(), Some(0));
    terminal.wait_for("succeeded after");
}

#[test]
fn keys_need_no_enter_leave_no_trace_and_ask_as_another_terminal_would() {
    let Some(bench) = RunBench::new(1) else { return };
    let line = "stty -a >before; \"$MAAND\" plan apply own.yaml --yes; stty -a >after";
    let (mut terminal, _, controller) = start(&bench, line);
    terminal.wait_for("[....");
    // Keys without a meaning, and an arrow.
    terminal.types(b"x\x1b[Azzz");
    terminal.types(b"?");
    terminal.wait_for("keys: s or Enter");
    terminal.types(b"\n");
    terminal.wait_for("1 worker: 0 succeeded, 1 under way");
    terminal.types(b"p");
    terminal.wait_for("paused by");
    terminal.types(b"p");
    terminal.wait_for("resumed by");
    terminal.types(b"q");
    wait_until("it is asked to stop", || interrupted_by(&bench).as_deref() == Some("SIGINT"));
    let text = terminal.text();
    assert!(!text.contains("zzz") && !text.contains("^["), "{text}");
    assert_eq!(text.matches("[....").count(), 1, "one bar: {text}");
    bench.write("go", "");
    wait_until("it has ended", || !is_alive(controller));
    assert_eq!(terminal.script.wait().unwrap().code(), Some(0));
    assert!(!bench.path("next").exists());
    let modes = |name: &str| fs::read_to_string(bench.path(name)).unwrap();
    assert_eq!(modes("before"), modes("after"), "the terminal is as it was");
}

#[test]
fn plain_output_is_lines_on_a_terminal_too() {
    let Some(bench) = RunBench::new(1) else { return };
    let (mut terminal, ..) = start(&bench, "exec \"$MAAND\" plan apply own.yaml --yes --output plain -q");
    bench.write("go", "");
    assert_eq!(terminal.script.wait().unwrap().code(), Some(0));
    terminal.wait_for("succeeded after");
    let text = terminal.text();
    let lines: Vec<_> = text.lines().take_while(|line| !line.trim().is_empty()).collect();
    assert!(matches!(lines[..], [one] if one.contains("  succeeded in ")), "one line per worker: {text}");
    assert!(!text.contains("[."), "{text}");
}

/// Ctrl-S, or a multiplexer that is scrolled back: nobody takes what is written.
#[test]
fn a_terminal_that_is_stopped_holds_no_run_up() {
    let Some(bench) = RunBench::new(1) else { return };
    for flags in ["", "--output json"] {
        for file in ["go", "next"] {
            let _ = fs::remove_file(bench.path(file));
        }
        let line = format!("exec \"$MAAND\" plan apply own.yaml --yes {flags}");
        let (mut terminal, _, controller) = start(&bench, &line);
        terminal.types(b"\x13");
        bench.write("go", "");
        wait_until("the next step is done", || bench.path("next").exists());
        wait_until("the run is done", || bench.status()["state"] == "succeeded");
        // Another process may have it: all that is left is to be shown.
        bench.expect(0, &["plan", "resume"]);
        assert!(
            is_alive(controller) && !terminal.shows("succeeded"),
            "{flags}: the terminal was not stopped"
        );
        terminal.types(b"\x11");
        assert_eq!(terminal.script.wait().unwrap().code(), Some(0), "{flags}");
        wait_until("all of it is shown", || terminal.shows("succeeded"));
    }
}

#[test]
fn two_ctrl_c_end_the_run_and_its_commands() {
    let Some(bench) = RunBench::new(1) else { return };
    let (mut terminal, command, controller) = start(&bench, "exec \"$MAAND\" plan apply own.yaml --yes");
    terminal.types(b"\x03");
    wait_until("the first is heard", || interrupted_by(&bench).as_deref() == Some("SIGINT"));
    assert!(is_alive(command), "the terminal's signals are not for the command");
    terminal.types(b"\x03");
    wait_until("all have ended", || !is_alive(command) && !is_alive(controller));
    let status = terminal.script.wait().unwrap();
    assert_eq!((status.code(), status.signal()), (Some(5), None));
    terminal.wait_for("was interrupted");
    let text = terminal.text();
    assert!(text.contains("in doubt") && !text.contains(") is running") && !text.contains("[."), "{text}");
}

#[test]
fn a_reader_that_leaves_stops_nothing() {
    let Some(bench) = RunBench::new(1) else { return };
    bench.own_plan(PLAN);
    bench.write("go", "");
    for (to, output) in [("true", ""), ("head -c 1", " --output json")] {
        let _ = fs::remove_file(bench.path("next"));
        let line = format!(
            "set -o pipefail; \"$MAAND\" plan apply own.yaml --yes{output} | {to}; echo ${{PIPESTATUS[0]}} >code"
        );
        let done = Command::new("bash")
            .args(["-c", &line])
            .current_dir(bench.path("."))
            .env("MAAND", env!("CARGO_BIN_EXE_maand"))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(bench.path("next").exists(), "{to}: {done:?}");
        assert_eq!(fs::read_to_string(bench.path("code")).unwrap().trim(), "0", "{to}: {done:?}");
        assert_eq!(bench.status()["state"], "succeeded");
    }
}
