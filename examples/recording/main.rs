//! Records the picture that moves at the top of README.md: a run at a real terminal that is stopped with Ctrl-C and
//! resumed, on the three throwaway workers of `maand sandbox up`.
//!
//! ```sh
//! cargo build && cargo run --example recording -- target/debug/maand docs/recording
//! ```
//!
//! Nothing of what is shown is made up; waits are shortened ([`frames`]), and keys that print nothing are named beside
//! the text. `tests/it/recording.rs` looks at the result.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program with a command line")]

mod frames;
mod svg;
mod terminal;

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use terminal::{Recording, Terminal};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [maand, to] = &arguments[..] else {
        eprintln!("usage: recording PROGRAM FOLDER");
        return ExitCode::from(2);
    };
    match recorded(maand).and_then(|recording| write(&recording, to)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("recording: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write(recording: &Recording, to: &Path) -> Result<()> {
    let film = frames::film(recording)?;
    for (theme, name) in [(&svg::LIGHT, "run-light.svg"), (&svg::DARK, "run-dark.svg")] {
        let picture = svg::picture(&film, theme);
        println!("{name}: {} bytes, {} frames, {:.1} s", picture.len(), film.frames.len(), film.seconds);
        fs::write(to.join(name), picture)?;
    }
    Ok(())
}

/// The throwaway workers; they end with it.
struct Sandbox(Child);

impl Sandbox {
    fn up(maand: &Path, folder: &Path) -> Result<Self> {
        let mut command = Command::new(maand);
        command.args(["sandbox", "up", "--workers", "3", "--dir"]).arg(folder);
        let mut sandbox = Self(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?);
        let stdout = sandbox.0.stdout.take().ok_or("no output")?;
        for line in BufReader::new(stdout).lines() {
            if line?.starts_with("Ctrl-C") {
                return Ok(sandbox);
            }
        }
        Err("the sandbox did not come up".into())
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // It cleans up by itself when it is asked to end; what it leaves is in a folder that goes.
        if let Some(pid) = rustix::process::Pid::from_raw(self.0.id().cast_signed()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
        }
        let _ = self.0.wait();
    }
}

/// The scene.
fn recorded(maand: &Path) -> Result<Recording> {
    let maand = fs::canonicalize(maand)?;
    let folder = tempfile::tempdir()?;
    // The program's own name, whatever file it is.
    let path = folder.path().join("bin");
    fs::create_dir(&path)?;
    std::os::unix::fs::symlink(&maand, path.join("maand"))?;
    let fleet = folder.path().join("fleet");
    let _sandbox = Sandbox::up(&maand, &fleet)?;
    let bucket = fleet.join("bucket");
    let made = Command::new(&maand)
        .args(["plan", "new", "monday", "--from", "rolling-reboot"])
        .current_dir(&bucket)
        .stdout(Stdio::null())
        .status()?;
    if !made.success() {
        return Err("there is no plan".into());
    }
    let plan = bucket.join("monday.yaml");
    fs::write(&plan, fs::read_to_string(&plan)?.replace("settle: 10s", "settle: 2s"))?;

    let mut terminal = Terminal::start(&bucket, &path)?;
    terminal.wait_for("$ ")?;
    terminal.reads(0.5);
    terminal.types("maand plan apply monday.yaml\n")?;
    terminal.wait_for("[y/N]")?;
    terminal.reads(1.5);
    terminal.types("y\n")?;
    terminal.wait_for("succeeded in")?;
    terminal.wait_for("/7 reboot")?;
    terminal.reads(1.0);
    terminal.presses("Ctrl-C", b"\x03")?;
    terminal.wait_for("stopping")?;
    terminal.reads(1.2);
    terminal.wait_for("Continue with:\n  maand plan resume\n$ ")?;
    terminal.reads(4.0);
    terminal.types("maand plan resume\n")?;
    terminal.wait_for("3 workers: 3 succeeded.\n$ ")?;
    terminal.reads(6.0);
    terminal.end()
}
