//! What shells are offered while a command line is typed. The scripts are read by real shells.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

/// A bucket with this many workers.
fn bucket(workers: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_maand")).arg("init").arg(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let worker = |n: usize| {
        let labels = if n.is_multiple_of(2) { ["api"] } else { ["db"] };
        json!({ "host": format!("10.0.{}.{}", n / 250, n % 250 + 1), "labels": labels,
                "tags": { "zone": "a", "rack": "r1" } })
    };
    let all: Vec<_> = (0..workers).map(worker).collect();
    std::fs::write(folder.path().join("workspace/workers.json"), json!(all).to_string()).unwrap();
    for plan in ["reboot.yaml", "patch.yml"] {
        std::fs::write(folder.path().join(plan), "version: 1\nname: x\nsteps: [reboot, wait_for_ssh]\n")
            .unwrap();
    }
    std::fs::write(folder.path().join("notes.txt"), "").unwrap();
    folder
}

/// What is offered for the last of these words, by the protocol of bash's script.
fn offered_to(shell: &str, folder: &Path, words: &[&str]) -> (Vec<String>, Output) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_maand"));
    command.arg("--").args(words).current_dir(folder).env("MAAND_COMPLETE", shell).env("_CLAP_IFS", "\n");
    let index = (words.len() - 1).to_string();
    let output = command.env("_CLAP_COMPLETE_INDEX", index).stdin(Stdio::null()).output().unwrap();
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let lines = String::from_utf8(output.stdout.clone()).unwrap().lines().map(str::to_owned).collect();
    (lines, output)
}

fn offered(folder: &Path, words: &[&str]) -> Vec<String> {
    offered_to("bash", folder, words).0
}

/// As [`offered`], once it is as expected: on a machine under load a bucket may take longer to read than a shell waits.
pub(crate) fn offered_once(folder: &Path, words: &[&str], is_so: impl Fn(&[String]) -> bool) -> Vec<String> {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let found = offered(folder, words);
        if is_so(&found) || Instant::now() > until {
            return found;
        }
    }
}

#[test]
fn commands_flags_hosts_labels_files_and_faults() {
    let bucket = bucket(4);
    let at = bucket.path();
    for (words, expected) in [
        (&["maand", "plan", "re"][..], &["rehearse", "release", "resume", "retry"][..]),
        (&["maand", "deploy", "--workers", "10.0.0.4"], &["10.0.0.4"]),
        (&["maand", "plan", "explain", "--worker", "10.0.0.1,10.0.0.2"], &["10.0.0.1,10.0.0.2"]),
        // Bash takes the word apart at the colon, and replaces what comes after it.
        (&["maand", "cat", "allocations", "--workers", "label", ":", "a"], &["api"]),
        (&["maand", "import", "ansible", "fleet.json", "--groups", "a"], &["api"]),
        (&["maand", "import", "ansible", "fleet.json", "--tags", "rack,zo"], &["rack,zone"]),
        (&["maand", "import", "ssh-config", "--hosts", "10.0.0.3"], &["10.0.0.3"]),
        (&["maand", "plan", "show", "re"], &["reboot.yaml"]),
        (&["maand", "plan", "validate", ""], &["patch.yml", "reboot.yaml"]),
        (
            &["maand", "plan", "rehearse", "reboot.yaml", "--fault", "10.0.0.1", ":", "never"],
            &["never_returns"],
        ),
        (
            &["maand", "plan", "rehearse", "reboot.yaml", "--fault", "10.0.0.1", ":", "hangs", "@", "@wait"],
            &["@wait_for_ssh"],
        ),
        (&["maand", "--output", "j"], &["json"]),
    ] {
        let has = |found: &[String], one: &str| found.iter().any(|found| found == one);
        let found = offered_once(at, words, |found| expected.iter().all(|one| has(found, one)));
        for one in expected {
            assert!(found.iter().any(|found| found == one), "{words:?}: {found:?}");
        }
        assert!(!found.iter().any(|found| found.contains("notes.txt")), "{words:?}: {found:?}");
    }
    let hosts = |found: &[String]| found.iter().filter(|one| one.starts_with("10.")).count();
    assert_eq!(hosts(&offered_once(at, &["maand", "deploy", "--workers", ""], |found| hosts(found) == 4)), 4);
    // From anywhere, where the line says which bucket.
    let elsewhere = tempfile::tempdir().unwrap();
    let folder = at.to_str().unwrap();
    let words = ["maand", "-C", folder, "deploy", "--workers", "10.0.0.3"];
    assert_eq!(offered_once(elsewhere.path(), &words, |found| found.len() == 1), ["10.0.0.3"]);
    assert_eq!(offered(elsewhere.path(), &["maand", "deploy", "--workers", "10.0.0.3"]), [""; 0]);
}

#[test]
fn whatever_is_wrong_nothing_is_said_and_nothing_is_written() {
    let bucket = bucket(3);
    let at = bucket.path();
    let before = tree(at);
    for words in [
        &["maand", "plan", "status", ""][..],
        &["maand", "plan", "logs", "--step", ""],
        &["maand", "plan", "explain", "--worker", ""],
    ] {
        offered(at, words);
    }
    assert_eq!(tree(at), before, "looking has made files");
    // A file that never ends, one that is not text, one that is somebody else's way in.
    let workers = at.join("workspace/workers.json");
    std::fs::remove_file(&workers).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &workers).unwrap();
    assert_eq!(offered(at, &["maand", "deploy", "--workers", "10"]), [""; 0]);
    std::fs::remove_file(&workers).unwrap();
    std::fs::write(&workers, b"[{\"host\": \"\xff").unwrap();
    assert_eq!(offered(at, &["maand", "deploy", "--workers", "10"]), [""; 0]);
    std::fs::write(&workers, r#"[{"host": "h1", "labels": ["a$(touch x)", "b;c", "fine"]}]"#).unwrap();
    let found = offered(at, &["maand", "deploy", "--workers", "label", ":"]);
    assert!(found.iter().all(|one| !one.contains(['$', ';', '('])), "{found:?}");
    std::fs::remove_file(&workers).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &workers, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
        .unwrap();
    assert_eq!(offered(at, &["maand", "deploy", "--workers", "10"]), [""; 0]);
    std::fs::create_dir_all(at.join("data")).unwrap();
    std::fs::write(at.join("data/plan.db"), "no database").unwrap();
    assert_eq!(offered(at, &["maand", "plan", "status", "2"]), [""; 0]);
    assert_eq!(offered_to("no-such-shell", at, &["maand", ""]).0, [""; 0]);
}

/// Every file below a folder.
fn tree(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut all: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let below: Vec<_> = all.iter().filter(|path| path.is_dir()).flat_map(|path| tree(path)).collect();
    all.extend(below);
    all.sort();
    all
}

/// Whether this machine has the shell.
fn has(shell: &str) -> bool {
    Command::new(shell).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// Runs a script of a shell that has read ours as `$1`; what it prints, once `expected` is in it.
fn in_shell(shell: &str, flags: &[&str], script: &str, folder: &Path, expected: &str) -> String {
    let ours = Command::new(env!("CARGO_BIN_EXE_maand")).args(["completions", shell]).output().unwrap();
    let file = folder.join("completions");
    std::fs::write(&file, ours.stdout).unwrap();
    // A machine under load may be too slow at first.
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let said = run_in_shell(shell, flags, script, folder, &file);
        if said.contains(expected) || Instant::now() > until {
            return said;
        }
    }
}

fn run_in_shell(shell: &str, flags: &[&str], script: &str, folder: &Path, file: &Path) -> String {
    let mut command = Command::new(shell);
    command.args(flags).args(["-c", script]);
    if shell == "bash" {
        command.arg("_");
    }
    let output = command.arg(file).current_dir(folder).stdin(Stdio::null()).output().unwrap();
    assert!(output.stderr.is_empty(), "{shell}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn bash_and_fish_offer_what_we_say() {
    let bucket = bucket(12);
    if has("bash") {
        let script = "source \"$1\"; COMP_WORDS=(maand deploy --workers 10.0.0.1); COMP_CWORD=3; COMP_TYPE=9; \
                      f=$(complete -p maand); f=${f##*-F }; f=${f%% *}; $f maand 10.0.0.1 --workers; \
                      printf '%s\\n' \"${COMPREPLY[@]}\"";
        let said = in_shell("bash", &["--norc"], script, bucket.path(), "10.0.0.12");
        let mut offered: Vec<&str> = said.lines().collect();
        offered.sort_unstable();
        assert_eq!(offered, ["10.0.0.1", "10.0.0.10", "10.0.0.11", "10.0.0.12"]);
    }
    if has("fish") {
        let script = "source $argv[1]; complete -C 'maand plan status --wat'; complete -C 'maand cat allocations --workers 10.0.0.1'";
        let said = in_shell("fish", &["--no-config"], script, bucket.path(), "10.0.0.12");
        assert!(said.contains("--watch") && said.contains("10.0.0.12"), "{said}");
    }
}

#[test]
fn bash_asks_a_program_whose_path_has_to_be_quoted() {
    let bucket = bucket(1);
    let place = bucket.path().join("it's a place");
    std::fs::create_dir(&place).unwrap();
    let program = place.join("maand");
    std::fs::copy(env!("CARGO_BIN_EXE_maand"), &program).unwrap();
    let script = Command::new(&program).args(["completions", "bash"]).output().unwrap();
    std::fs::write(bucket.path().join("script"), script.stdout).unwrap();
    let asks = "source ./script; COMP_WORDS=(maand plan valid); COMP_CWORD=2; COMP_TYPE=9; \
                _clap_complete_maand maand valid plan; printf '%s\\n' \"${COMPREPLY[@]}\"";
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let mut bash = Command::new("bash");
        let output = bash.args(["--norc", "-c", asks]).current_dir(bucket.path()).output().unwrap();
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8(output.stdout).unwrap();
        if said == "validate\n" || Instant::now() > until {
            assert_eq!(said, "validate\n");
            return;
        }
    }
}

#[test]
fn zsh_takes_the_script() {
    if !has("zsh") {
        return;
    }
    let bucket = bucket(1);
    let script = "autoload -Uz compinit && compinit -D -u; source $0; print ${_comps[maand]}";
    let said = in_shell("zsh", &["-f"], script, bucket.path(), "maand");
    assert!(said.contains("maand"), "{said}");
}

/// As a package installs it: nothing has read the file before the first Tab.
#[test]
fn zsh_finds_the_script_by_itself_and_asks_at_the_first_tab() {
    if !has("zsh") {
        return;
    }
    let bucket = bucket(1);
    let ours = Command::new(env!("CARGO_BIN_EXE_maand")).args(["completions", "zsh"]).output().unwrap();
    std::fs::create_dir(bucket.path().join("functions")).unwrap();
    std::fs::write(bucket.path().join("functions/_maand"), ours.stdout).unwrap();
    // A line editor of its own, on a pseudo-terminal.
    let script = r#"
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell 'PS1= RPS1=; fpath=($PWD/functions $fpath); autoload -Uz compinit && compinit -D -u; echo rea""dy'
zpty -r -m shell line '*ready*'
zpty -w -n shell $'maand deploy --workers 10.\t'
zpty -r -m shell line '*10.0.0.1*'
print -r -- "$line"
zpty -d shell"#;
    let mut said = String::new();
    let until = Instant::now() + Duration::from_secs(30);
    while !said.contains("10.0.0.1") && Instant::now() < until {
        let mut shell = Command::new("timeout");
        shell.args(["10", "zsh", "-f", "-c", script]).current_dir(bucket.path()).stdin(Stdio::null());
        said = String::from_utf8_lossy(&shell.output().unwrap().stdout).into_owned();
    }
    assert!(said.contains("10.0.0.1"), "{said}");
}

#[test]
fn a_thousand_workers_are_offered_within_its_bound() {
    let bucket = bucket(1000);
    let words = ["maand", "deploy", "--workers", "10.0.3."];
    assert_eq!(offered_once(bucket.path(), &words, |found| found.len() == 250).len(), 250);
}
