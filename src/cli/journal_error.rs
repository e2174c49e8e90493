//! What goes wrong with the journal and the run lock: the message is the journal's; what to do about it, with
//! the commands that do it, is said here.

use crate::journal::{Holder, JournalError, LockError, Place, RunSummary};
use crate::os::ProcessState;
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

/// What an operator who wanted the run lock is told.
pub(super) fn lock_problem(error: &LockError) -> Problem {
    match error {
        LockError::Held(holder) => held(holder),
        LockError::Server(error) => Problem::error(error.code(), error.to_string()).help(help(error)),
        LockError::Failed { path, .. } => {
            let folder = path.parent().unwrap_or(path).display();
            Problem::error("maand::lock::failed", error.to_string())
                .help(format!("see that {folder} is a folder that you may write to, with room on its disk"))
        }
    }
}

/// The same where it is held by another process.
pub(super) fn held(holder: &Holder) -> Problem {
    let name = holder.run.as_deref().unwrap_or_default();
    let pid = holder.process.pid;
    let (state, help) = match holder.process.state() {
        ProcessState::Alive if holder.operation.as_deref() == Some(crate::run::PRUNING) => {
            ("", "wait until it has ended: it forgets old runs".to_owned())
        }
        ProcessState::Alive if holder.run.is_none() && pid != 0 => (
            "",
            format!(
                "it looks at the workers, or waits for its operator to say yes; wait until it has ended, or end it with \
                 `kill {pid}`: it has changed nothing yet"
            ),
        ),
        ProcessState::Alive => (
            "",
            format!(
                "wait until it has ended; `maand plan status {name}` shows how far it is, `maand plan pause \
                 {name}` and `maand plan abort {name}` stop it"
            ),
        ),
        ProcessState::Stopped => (
            " and is stopped",
            format!(
                "continue it with `kill -CONT {}`, or take the run over with `maand plan resume {name} \
                 --take-over`",
                holder.process.pid
            ),
        ),
        ProcessState::Gone => (
            " and is gone, but a process that it started still holds the lock",
            format!("take the run over with `maand plan resume {name} --take-over`"),
        ),
        ProcessState::Elsewhere => (
            "",
            format!(
                "it is on another machine or in another container; when you have seen that it is dead: \
                 `maand plan resume {name} --take-over`"
            ),
        ),
    };
    let message = format!("another operation is under way: {}{state}", holder.describe());
    Problem::error("maand::lock::held", message).help(help)
}

/// So many runs are listed to choose from.
const RUNS_SHOWN: usize = 10;

fn help(error: &JournalError) -> String {
    let folder = |path: &std::path::Path| path.parent().unwrap_or(path).display().to_string();
    let disk = |place: &Place| place.file().map_or_else(|| place.to_string(), folder);
    match error {
        JournalError::DiskFull { place, .. } => format!(
            "nothing that was not recorded has been started; make room on the disk of {}, then continue with \
             `maand plan resume`",
            disk(place)
        ),
        JournalError::LittleSpace { .. } => "make room, then try again; nothing has been touched".into(),
        JournalError::UnknownSpace { .. } => "see that the folder exists and can be read".into(),
        JournalError::Create { path, .. } => {
            format!("see that {} is a folder that you may write to", folder(path))
        }
        JournalError::NoRight { .. } => {
            "docs/ledger.md has the statements that make users and give them their rights; `maand ledger migrate --user \
             NAME` makes the tables as another user"
                .into()
        }
        JournalError::ReadOnly { place: Place::Server(_), .. } => {
            "docs/ledger.md has the statements that give the rights; `maand ledger check` says which are missing".into()
        }
        JournalError::ReadOnly { place, .. } => {
            let folder = disk(place);
            format!("see that {folder} exists, is mounted for writing and belongs to you: `ls -la {folder}`")
        }
        JournalError::Busy { place: Place::Server(_), .. } => {
            "another session holds what is needed: `SELECT * FROM pg_stat_activity` shows it; then try again".into()
        }
        JournalError::Busy { place, .. } => {
            format!("`fuser -v {}` names the process; try again when it has ended", place)
        }
        JournalError::OlderInUse { .. } => {
            "wait until it has ended, or control it with the maand that started it; after that this one \
             continues it"
                .into()
        }
        JournalError::Corrupt { place: Place::Server(_), .. } => {
            "do not continue from it: a run that trusts a damaged ledger could reboot a worker twice. Restore the database from a \
             backup, and look at the workers by hand: workspace/disabled.json names those that are still disabled"
                .into()
        }
        JournalError::Corrupt { place, .. } => format!(
            "do not continue from it: a run that trusts a damaged journal could reboot a worker twice. Restore \
             {} from a backup, or move it (with its -wal and -shm) away and look at the workers by hand: \
             workspace/disabled.json names those that are still disabled",
            place
        ),
        JournalError::NotOurs { path, .. } => format!(
            "files there must be plain ones of yours, made by maand itself: look at {} with `ls -la`, and move \
             away what somebody else has put there",
            folder(path)
        ),
        JournalError::Foreign { place, .. } => {
            format!("move {} away; a new one is made by the next `maand plan apply`", place)
        }
        JournalError::NewerFormat { .. } => {
            "use that version, or a newer one; this one would lose what it does not know".into()
        }
        JournalError::NewerHeader { .. } => "a newer maand may have written it; use that one".into(),
        JournalError::NewerFact { .. } => {
            "a newer maand has worked on this run; use that version, or a newer one".into()
        }
        JournalError::Io { place, .. } => format!(
            "look at the kernel's messages (`dmesg`) and at the disk of {}; what was recorded before is kept, \
             and `maand plan resume` continues from there",
            disk(place)
        ),
        JournalError::Away { place, .. } => format!(
            "nothing that was not recorded has been started; see that {place} runs and lets this machine in \
             (`psql {place}`), then continue with `maand plan resume`"
        ),
        JournalError::NotEmpty { .. } => "copy into an empty one; `maand plan list` shows what there is".into(),
        JournalError::Address(_) => "write `ledger = \"postgres://USER@HOST/DATABASE\"` there; the password comes from PGPASSWORD, or from \
                                     PGPASSFILE or ~/.pgpass"
            .into(),
        JournalError::NoBucketId { .. } => "run `maand init` in the bucket: it adds one and changes nothing else".into(),
        JournalError::NoJournal { .. } | JournalError::NoTables { .. } | JournalError::NoRun => {
            "`maand plan apply PLAN` starts one".into()
        }
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
        JournalError::Replaced { path, .. } => format!(
            "nothing more was begun. Put the journal that this run was writing back as {} (with its -wal and -shm); \
             if it is lost, look at the workers by hand before anything is applied: workspace/disabled.json names \
             those that are still disabled",
            path.display()
        ),
        JournalError::NetworkFilesystem { .. } => {
            "locks and syncs do not work reliably there, and a run could be lost or carried out twice; keep \
             the bucket on a local disk of the machine that runs maand"
                .into()
        }
        JournalError::OldSqlite { needed, .. } => format!("build it with SQLite {needed} or newer"),
        JournalError::UnsafeSettings { place: Place::Server(_), .. } => {
            "a server with these settings forgets what it has said to have: turn them on in postgresql.conf, or for this \
             database by `ALTER DATABASE`"
                .into()
        }
        JournalError::UnsafeSettings { .. } => "keep the bucket on an ordinary local filesystem".into(),
        JournalError::Encode { .. } => "this is a bug in maand: please report it".into(),
        JournalError::Store { place: Place::Server(_), .. } => {
            "`maand ledger check` says what is missing there; by a user who may make tables, `maand ledger migrate` makes them".into()
        }
        JournalError::Store { place, .. } => {
            format!("see whether {} and its folder are as they should be, then try again", place)
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
    fn a_held_lock_is_said_with_who_holds_it_and_what_to_do() {
        let mut holder = Holder::this_process(Some("one".to_owned()), 1_795_392_900_000);
        let problem = held(&holder);
        assert!(problem.message.contains(&format!("process {}", std::process::id())), "{problem}");
        assert!(problem.help.unwrap().contains("maand plan status one"));
        holder.process.host = "another.example".to_owned();
        assert!(held(&holder).help.unwrap().contains("maand plan resume one --take-over"));
    }

    #[test]
    fn a_lock_without_a_run_is_said_with_the_operation_that_holds_it() {
        let holder = Holder::this_process(None, 1_795_392_900_000).doing("maand plan apply");
        let problem = held(&holder);
        let pid = std::process::id();
        let who = format!("{} (process {pid} on {})", holder.who, holder.process.host);
        let words = "with `maand plan apply`, which has begun no run yet, since 2026-11-23";
        assert!(problem.message.contains(&format!("{who} {words}")), "{problem}");
        let help = problem.help.unwrap();
        assert!(help.contains(&format!("kill {pid}")) && !help.contains("plan status"), "{help}");
    }

    #[test]
    fn a_lock_file_that_cannot_be_written_is_said_with_its_folder() {
        let (path, source) = ("/bucket/data/plan.lock".into(), std::io::ErrorKind::PermissionDenied.into());
        let problem = lock_problem(&LockError::Failed { operation: "lock", path, source });
        assert!(problem.message.starts_with("cannot lock /bucket/data/plan.lock: "), "{problem}");
        assert!(problem.help.unwrap().contains("/bucket/data is a folder"));
    }

    #[test]
    fn a_full_disk_is_said_with_what_continues_the_run() {
        let place = Place::File("/bucket/data/plan.db".into());
        let source = sqlite(rusqlite::ffi::SQLITE_FULL).into();
        let problem = Problem::from(JournalError::DiskFull { operation: Operation::Write, place, source });
        assert_eq!(problem.code, codes::FULL);
        assert_eq!(problem.message, "cannot write to /bucket/data/plan.db: the disk is full");
        let help = problem.help.unwrap();
        assert!(help.contains("disk of /bucket/data,") && help.contains("maand plan resume"), "{help}");
    }

    #[test]
    fn damage_is_said_with_where_to_look() {
        let place = Place::File("/bucket/data/plan.db".into());
        let error = JournalError::Corrupt { place, what: "fact 5 is missing".into(), source: None };
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
