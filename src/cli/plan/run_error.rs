//! What the command line says when an operation on a run fails: code, hint and exit code.

use super::super::{CliError, Exit, engine, journal_error};
use crate::engine::{ErrorKind, RunEnd, StepError};
use crate::journal::{JournalError, RunId, codes};
use crate::plan::{Problem, Problems};
use crate::run::{NotReady, NotTaken, Obstacle, RunError};
use crate::runner::LoopError;

impl From<RunError> for CliError {
    fn from(error: RunError) -> Self {
        let message = error.to_string();
        let problem = |code| Problem::error(code, message.as_str());
        match error {
            RunError::Input(problems) => problems.into(),
            RunError::Setting(problem) => problem.into(),
            RunError::Journal(error) => error.into(),
            RunError::Locked(holder) => Self::new(Exit::Locked, journal_error::held(&holder)),
            RunError::LockFile(error) => journal_error::lock_problem(&error).into(),
            RunError::Catalog(error) => engine::catalog_error(error),
            RunError::NotReady(bad) => not_ready(&bad),
            RunError::Stopped(error) => stopped(error),
            RunError::AllLeftAlone { .. } => problem("maand::run::all_left_alone")
                .help("take their entries out of workspace/disabled.json, or choose other workers")
                .into(),
            RunError::Unfinished { halted, .. } => {
                let help = if halted {
                    "continue it:\n  maand plan resume --retry\nor end it for good:\n  maand plan abort"
                } else {
                    "continue it:\n  maand plan resume\nor end it for good:\n  maand plan abort"
                };
                Self::new(Exit::Locked, problem("maand::run::unfinished").help(help))
            }
            RunError::Finished { run, end, .. } => {
                let exit = if end == RunEnd::Succeeded { Exit::Done } else { Exit::Failed };
                let help = format!("this shows how it ended:\n  maand plan status {run}");
                Self::new(exit, problem(codes::FINISHED).help(help))
            }
            RunError::NotShared => problem("maand::run::not_shared")
                .help("keep the runs in a PostgreSQL: `ledger = \"postgres://USER@HOST/DATABASE\"` in maand.conf")
                .into(),
            RunError::NotFenced { run, .. } => {
                let help = format!(
                    "commands of `local` steps that refuse an old controller by themselves say so with `fenced: true`; when you \
                     have seen that its controller is dead:\n  maand plan resume {run}"
                );
                Self::new(Exit::Invalid, problem("maand::run::not_fenced").help(help))
            }
            RunError::Halted { run, .. } => {
                let help = format!(
                    "fix the cause, and let the failed workers continue at their failed steps:\n  \
                     maand plan resume {run} --retry\n\
                     or leave them as they are and continue with the others:\n  maand plan resume {run} --skip"
                );
                Self::new(Exit::Failed, problem("maand::run::halted").help(help))
            }
            RunError::NotTaken(why) => not_taken(&why, None),
            RunError::NewerHere { run, .. } => {
                let help = format!("continue it from the journal here:\n  maand plan resume {run}");
                Self::new(Exit::Locked, problem("maand::bundle::newer_here").help(help))
            }
            RunError::OtherHere { run, .. } => {
                let help = format!(
                    "one of the two was continued from an older copy; workers refuse that one. Continue where the \
                     other is; `maand plan status {run}` shows what this journal knows"
                );
                Self::new(Exit::Locked, problem("maand::bundle::other_here").help(help))
            }
            RunError::WorkspaceChanged { .. } => problem("maand::run::workspace_changed")
                .help("undo the change, or continue with it:\n  maand plan resume --accept-changes")
                .into(),
            RunError::Stale { changes } => stale(changes, &message),
            RunError::CarriedOut { run } => problem("maand::review::carried_out")
                .help(format!(
                    "`maand plan status {run}` shows how it ended. Review the plan again, which makes another file:\n  \
                     maand plan show PLAN --out FILE\nor carry the same out once more:\n  maand plan apply FILE --again"
                ))
                .into(),
            RunError::Encode(_) => {
                Self::new(Exit::Bug, problem("maand::bug").help("this is a bug in maand: please report it"))
            }
            RunError::Unreadable { .. } => {
                problem("maand::bucket::unreadable").help("check its permissions").into()
            }
            RunError::OtherVersion { program } => problem("maand::run::other_version")
                .help(format!("continue with maand {program}, or abort the run and apply the plan again"))
                .into(),
            RunError::IllegalFact { .. } => {
                let help = "another version of maand wrote it, or this is a bug; use the version that wrote it. \
                            Nothing was touched";
                Self::new(Exit::Bug, problem("maand::run::illegal_fact").help(help))
            }
            RunError::Refused(_) => problem("maand::run::refused")
                .help("`maand plan status` shows where the run and its workers stand")
                .into(),
            RunError::NoAnswer(_) => {
                let help = "it takes the request when it wakes up; if it never will:\n  maand plan resume --take-over";
                Self::new(Exit::Locked, problem("maand::run::no_answer").help(help))
            }
            RunError::NoController(run) => {
                let help = format!(
                    "continue it:\n  maand plan resume {run}\nor end it for good:\n  maand plan abort {run}"
                );
                Self::new(Exit::Resumable, problem("maand::run::no_controller").help(help))
            }
            RunError::UnknownWorker { run, .. } => problem("maand::run::unknown_worker")
                .help(format!("`maand plan status {run}` lists them"))
                .into(),
            RunError::NoSuchWorker(_) => problem("maand::unknown_worker")
                .help("see `maand cat workers`; hosts are written as in workers.json")
                .into(),
            RunError::Unreachable(_) => {
                let help = "the claim is a file on the worker: it can be cleared when the worker answers";
                Self::new(Exit::Failed, problem("maand::ssh::unreachable").help(help))
            }
            RunError::LeftRunning { .. } => {
                let help = "end them, or wait for their end, and resume again: nothing runs beside what an earlier \
                            controller has left";
                Self::new(Exit::Locked, problem("maand::run::left_running").help(help))
            }
            RunError::Signals(_) => {
                let help = "`maand plan resume` continues the run";
                Self::new(Exit::Resumable, problem("maand::run::signals").help(help))
            }
        }
    }
}

/// The run is as the journal has it, and can be resumed, unless another controller has it now.
fn stopped(error: LoopError) -> CliError {
    match error {
        LoopError::Journal(error) => {
            let exit = match error {
                JournalError::Fenced { .. } | JournalError::Finished { .. } => Exit::Locked,
                _ => Exit::Resumable,
            };
            CliError::new(exit, Problem::from(error))
        }
        LoopError::FactsLost(why) => {
            let help = "the journal (data/plan.db) was put back from an older copy, or the bucket was copied while a \
                        run was unfinished, or the run went to another machine (`plan resume --from FILE`). Resume where \
                        the newest one is, or put it back here. Where it is lost, look at the workers by hand, and \
                        end the run with:\n  maand plan abort";
            CliError::new(Exit::Resumable, Problem::error("maand::journal::facts_lost", why).help(help))
        }
        LoopError::TakenOver(why) => {
            let help = "another machine continues this run: nothing more was begun here. `maand plan export` there, and \
                        `maand plan resume --from FILE` here, would bring it back";
            CliError::new(Exit::Locked, Problem::error("maand::run::taken_over", why).help(help))
        }
        LoopError::Broken(why) => {
            let help = "this is a bug in maand: nothing more was begun, and `maand plan resume` continues from \
                        the journal; please report it with `maand plan logs`";
            let problem = Problem::error(
                "maand::bug",
                format!("the engine refused its own fact: {why}: {}", why.detail),
            );
            CliError::new(Exit::Bug, problem.help(help))
        }
    }
}

/// At most so many changes are listed.
const CHANGES_SHOWN: usize = 200;

/// Each thing that has changed since a plan was reviewed, and then what that comes to.
fn stale(changes: Vec<String>, message: &str) -> CliError {
    let mut problems = Problems::new();
    let more = changes.len().saturating_sub(CHANGES_SHOWN);
    for change in changes.into_iter().take(CHANGES_SHOWN) {
        problems.push(Problem::error("maand::review::changed", change));
    }
    if more > 0 {
        problems.push(Problem::error("maand::review::changed", format!("and {more} more changes")));
    }
    problems.push(
        Problem::error("maand::review::stale", format!("{message}: nothing was touched"))
            .help("review what would happen now:\n  maand plan show PLAN --out FILE"),
    );
    CliError::new(Exit::Invalid, problems)
}

/// All that stands against taking a run from a bundle; `typed`: what was typed, to be typed again.
pub(super) fn not_taken(why: &NotTaken, typed: Option<&str>) -> CliError {
    let mut problems = Problems::new();
    for obstacle in &why.obstacles {
        let mut problem = Problem::error(code_of_obstacle(obstacle), obstacle.describe());
        if let Some(help) = help_of_obstacle(obstacle, &why.run) {
            problem = problem.help(help);
        }
        problems.push(problem);
    }
    let mut last = Problem::error("maand::bundle::not_taken", why.to_string());
    if why.obstacles.iter().all(Obstacle::yields_to_take_over) {
        let typed = typed.unwrap_or("maand plan resume --from FILE ");
        last = last.help(format!(
            "if you know that no other controller of this run lives, say so: every worker that answers refuses it from \
             then on; what it does on its own machine, and on workers that do not answer, nobody can stop\n  \
             {typed}--take-over"
        ));
    }
    problems.push(last);
    CliError::new(Exit::Locked, problems)
}

fn code_of_obstacle(obstacle: &Obstacle) -> &'static str {
    match obstacle {
        Obstacle::ControllerLives(_) | Obstacle::ControllerMayLive(_) | Obstacle::ControllerUnknown => {
            "maand::bundle::controller_may_live"
        }
        Obstacle::Newer { .. } => "maand::bundle::older_than_the_run",
        Obstacle::TakenSince { .. } | Obstacle::AtWork { .. } | Obstacle::StillRuns { .. } => {
            "maand::bundle::taken_since"
        }
        Obstacle::UsedSince { .. } => "maand::bundle::used_since",
        Obstacle::Claimed { .. } => "maand::run::claimed",
        Obstacle::ClaimGone { .. } | Obstacle::Forgotten { .. } => "maand::bundle::forgotten",
        Obstacle::NotAsked { error, .. } => code_of(error.kind),
        Obstacle::NobodyAsked => "maand::bundle::nobody_asked",
    }
}

fn help_of_obstacle(obstacle: &Obstacle, run: &RunId) -> Option<String> {
    Some(match obstacle {
        Obstacle::ControllerLives(holder) => format!(
            "stop it, and export the run when it has ended: `kill -INT {}` lets its steps finish",
            holder.process.pid
        ),
        Obstacle::Newer { .. } => format!(
            "the run went on after the bundle was made. Export it again where its newest journal is:\n  \
             maand plan export {run} --out FILE"
        ),
        Obstacle::UsedSince { .. } => {
            "the run has ended elsewhere, or its claims were released: apply the plan again instead"
                .to_owned()
        }
        Obstacle::Claimed { .. } => help_of(ErrorKind::Claimed).to_owned(),
        Obstacle::AtWork { .. } => "look who continues the run; nothing was done here".to_owned(),
        Obstacle::StillRuns { .. } => {
            "wait until it has ended, or end it on the worker: nothing runs beside what an earlier controller has left"
                .to_owned()
        }
        Obstacle::NotAsked { error, .. } => help_of(error.kind).to_owned(),
        _ => return None,
    })
}

/// Each worker that cannot take part, and then what that comes to.
fn not_ready(bad: &NotReady) -> CliError {
    let mut problems = Problems::new();
    let mut once: Vec<(&StepError, Vec<&str>)> = Vec::new();
    for (host, error) in &bad.refused {
        match once.iter_mut().find(|(other, _)| *other == error) {
            Some((_, hosts)) => hosts.push(host),
            None => once.push((error, vec![host])),
        }
    }
    for (error, hosts) in once {
        let message = match hosts.as_slice() {
            [host] if error.message.contains(host) => error.message.clone(),
            // In the same words: of this machine, as a key file that is missing.
            hosts => format!("{}: {}", hosts.join(", "), error.message),
        };
        problems.push(Problem::error(code_of(error.kind), message).help(help_of(error.kind)));
    }
    if bad.is_claimed() {
        return CliError::new(Exit::Locked, problems);
    }
    problems.push(
        Problem::error("maand::run::preflight", bad.to_string())
            .help("fix them, leave them out (`targets: exclude`), or allow more with `max_failures`"),
    );
    CliError::new(Exit::Failed, problems)
}

fn code_of(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::HostKeyChanged => "maand::ssh::host_key_changed",
        ErrorKind::HostKeyUnknown => "maand::ssh::host_key_unknown",
        ErrorKind::AuthRefused => "maand::ssh::auth_refused",
        ErrorKind::SudoWantsPassword => "maand::ssh::sudo_wants_password",
        ErrorKind::MissingTool => "maand::run::missing_tool",
        ErrorKind::SameHost => "maand::run::same_host",
        ErrorKind::RebootPending => "maand::run::reboot_pending",
        ErrorKind::Claimed => "maand::run::claimed",
        ErrorKind::BootIdUnreadable => "maand::run::boot_id",
        _ => "maand::ssh::unreachable",
    }
}

fn help_of(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::HostKeyChanged => {
            "somebody may be intercepting the connection, or the host was reinstalled (if it was, remove its line \
             from secrets/known_hosts), or its certificate is not good any more (renew it there)"
        }
        ErrorKind::HostKeyUnknown => {
            "add its key to secrets/known_hosts, or permit first keys (host_key_check = \"accept-new\", and \
             StrictHostKeyChecking in the ssh config)"
        }
        ErrorKind::RebootPending => {
            "wait for it, or end it on the worker (`shutdown -c` cancels what is scheduled)"
        }
        ErrorKind::SameHost => "leave one of the two out of workers.json, or out of the plan's targets",
        ErrorKind::Claimed => {
            "wait for that run; if nothing will ever resume it: `maand plan release --worker HOST`"
        }
        // Its message has what to type for this one.
        _ => "`maand doctor` looks at all workers at once, and says what to type about each trouble",
    }
}
