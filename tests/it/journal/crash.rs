//! Death at a commit, in a real process: this test binary starts itself.

use std::path::Path;
use std::process::{Command, ExitStatus};

use maand::engine::Fact;
use maand::journal::{CRASH_AT, CRASH_WHEN, Journal, Mode};

use super::support::{header, started};

const CHILD: &str = "MAAND_TEST_JOURNAL_DIR";

/// The child's part; as a test of its own it does nothing.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let mut journal = Journal::open(Path::new(&dir), Mode::ReadWrite).unwrap();
    let (run, _) = journal.create_run(&header(1), &[started()]).unwrap();
    let mut writer = journal.writer(&run, 1, 1).unwrap();
    for wave in 0..5 {
        writer.append(1, &[Fact::WaveStarted { wave }, Fact::BeforeDone], None).unwrap();
    }
}

fn run_child(dir: &Path, at: u32, when: &str) -> ExitStatus {
    Command::new(std::env::current_exe().unwrap())
        .args(["journal::crash::child", "--exact", "--quiet"])
        .env(CHILD, dir)
        .env(CRASH_AT, at.to_string())
        .env(CRASH_WHEN, when)
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap()
}

#[test]
fn what_was_committed_survives_a_kill_and_nothing_else() {
    use std::os::unix::process::ExitStatusExt;
    for at in [1, 2, 4, 6] {
        for (when, lost) in [("before", 1), ("after", 0)] {
            let dir = assert_fs::TempDir::new().unwrap();
            assert_eq!(run_child(dir.path(), at, when).signal(), Some(9), "{when} {at}");
            let mut journal = Journal::open(dir.path(), Mode::ReadWrite).unwrap();
            let commits = at - lost;
            if commits == 0 {
                assert_eq!(journal.runs().unwrap(), []);
                continue;
            }
            let run = journal.find(None).unwrap();
            let expected = 1 + 2 * (commits as usize - 1);
            assert_eq!(journal.read(&run).unwrap().map(Result::unwrap).count(), expected, "{when} {at}");
            assert_eq!(journal.raise_epoch(&run).unwrap(), 2);
            let mut writer = journal.writer(&run, 2, expected as u64).unwrap();
            let next = writer.append(1, &[Fact::BeforeDone], None).unwrap();
            assert_eq!(next[0].seq, expected as u64 + 1);
        }
    }
    let dir = assert_fs::TempDir::new().unwrap();
    assert!(run_child(dir.path(), 7, "after").success(), "there is no seventh commit");
}
