//! What a shell asks for while a command line is typed: hosts, labels, runs, steps, plan files, kinds of faults.
//!
//! It only reads, says nothing but candidates whatever is wrong, and takes no longer than [`WITHIN`]: a shell waits for
//! it after each press of Tab. The registration that [`super::completions`] prints calls this program with [`VARIABLE`]
//! set, which is looked at before anything else.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Duration;

use clap_complete::engine::{ArgValueCompleter, CompletionCandidate, PathCompleter, ValueCompleter};
use clap_complete::env::Shells;

use super::help;
use crate::bucket::Bucket;
use crate::os::{open, quote};
use crate::plan;
use crate::plan::{counted, visible_line};
use crate::review;
use crate::run::{History, RunReader, runs};
use crate::sandbox::FaultKind;

/// Names the shell that asks.
pub(super) const VARIABLE: &str = "MAAND_COMPLETE";

/// A shell that waits longer feels stuck. What is not known by then (a bucket on a disk that sleeps, a journal that is
/// busy) is not offered.
const WITHIN: Duration = Duration::from_millis(80);

/// As many runs are offered, newest first.
const RUNS: usize = 50;

/// Answers a shell, if one asks: `true`, and there is nothing more to do.
pub(super) fn answer() -> bool {
    let Some(shell) = std::env::var_os(VARIABLE).filter(|name| !name.is_empty()) else { return false };
    // Whatever goes wrong here, somebody is typing.
    std::panic::set_hook(Box::new(|_| ()));
    let args = asked();
    let written = std::panic::catch_unwind(|| {
        let shells = Shells::builtins();
        let Some(completer) = shell.to_str().and_then(|name| shells.completer(name)) else {
            return Vec::new();
        };
        let here = std::env::current_dir().ok();
        let mut out = Vec::new();
        let done = match completer.name() {
            "bash" => bash(args, here.as_deref(), &mut out),
            _ => completer.write_complete(&mut help::command(), args, here.as_deref(), &mut out),
        };
        done.map(|()| out).unwrap_or_default()
    });
    let _ = std::io::stdout().lock().write_all(&written.unwrap_or_default());
    true
}

/// The words of the command line that is completed.
fn asked() -> Vec<OsString> {
    std::env::args_os().skip_while(|arg| arg != "--").skip(1).collect()
}

/// Stands for the program in bash's script, until its path does.
const IN_QUOTES: &str = "/program";

/// The line of bash's script by which what stands behind the cursor does not count.
const UP_TO_THE_CURSOR: &str = r#"words[COMP_CWORD]="$2""#;

/// The last line of zsh's script, for one that is read by `source`.
const ONLY_REGISTERED: &str = "compdef _clap_dynamic_completer_maand maand";

/// Instead of it: a file `_maand` that zsh finds by itself is read at the first Tab, and is what that Tab asks.
const REGISTERED_OR_ASKED: &str = r#"if [[ ${funcstack[1]} == _maand ]]; then
    _clap_dynamic_completer_maand "$@"
else
    compdef _clap_dynamic_completer_maand maand
fi"#;

/// The script that a shell reads once; `None`: it is none of ours.
pub(super) fn registration(shell: &str, program: &str) -> Option<Vec<u8>> {
    let mut script = Vec::new();
    let shells = Shells::builtins();
    // Bash's script has it in quotes once more, between which a quoted path is another one.
    let asked = if shell == "bash" { IN_QUOTES } else { program };
    shells.completer(shell)?.write_registration(VARIABLE, "maand", "maand", asked, &mut script).ok()?;
    let script = String::from_utf8_lossy(&script).replace(&format!("\"{IN_QUOTES}\""), &quote(program));
    // Right after a colon bash has the colon as the word, and nothing as what is typed of it.
    let script = script.replace(UP_TO_THE_CURSOR, &format!("[[ -z $2 ]] || {UP_TO_THE_CURSOR}"));
    Some(script.replace(ONLY_REGISTERED, REGISTERED_OR_ASKED).into_bytes())
}

/// Bash takes a line apart at `:`, `=` and `@` too, and replaces what stands after the last of them.
fn bash(args: Vec<OsString>, here: Option<&Path>, out: &mut Vec<u8>) -> std::io::Result<()> {
    let index =
        std::env::var("_CLAP_COMPLETE_INDEX").ok().and_then(|index| index.parse().ok()).unwrap_or_default();
    let (args, index) = put_together(args, index);
    let typed = args.get(index).map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
    // An `@` belongs to what is replaced.
    let kept = typed.rfind(BREAKS).map_or(0, |at| if typed[at..].starts_with('@') { at } else { at + 1 });
    let between = std::env::var("_CLAP_IFS").unwrap_or_else(|_| "\n".to_owned());
    let candidates = clap_complete::engine::complete(&mut help::command(), args, index, here)?;
    let values: Vec<String> = candidates
        .iter()
        .filter_map(|candidate| candidate.get_value().to_string_lossy().get(kept..).map(str::to_owned))
        .collect();
    out.extend(values.join(&between).into_bytes());
    Ok(())
}

const BREAKS: [char; 3] = [':', '=', '@'];

/// Words that bash has taken apart, and the place of the one that is completed.
fn put_together(args: Vec<OsString>, index: usize) -> (Vec<OsString>, usize) {
    let is_break = |word: &OsStr| {
        let text = word.to_string_lossy();
        !text.is_empty() && text.chars().all(|c| BREAKS.contains(&c))
    };
    let (mut words, mut at, mut goes_on): (Vec<OsString>, usize, bool) = (Vec::new(), 0, false);
    for (old, word) in args.into_iter().enumerate() {
        let breaks = is_break(&word);
        match words.last_mut().filter(|_| (breaks || goes_on) && old > 1) {
            // What comes after an `@` has it in front of it once more.
            Some(last) if last.to_string_lossy().ends_with('@') => {
                last.push(word.to_string_lossy().trim_start_matches('@'));
            }
            Some(last) => last.push(&word),
            None => words.push(word),
        }
        goes_on = breaks;
        if old == index {
            at = words.len() - 1;
        }
    }
    (words, at)
}

/// What is found within the time that there is.
fn in_time(
    find: impl FnOnce() -> Vec<(String, Option<String>)> + Send + 'static,
) -> Vec<CompletionCandidate> {
    let (sender, found) = channel();
    let spawned = std::thread::Builder::new().spawn(move || {
        let _ = sender.send(find());
    });
    if spawned.is_err() {
        return Vec::new();
    }
    let found = found.recv_timeout(WITHIN).unwrap_or_default();
    // A shell makes words of what it gets: what is no plain word is not offered.
    let is_plain = |text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic() && !"'\"\\$`;&|<>(){}!#".contains(c))
    };
    let found = found.into_iter().filter(|(value, _)| is_plain(value));
    found
        .map(|(value, help)| {
            CompletionCandidate::new(value).help(help.map(|help| visible_line(&help).into()))
        })
        .collect()
}

fn beginning(current: &OsStr, found: Vec<CompletionCandidate>) -> Vec<CompletionCandidate> {
    let current = current.to_string_lossy();
    found.into_iter().filter(|one| one.get_value().to_string_lossy().starts_with(&*current)).collect()
}

/// The bucket that the line is about.
fn bucket() -> Option<Bucket> {
    let args = asked();
    let words: Vec<_> = args.iter().map(|arg| arg.to_string_lossy()).collect();
    let apart =
        words.iter().zip(words.iter().skip(1)).filter(|(flag, _)| *flag == "-C" || *flag == "--bucket");
    let apart = apart.map(|(_, folder)| folder.to_string());
    let attached = words.iter().filter_map(|word| word.strip_prefix("--bucket=").map(str::to_owned));
    let named = apart.chain(attached).last().map(OsString::from);
    let named = named.or_else(|| std::env::var_os("MAAND_BUCKET").filter(|folder| !folder.is_empty()));
    Bucket::find_if_any(named.as_deref().map(Path::new)).ok().flatten()
}

/// The same where its runs are in a file: a login to a database takes longer than anybody waits for Tab.
fn bucket_with_runs() -> Option<Bucket> {
    bucket().filter(|bucket| bucket.settings().ledger.is_none())
}

/// For `add = `: hosts of the bucket, and labels.
pub(super) fn hosts() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let labels_too = "label:".starts_with(&*current.to_string_lossy())
            || current.to_string_lossy().starts_with("label:");
        let found = in_time(move || {
            let Some((fleet, _)) = bucket().and_then(|bucket| bucket.load().ok()) else { return Vec::new() };
            let described = |worker: &crate::bucket::Worker| {
                worker.labels.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
            };
            let mut found: Vec<_> = fleet
                .workers
                .iter()
                .map(|worker| (worker.host.to_string(), Some(described(worker))))
                .collect();
            if labels_too {
                let labels: std::collections::BTreeSet<_> =
                    fleet.workers.iter().flat_map(|worker| worker.labels.iter()).collect();
                found.extend(labels.into_iter().map(|label| (format!("label:{label}"), None)));
            }
            found
        });
        beginning(current, found)
    })
}

/// For `add = `: hosts of the bucket, without labels.
pub(super) fn host_names() -> ArgValueCompleter {
    of_workers(|worker| vec![worker.host.to_string()])
}

/// For `add = `: labels of the workers.
pub(super) fn labels() -> ArgValueCompleter {
    of_workers(|worker| worker.labels.iter().cloned().collect())
}

/// For `add = `: keys of the tags of the workers.
pub(super) fn tag_keys() -> ArgValueCompleter {
    of_workers(|worker| worker.tags.keys().cloned().collect())
}

/// What the workers of the bucket have, each word once.
fn of_workers(words: fn(&crate::bucket::Worker) -> Vec<String>) -> ArgValueCompleter {
    ArgValueCompleter::new(move |current: &OsStr| {
        let found = in_time(move || {
            let Some((fleet, _)) = bucket().and_then(|bucket| bucket.load().ok()) else { return Vec::new() };
            let all: BTreeSet<String> = fleet.workers.iter().flat_map(words).collect();
            all.into_iter().map(|word| (word, None)).collect()
        });
        beginning(current, found)
    })
}

/// For `add = `: jobs of the bucket.
pub(super) fn jobs() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let found = in_time(|| {
            let Some((fleet, _)) = bucket().and_then(|bucket| bucket.load().ok()) else { return Vec::new() };
            fleet.jobs.iter().map(|job| (job.name.to_string(), None)).collect()
        });
        beginning(current, found)
    })
}

/// For `add = `: runs of the bucket, newest first.
pub(super) fn run_names() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let found = in_time(|| {
            let Some(runs) = bucket_with_runs().and_then(|bucket| runs(&bucket).ok()) else {
                return Vec::new();
            };
            let described = |run: &crate::run::ListedRun| format!("{}, {}", run.run.plan, run.state.as_str());
            runs.iter().take(RUNS).map(|run| (run.run.id.to_string(), Some(described(run)))).collect()
        });
        let ordered = found.into_iter().enumerate().map(|(at, one)| one.display_order(Some(at)));
        beginning(current, ordered.collect())
    })
}

/// For `add = `: plans that were run.
pub(super) fn plan_names() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let found = in_time(|| {
            let Some(history) = bucket_with_runs().and_then(|bucket| History::open(&bucket).ok()) else {
                return Vec::new();
            };
            let described = |runs: usize| Some(counted(runs, "run"));
            history.plans().into_iter().map(|(plan, runs)| (plan.to_owned(), described(runs))).collect()
        });
        beginning(current, found)
    })
}

/// For `add = `: operators who have started runs lately.
pub(super) fn authors() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let found = in_time(|| {
            let Some(history) = bucket_with_runs().and_then(|bucket| History::open(&bucket).ok()) else {
                return Vec::new();
            };
            let newest = history.runs.iter().take(RUNS);
            let authors: BTreeSet<String> = newest.filter_map(|run| history.author(&run.run.id)).collect();
            authors.into_iter().map(|author| (author, None)).collect()
        });
        beginning(current, found)
    })
}

/// For `add = `: steps of the run that is named, or of the one that is meant without a name.
pub(super) fn steps() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let found = in_time(|| {
            let Some(bucket) = bucket_with_runs() else { return Vec::new() };
            let known = runs(&bucket).unwrap_or_default();
            let named = asked().iter().find_map(|word| {
                let id = known.iter().map(|run| run.run.id.as_str()).find(|id| word == *id)?;
                Some(id.to_owned())
            });
            let Ok(run) = RunReader::open_unfinished(&bucket, named.as_deref()) else { return Vec::new() };
            step_ids(&run.graph.plan)
        });
        beginning(current, found)
    })
}

fn step_ids(plan: &plan::Plan) -> Vec<(String, Option<String>)> {
    let all = plan.before.iter().chain(&plan.steps).chain(&plan.after);
    all.map(|step| (step.id.clone(), Some(step.kind.keyword().to_owned()))).collect()
}

/// For `add = `: files that may be plans. Only names are looked at.
pub(super) fn plan_files() -> ArgValueCompleter {
    let is_plan =
        |path: &Path| path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    let files = PathCompleter::any().filter(is_plan).stdio();
    ArgValueCompleter::new(move |current: &OsStr| files.complete(current))
}

/// For `add = `: as [`plan_files`], and reviewed plan files: by name, or by what a file begins with that is called as
/// if it could be one.
pub(super) fn plan_and_reviewed_files() -> ArgValueCompleter {
    let files = PathCompleter::any().filter(|path| match path.extension().and_then(OsStr::to_str) {
        Some("yaml" | "yml" | "reviewed") => true,
        Some("json" | "plan") => begins_as_reviewed(path),
        _ => false,
    });
    let files = files.stdio();
    ArgValueCompleter::new(move |current: &OsStr| files.complete(current))
}

fn begins_as_reviewed(path: &Path) -> bool {
    let mut head = Vec::new();
    let read = open::plain(path).and_then(|file| file.take(256).read_to_end(&mut head));
    read.is_ok() && review::is_reviewed(&head)
}

/// For `add = `: files that may be plans, and runs.
pub(super) fn plans_and_runs() -> ArgValueCompleter {
    let (files, runs) = (plan_files(), run_names());
    ArgValueCompleter::new(move |current: &OsStr| {
        let mut found = files.complete(current);
        found.extend(runs.complete(current));
        found
    })
}

/// For `add = `: `HOST:KIND[@STEP]`.
pub(super) fn faults() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let typed = current.to_string_lossy().into_owned();
        let found = in_time(move || match typed.rsplit_once(':') {
            Some((host, rest)) => match rest.split_once('@') {
                Some((kind, _)) => plan_on_the_line()
                    .map(|plan| step_ids(&plan))
                    .unwrap_or_default()
                    .into_iter()
                    .map(|(step, help)| (format!("{host}:{kind}@{step}"), help))
                    .collect(),
                None => FaultKind::ALL.iter().map(|(_, kind)| (format!("{host}:{kind}"), None)).collect(),
            },
            None => {
                let hosts: Vec<String> = bucket()
                    .and_then(|bucket| bucket.load().ok())
                    .map(|(fleet, _)| fleet.workers.iter().map(|worker| worker.host.to_string()).collect())
                    .filter(|hosts: &Vec<String>| !hosts.is_empty())
                    .unwrap_or_else(|| (1..=3).map(|n| n.to_string()).collect());
                hosts.into_iter().map(|host| (format!("{host}:"), None)).collect()
            }
        });
        beginning(current, found)
    })
}

/// The plan of the line, where its variables have defaults.
fn plan_on_the_line() -> Option<plan::Plan> {
    let args = asked();
    let mut names = args.iter().filter_map(|arg| arg.to_str());
    let file = names.rfind(|name| name.ends_with(".yaml") || name.ends_with(".yml"))?;
    plan::parse(&super::plan::read_plan(file).ok()?, &[]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_bash_takes_apart_is_put_together() {
        for (line, index, expected, at) in [
            ("maand plan show", 2, "maand plan show", 2),
            ("maand deploy --workers label : ap", 5, "maand deploy --workers label:ap", 3),
            ("maand deploy --workers = 10.0", 4, "maand deploy --workers=10.0", 2),
            (
                "maand x --fault 10.0.0.1 : hangs @ @re --set a = b",
                7,
                "maand x --fault 10.0.0.1:hangs@re --set a=b",
                3,
            ),
            ("maand x --worker fe80 :: 1", 5, "maand x --worker fe80::1", 3),
        ] {
            let words = line.split(' ').map(OsString::from).collect();
            let (words, found) = put_together(words, index);
            let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
            assert_eq!((words.join(" ").as_str(), found), (expected, at), "{line}");
        }
    }
}
