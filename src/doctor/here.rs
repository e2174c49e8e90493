//! This machine: what it brings along for every worker, and where it keeps what a run writes down.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::{Access, access, statvfs};

use super::finding::Finding;
use crate::bucket::{Bucket, lock};
use crate::journal::Location;
use crate::os::{disk, limits, open, quote};
use crate::plan::{self, Problem, counted};
use crate::ssh::{AgentLook, Cause, Destination, Layer, NamedKey, agent_look, key_look};

/// Bytes: a run of a small fleet needs about so much, and a journal grows.
const SPACE: (u64, u64) = (48 << 20, 512 << 20);
/// Inodes.
const INODES: u64 = 1_000;
/// Descriptors of one attempt on a worker, and those that are not for attempts: as attempts of a run count them.
const DESCRIPTORS: (u64, u64) = (8, 128);
/// Attempts that are made at the same time at most.
const AT_ONCE: u64 = 1024;

/// What is known before this machine is looked at.
pub struct Scene<'a> {
    /// The bucket.
    pub bucket: &'a Bucket,
    /// What is wrong with its files.
    pub problems: &'a plan::Problems,
    /// Where logins go.
    pub destinations: &'a [&'a Destination],
    /// How many of the workers could be logged in to, of how many.
    pub logged_in: (usize, usize),
    /// What is wrong with the engine that builds and deploys.
    pub engine: Option<&'a Problem>,
    /// Programs that it needs on this machine.
    pub tools: &'a [&'a str],
}

/// Looks at this machine; nothing is made or written.
pub fn look(scene: &Scene<'_>) -> Vec<Finding> {
    let mut found: Vec<Finding> = scene.problems.iter().map(of_problem).collect();
    found.extend(scene.engine.map(of_problem));
    if scene.logged_in.1 == 0 {
        let remedy = "list them in workspace/workers.json, such as [{\"host\": \"10.0.0.1\"}]";
        found.push(Finding::note(cause("no_workers", "no worker was looked at", remedy)));
    }
    let before = found.len();
    keys(scene, &mut found);
    // The mode of the key is said once, by what a login says of it.
    let key = scene.bucket.settings().ssh_key.file_name().map(|name| name.to_string_lossy().into_owned());
    let key = key.filter(|_| found[before..].iter().any(|finding| finding.cause.code == "key_file"));
    let is_told = |problem: &&Problem| key.as_ref().is_some_and(|key| problem.message.contains(key.as_str()));
    found.extend(scene.bucket.secrets_problems().iter().filter(|one| !is_told(one)).map(of_problem));
    known_hosts(scene.bucket, &mut found);
    data(scene.bucket, &mut found);
    locks(scene.bucket, &mut found);
    descriptors(scene.logged_in.1, &mut found);
    tools(scene.tools, &mut found);
    temporary(&mut found);
    let mut seen = BTreeSet::new();
    found.retain(|finding| seen.insert((finding.cause.code, finding.cause.what.clone())));
    found.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    found
}

fn cause(code: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Cause {
    Cause::new(code, Layer::Here, what, remedy)
}

/// What is wrong with the bucket's files, as every command says it.
fn of_problem(problem: &Problem) -> Finding {
    let remedy = problem.help.clone().unwrap_or_else(|| "`maand build` shows where".to_owned());
    let cause = cause(problem.code, problem.message.clone(), remedy);
    let cause = match problem.place() {
        Some((file, line, column)) => cause.detail(format!("{file}:{line}:{column}")),
        None => cause,
    };
    match problem.severity {
        plan::Severity::Error => Finding::problem(cause),
        plan::Severity::Warning => Finding::warning(cause),
    }
}

/// The keys that are named, and the agents.
fn keys(scene: &Scene<'_>, found: &mut Vec<Finding>) {
    let sockets: BTreeSet<&Path> = scene.destinations.iter().filter_map(|to| to.agent.as_deref()).collect();
    let agents: Vec<AgentLook> = sockets
        .iter()
        .filter_map(|socket| match agent_look(socket) {
            Ok(agent) => {
                if agent.keys.is_empty() {
                    let what = format!("the SSH agent at {} has no keys", socket.display());
                    found.push(Finding::note(cause(
                        "agent_empty",
                        what,
                        "`ssh-add` adds one, if it is to be used",
                    )));
                }
                Some(agent)
            }
            Err(error) => {
                let what = format!(
                    "the SSH agent at {} does not answer: {}",
                    socket.display(),
                    plan::without_error_numbers(&error.to_string())
                );
                let remedy = "`eval \"$(ssh-agent)\" && ssh-add`, or `unset SSH_AUTH_SOCK`";
                found.push(Finding::warning(cause("agent_dead", what, remedy)));
                None
            }
        })
        .collect();
    let own = NamedKey { path: scene.bucket.settings().ssh_key.clone(), is_named: true };
    let mut keys: BTreeSet<&NamedKey> =
        scene.destinations.iter().flat_map(|to| &to.keys).filter(|key| key.is_named).collect();
    keys.insert(&own);
    let finding = match scene.logged_in {
        // Another key has let us in, wherever that was.
        (logged_in, workers) if workers > 0 && logged_in == workers => Finding::note,
        (0, _) => Finding::problem,
        _ => Finding::warning,
    };
    for key in keys {
        match key_look(&key.path) {
            // One that the ssh config names may be missing, as for ssh.
            Err(_) if !key.path.exists() && key.path != scene.bucket.settings().ssh_key => {}
            Err(error) => found.push(finding(error.cause())),
            Ok(look) => {
                let in_agent = look
                    .public
                    .as_ref()
                    .is_some_and(|public| agents.iter().any(|agent| agent.keys.contains(public)));
                let path = key.path.display();
                if !look.has_private && !in_agent {
                    let what = format!("key {path}: its private half is neither there nor in an SSH agent");
                    found.push(finding(cause(
                        "key_file",
                        what,
                        "`ssh-add` it, or put the private half there",
                    )));
                } else if look.is_encrypted && !in_agent {
                    let what = format!("key {path} has a passphrase, and no SSH agent has it");
                    let remedy = format!(
                        "`ssh-add {}`: else each command asks for it, and none in CI can",
                        quote(&path.to_string())
                    );
                    found.push(Finding::warning(cause("key_passphrase", what, remedy)));
                }
            }
        }
    }
}

/// Where first keys are noted.
fn known_hosts(bucket: &Bucket, found: &mut Vec<Finding>) {
    let file = &bucket.paths().known_hosts;
    let path = file.display();
    if let Err(error) = open::check_own_file(file) {
        let what = format!("{path} cannot be used: {}", plan::without_error_numbers(&error.to_string()));
        let remedy = format!(
            "put a plain file of your own there, with mode 600 (`ls -l {}`)",
            quote(&path.to_string())
        );
        found.push(Finding::problem(cause("known_hosts", what, remedy)));
    } else {
        let folder = file.parent().unwrap_or(file);
        let target = if file.exists() { file.as_path() } else { folder };
        if folder.exists() && access(target, Access::WRITE_OK).is_err() {
            let what = format!("{} cannot be written: new host keys could not be stored", target.display());
            let remedy = format!("`chmod u+rwX {}`, as its owner", quote(&target.display().to_string()));
            found.push(Finding::warning(cause("known_hosts", what, remedy)));
        }
    }
}

/// Where the journal and the catalog are.
fn data(bucket: &Bucket, found: &mut Vec<Finding>) {
    let paths = bucket.paths();
    let data = if paths.data.exists() { paths.data.as_path() } else { paths.root.as_path() };
    let shown = quote(&data.display().to_string());
    if paths.data.symlink_metadata().is_ok()
        && let Err(error) = open::check_own_folder(&paths.data)
    {
        let what = format!("{}: {}", paths.data.display(), plan::without_error_numbers(&error.to_string()));
        found.push(Finding::problem(cause(
            "data_folder",
            what,
            format!("`chmod 700 {shown}`, as its owner"),
        )));
    }
    for file in [&paths.plan_db, &paths.catalog_db] {
        if let Err(error) = open::check_own_file(file) {
            let what = format!("{}: {}", file.display(), plan::without_error_numbers(&error.to_string()));
            let remedy = format!(
                "`ls -l {}`: it has to be a plain file of yours with one name",
                quote(&file.display().to_string())
            );
            found.push(Finding::problem(cause("data_file", what, remedy)));
        } else if file.exists() && access(file.as_path(), Access::WRITE_OK | Access::READ_OK).is_err() {
            let what = format!("{} may not be read and written by this user", file.display());
            let remedy =
                format!("`sudo chown \"$(id -u)\" {0}; chmod 600 {0}`", quote(&file.display().to_string()));
            found.push(Finding::problem(cause("data_file", what, remedy)));
        }
    }
    if access(data, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        let what = format!("{} may not be written to", data.display());
        let remedy = format!("`chmod u+rwx {shown}` as its owner, or mount its file system for writing");
        found.push(Finding::problem(cause("data_folder", what, remedy)));
    }
    if let Ok(Some(kind)) = disk::network_filesystem(data) {
        let what =
            format!("{} is on a network file system ({kind}), on which no run is begun", data.display());
        let remedy = "keep the bucket on a local disk: its locks and syncs have to hold";
        found.push(Finding::problem(cause("network_filesystem", what, remedy)));
    }
    if let Ok(free) = disk::free_bytes(data)
        && free < SPACE.1
    {
        let what = format!("{} MiB are left for {}", free >> 20, data.display());
        let remedy = format!("make room: `df -h {shown}`; `du -xh -d 2 ~ | sort -h | tail`");
        let cause = cause("space_here", what, remedy);
        found.push(if free < SPACE.0 { Finding::problem(cause) } else { Finding::warning(cause) });
    }
    if let Ok(stat) = statvfs(data)
        && stat.f_files > 0
        && stat.f_favail < INODES
    {
        let what = format!("{} are left for {}", counted(stat.f_favail as usize, "inode"), data.display());
        let remedy = format!("remove files: `df -i {shown}`");
        let cause = cause("inodes_here", what, remedy);
        found.push(if stat.f_favail < 50 { Finding::problem(cause) } else { Finding::warning(cause) });
    }
    let mode = paths.data.metadata().map_or(0, |meta| meta.permissions().mode() & 0o777);
    if mode & 0o077 != 0 && mode & 0o002 == 0 {
        let what = format!(
            "{} is open to others (mode {mode:03o}): output of commands is in it",
            paths.data.display()
        );
        found.push(Finding::note(cause("data_mode", what, format!("`chmod 700 {shown}`"))));
    }
}

/// Who is at work here.
fn locks(bucket: &Bucket, found: &mut Vec<Finding>) {
    let wait = "wait until it has ended, or end it; `maand info` shows who it is";
    if let Some(holder) = lock::holder(&bucket.paths().catalog_lock) {
        found.push(Finding::warning(cause("locked", format!("the bucket is locked by {holder}"), wait)));
    }
    match Location::of(bucket).and_then(|runs| runs.holder()) {
        Ok(Some(holder)) => {
            let what = format!("a run is under way: {}", holder.describe());
            found.push(Finding::warning(cause("run_lock", what, "`maand plan status` shows how far it is")));
        }
        Ok(None) => {}
        Err(error) => {
            let remedy = "`psql` with the address of `ledger` in maand.conf says more";
            found.push(Finding::problem(cause("ledger", error.to_string(), remedy)));
        }
    }
}

/// Open files, against the size of the fleet.
fn descriptors(workers: usize, found: &mut Vec<Finding>) {
    let needed = DESCRIPTORS.1 + DESCRIPTORS.0 * (workers as u64).min(AT_ONCE);
    if let Some(soft) = limits::open_files()
        && soft < needed
    {
        let what =
            format!("at most {soft} files may be open; {} at once need {needed}", counted(workers, "worker"));
        let remedy = format!(
            "`ulimit -n {needed}`, or LimitNOFILE of the service; fewer workers are worked on at once till then"
        );
        found.push(Finding::warning(cause("ulimit", what, remedy)));
    }
}

/// Programs of this machine.
fn tools(tools: &[&str], found: &mut Vec<Finding>) {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |tool: &str| {
        std::env::split_paths(&path).any(|folder| access(folder.join(tool), Access::EXEC_OK).is_ok())
    };
    let missing: Vec<&str> = tools.iter().copied().filter(|tool| !is_there(tool)).collect();
    if !missing.is_empty() {
        let names = missing.join(" ");
        let what = format!("not installed on this machine: {}", missing.join(", "));
        found.push(Finding::problem(cause(
            "tools_here",
            what,
            format!("`apt-get install {names}` or `dnf install {names}`"),
        )));
    }
}

/// Where an agent's keys are used from, and temporary files are.
fn temporary(found: &mut Vec<Finding>) {
    let folder = std::env::temp_dir();
    let may = access(&folder, Access::WRITE_OK | Access::EXEC_OK).is_ok();
    let is_full = disk::free_bytes(&folder).is_ok_and(|free| free < 1 << 20);
    if !may || is_full {
        let why = if may { "is full" } else { "may not be written to" };
        let what = format!("the folder for temporary files, {}, {why}", folder.display());
        found.push(Finding::problem(cause(
            "temporary",
            what,
            "make room there, or name another with TMPDIR",
        )));
    }
}
