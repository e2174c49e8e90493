//! What goes wrong with the journal, in words: the message is the journal's; what to do about it, with
//! the commands that do it, is said here.

use crate::journal::{JournalError, RunSummary};
use crate::plan::Problem;

impl From<JournalError> for super::CliError {
    fn from(error: JournalError) -> Self {
        Problem::from(error).into()
    }
}

impl From<JournalError> for Problem {
    fn from(error: JournalError) -> Self {
        Self::error(error.code(), error.to_string()).help(help(&error))
    }
}

/// So many runs are listed to choose from.
const RUNS_SHOWN: usize = 10;

fn help(error: &JournalError) -> String {
    let folder = |path: &std::path::Path| path.parent().unwrap_or(path).display().to_string();
    match error {
        JournalError::DiskFull { path, .. } => format!(
            "nothing that was not recorded has been started; make room on the disk of {}, then continue with \
             `maand plan resume`",
            folder(path)
        ),
        JournalError::LittleSpace { .. } => "make room, then try again; nothing has been touched".into(),
        JournalError::UnknownSpace { .. } => "see that the folder exists and can be read".into(),
        JournalError::Create { path, .. } => {
            format!("see that {} is a folder that you may write to", folder(path))
        }
        JournalError::ReadOnly { path, .. } => {
            let folder = folder(path);
            format!("see that {folder} exists, is mounted for writing and belongs to you: `ls -la {folder}`")
        }
        JournalError::Busy { path, .. } => {
            format!("`fuser -v {}` names the process; try again when it has ended", path.display())
        }
        JournalError::OlderInUse { .. } => {
            "wait until it has ended, or control it with the maand that started it; after that this one \
             continues it"
                .into()
        }
        JournalError::Corrupt { path, .. } => format!(
            "do not continue from it: a run that trusts a damaged journal could reboot a worker twice. Restore \
             {} from a backup, or move it (with its -wal and -shm) away and look at the workers by hand: \
             workspace/disabled.json names those that are still disabled",
            path.display()
        ),
        JournalError::Foreign { path, .. } => {
            format!("move {} away; a new one is made by the next `maand plan apply`", path.display())
        }
        JournalError::NewerFormat { .. } => {
            "use that version, or a newer one; this one would lose what it does not know".into()
        }
        JournalError::NewerHeader { .. } => "a newer maand may have written it; use that one".into(),
        JournalError::NewerFact { .. } => {
            "a newer maand has worked on this run; use that version, or a newer one".into()
        }
        JournalError::Io { path, .. } => format!(
            "look at the kernel's messages (`dmesg`) and at the disk of {}; what was recorded before is kept, \
             and `maand plan resume` continues from there",
            folder(path)
        ),
        JournalError::NoJournal { .. } | JournalError::NoRun => "`maand plan apply PLAN` starts one".into(),
        JournalError::UnknownRun { newest: runs, .. } | JournalError::AmbiguousRun { fitting: runs, .. } => {
            if runs.is_empty() {
                return "`maand plan list` shows all runs".into();
            }
            let line = |run: &RunSummary| format!("  {}  {}  {}", run.id, run.plan, run.state.as_str());
            let list: Vec<_> = runs.iter().take(RUNS_SHOWN).map(line).collect();
            format!("the runs are (`maand plan list` shows all):\n{}", list.join("\n"))
        }
        JournalError::Fenced { run, .. } => {
            format!("this one stops here and does nothing more; `maand plan status {run}` shows the run")
        }
        JournalError::Finished { run } => {
            format!("`maand plan status {run}` shows how it ended; `maand plan apply` starts a new run")
        }
        JournalError::Changed { run, .. } => format!(
            "this one stops here and does nothing more; `maand plan resume {run}` continues from what is recorded"
        ),
        JournalError::NetworkFilesystem { .. } => {
            "locks and syncs do not work reliably there, and a run could be lost or carried out twice; keep \
             the bucket on a local disk of the machine that runs maand"
                .into()
        }
        JournalError::OldSqlite { needed, .. } => format!("build it with SQLite {needed} or newer"),
        JournalError::UnsafeSettings { .. } => "keep the bucket on an ordinary local filesystem".into(),
        JournalError::Encode { .. } => "this is a bug in maand: please report it".into(),
        JournalError::Sqlite { path, .. } => {
            format!("see whether {} and its folder are as they should be, then try again", path.display())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Journal, Mode, Operation, codes};

    fn sqlite(code: i32) -> rusqlite::Error {
        rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None)
    }

    #[test]
    fn a_full_disk_is_said_with_what_continues_the_run() {
        let path = "/bucket/data/plan.db".into();
        let source = sqlite(rusqlite::ffi::SQLITE_FULL);
        let problem = Problem::from(JournalError::DiskFull { operation: Operation::Write, path, source });
        assert_eq!(problem.code, codes::FULL);
        assert_eq!(problem.message, "cannot write to /bucket/data/plan.db: the disk is full");
        let help = problem.help.unwrap();
        assert!(help.contains("disk of /bucket/data,") && help.contains("maand plan resume"), "{help}");
    }

    #[test]
    fn damage_is_said_with_where_to_look() {
        let path = "/bucket/data/plan.db".into();
        let error = JournalError::Corrupt { path, what: "fact 5 is missing".into(), source: None };
        let problem = Problem::from(error);
        assert_eq!(problem.message, "/bucket/data/plan.db is damaged: fact 5 is missing");
        assert!(problem.help.unwrap().contains("workspace/disabled.json"));
    }

    #[test]
    fn a_bucket_without_a_run_is_told_how_to_start_one() {
        let dir = tempfile::tempdir().unwrap();
        let missing = Problem::from(Journal::open(dir.path(), Mode::ReadOnly).unwrap_err());
        let empty = Journal::open(dir.path(), Mode::ReadWrite).unwrap().find(None).unwrap_err();
        for problem in [missing, empty.into()] {
            assert_eq!(problem.code, codes::NONE);
            assert!(problem.help.unwrap().contains("maand plan apply"));
        }
    }
}
