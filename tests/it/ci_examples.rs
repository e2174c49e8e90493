//! The workflow files of `examples/ci` are run: every script of every step, on a throwaway fleet, with the environment
//! that the CI system gives.

mod runner;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use maand::sandbox::{Blueprint, Sandbox, SandboxOptions};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::skipped;
use crate::wait_until;
use runner::{Server, workflow};

const PLAN: &str = "version: 1\nname: reboot-all\nrollout: {concurrency: 1}\nsteps:\n  - disable\n  - deploy\n  - reboot\n  \
                    - wait_for_ssh: {settle: 1s}\n  - enable\n  - deploy\n";

/// Whether the scripts' own tools are here; where not, that is said, and with `CI=true` it fails.
pub(crate) fn tools_are_here() -> bool {
    let runs =
        |tool: &&str| Command::new(tool).arg("--version").output().is_ok_and(|out| out.status.success());
    let missing: Vec<_> = ["bash", "git", "jq"].into_iter().filter(|tool| !runs(tool)).collect();
    missing.is_empty() || skipped(&format!("not installed: {}", missing.join(", ")))
}

/// Answers as GitHub does, from a file, and refuses what GitHub would.
const GH: &str = r#"#!/usr/bin/env bash
set -euo pipefail
fail() { echo "gh: $*" >&2; exit 1; }
[ "${GH_TOKEN:-}" = token-of-the-job ] || fail "no token"
file=COMMENTS
[ "$1" = api ] || fail "not api: $*"
shift
case "$*" in
  "--paginate repos/team/fleet/issues/17/comments --jq "*) jq -r "$4" "$file" ;;
  "--silent --method "*" --field body=@"*)
    body=${6#body=@}
    [ "$(wc -c < "$body")" -le 65536 ] || fail "the body is too long"
    case "$3 $4" in
      "POST repos/team/fleet/issues/17/comments")
        jq --rawfile body "$body" '. + [{id: (length + 100), user: {login: "github-actions[bot]"}, body: $body}]' "$file" > "$file.new" ;;
      "PATCH repos/team/fleet/issues/comments/"*)
        jq --rawfile body "$body" --argjson id "${4##*/}" 'map(if .id == $id then .body = $body else . end)' "$file" > "$file.new" ;;
      *) fail "$3 $4" ;;
    esac
    mv "$file.new" "$file" ;;
  *) fail "unexpected: $*" ;;
esac
"#;

/// Answers as GitLab does.
const CURL: &str = r#"#!/usr/bin/env bash
set -euo pipefail
fail() { echo "curl: $*" >&2; exit 22; }
[ "$1" = --config ] || fail "$*"
grep -qx 'header = "PRIVATE-TOKEN: token-of-the-project"' "$2" || fail "no token"
[ "$(stat -c %a "$2")" = 600 ] || fail "others can read the token"
[ "$3 $4 $5" = "--fail --silent --show-error" ] || fail "$*"
shift 5
file=COMMENTS
notes=https://gitlab.example/api/v4/projects/3/merge_requests/5/notes
case "$*" in
  https://gitlab.example/api/v4/user) echo '{"id": 7}' ;;
  "$notes?per_page=100&order_by=created_at&sort=asc") cat "$file" ;;
  "--request POST --data-urlencode body@"*" $notes")
    jq --rawfile body "${4#body@}" '. + [{id: (length + 100), author: {id: 7}, body: $body}]' "$file" > "$file.new"
    mv "$file.new" "$file" ;;
  "--request PUT --data-urlencode body@"*" $notes/"*)
    jq --rawfile body "${4#body@}" --argjson id "${5##*/}" 'map(if .id == $id then .body = $body else . end)' "$file" > "$file.new"
    mv "$file.new" "$file" ;;
  *) fail "unexpected: $*" ;;
esac
"#;

/// A repository that is the bucket of a fleet.
fn server_of(sandbox: Option<&Sandbox>) -> Server {
    let server = Server::new();
    let comments = server.at("comments.json").display().to_string();
    server.stand_in("gh", &GH.replace("COMMENTS", &comments));
    server.stand_in("curl", &CURL.replace("COMMENTS", &comments));
    match sandbox {
        Some(sandbox) => {
            let from = sandbox.bucket_dir();
            let to = server.at("repo");
            let mut copy = Command::new("cp");
            copy.arg("-r").args([from.join("maand.conf"), from.join("workspace")]).arg(&to);
            assert!(copy.status().unwrap().success());
            fs::create_dir(to.join("secrets")).unwrap();
            fs::copy(from.join("secrets/known_hosts"), to.join("secrets/known_hosts")).unwrap();
        }
        None => {
            fs::create_dir_all(server.at("repo/workspace/jobs")).unwrap();
            fs::write(server.at("repo/maand.conf"), "bucket_id = \"00000000-0000-4000-8000-00000000c101\"\n")
                .unwrap();
            fs::write(server.at("repo/workspace/workers.json"), r#"[{"host": "w1"}, {"host": "w2"}]"#)
                .unwrap();
        }
    }
    fs::write(server.at("repo/plan.yaml"), PLAN).unwrap();
    server
}

fn write(server: &Server, path: &str, text: &str) {
    fs::write(server.at("repo").join(path), text).unwrap();
}

const IS_OURS: &str = "github.event.pull_request.head.repo.full_name == github.repository";

#[test]
fn a_pull_request_is_reviewed_and_its_comment_kept_up_to_date() {
    if !tools_are_here() {
        return;
    }
    let mut server = server_of(None);
    let base = server.commit();
    let github = workflow("github.yml");
    server.expressions.extend([
        ("github.event.pull_request.base.sha", base.clone()),
        ("github.event.pull_request.number", "17".to_owned()),
        ("github.token", "token-of-the-job".to_owned()),
        (IS_OURS, "true".to_owned()),
    ]);
    // Somebody else can write what begins like ours.
    let foreign =
        json!([{"id": 1, "user": {"login": "mallory"}, "body": "<!-- maand: review of a plan --> x"}]);
    fs::write(server.at("comments.json"), foreign.to_string()).unwrap();
    let workers = r#"[{"host": "w1"}, {"host": "w2"}, {"host": "w3"}]"#;
    write(&server, "workspace/workers.json", workers);
    write(
        &server,
        "plan.yaml",
        &PLAN
            .replace("concurrency: 1", "concurrency: 2")
            .replace("name:", "description: \"@team <img src=x>\"\nname:"),
    );
    server.commit();
    let ended = server.github(&github, "review", &|_, _, _| ());
    assert!(!ended.failed(), "{:?}\n{}", ended.codes, ended.log);
    let comments = server.comments();
    assert_eq!((comments.len(), &comments[0]), (2, &foreign[0]));
    let body = comments[1]["body"].as_str().unwrap();
    for part in [
        "<code>concurrency</code>: <code>1</code> is now <code>2</code>",
        "1 worker added: 2 to 3",
        "<code>w3</code>",
    ] {
        assert!(body.contains(part), "no {part} in {body}");
    }
    assert!(!body.contains("@team") && !body.contains("<img"), "{body}");
    assert!(body.contains(&ended.summary), "the summary of the job says the same");
    assert_eq!(server.git(&["worktree", "list"]).lines().count(), 1);

    // Another commit: the same comment says something else.
    write(&server, "plan.yaml", &PLAN.replace("concurrency: 1", "concurrency: 3"));
    server.commit();
    assert!(!server.github(&github, "review", &|_, _, _| ()).failed());
    let comments = server.comments();
    assert_eq!((comments.len(), comments[1]["id"].clone()), (2, json!(101)));
    assert!(comments[1]["body"].as_str().unwrap().contains("is now <code>3</code>"));

    // From a fork: no comment, and the summary.
    server.expressions.insert(IS_OURS, "false".to_owned());
    let fork = server.github(&github, "review", &|_, _, _| ());
    assert!(!fork.codes.contains_key("Comment") && fork.summary.contains("concurrency"), "{:?}", fork.codes);

    // The base has a plan that is not valid (any more), or none.
    for plan in [
        None,
        Some("version: 1\nname: reboot-all\ntargets: {workers: [w9]}\nsteps: [reboot, wait_for_ssh]\n"),
    ] {
        server.git(&["checkout", "--quiet", "-B", "main", &base]);
        match plan {
            Some(plan) => write(&server, "plan.yaml", plan),
            None => fs::remove_file(server.at("repo/plan.yaml")).unwrap(),
        }
        let base = server.commit();
        server.expressions.insert("github.event.pull_request.base.sha", base);
        write(&server, "plan.yaml", PLAN);
        server.commit();
        let ended = server.github(&github, "review", &|_, _, _| ());
        assert!(!ended.failed(), "{}", ended.log);
        assert!(ended.summary.contains("reboot-all") && ended.summary.contains("wait"), "{}", ended.summary);
    }

    // A plan that is wrong fails the job, at its place.
    write(&server, "plan.yaml", "version: 1\nname: p\nsteps: [rebot]\n");
    server.commit();
    let wrong = server.github(&github, "review", &|_, _, _| ());
    assert_eq!(wrong.codes.get("Review the plan"), Some(&3), "{}", wrong.log);
    assert!(wrong.log.contains("::error file=plan.yaml,line=3"), "{}", wrong.log);
}

/// The process of maand that carries a run out in this folder.
fn maand_in(checkout: &Path) -> Option<Pid> {
    let here = checkout.canonicalize().unwrap();
    fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
        let command = fs::read_to_string(entry.path().join("cmdline")).ok()?;
        let is_it = command.contains("plan\0apply\0") || command.contains("plan\0resume\0");
        let there = fs::read_link(entry.path().join("cwd")).ok()?;
        let pid = entry.file_name().to_str()?.parse().ok()?;
        (is_it && there == here && command.starts_with("maand\0")).then(|| Pid::from_raw(pid)).flatten()
    })
}

/// The state of the newest run, once there is one.
fn status(checkout: &Path) -> Option<Value> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_maand"));
    let output = command.args(["plan", "status", "--output", "json"]).current_dir(checkout).output().unwrap();
    output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
}

fn count(status: &Value, what: &str) -> u64 {
    status["counts"][what].as_u64().unwrap()
}

#[test]
fn what_was_approved_is_carried_out_and_a_job_that_is_run_again_continues() {
    if !tools_are_here() {
        return;
    }
    let program = Some(PathBuf::from(env!("CARGO_BIN_EXE_maand")));
    let options = SandboxOptions { program, speed: 20.0, ..SandboxOptions::new(Blueprint::demo(3)) };
    let sandbox = Sandbox::start(options).unwrap();
    let mut server = server_of(Some(&sandbox));
    server.commit();
    let github = workflow("github.yml");
    let key = fs::read_to_string(sandbox.bucket_dir().join("secrets/worker.key")).unwrap();
    server.expressions.extend([
        ("secrets.FLEET_KEY", key.trim_end().to_owned()),
        ("github.run_id", "9".to_owned()),
        ("github.run_attempt", "1".to_owned()),
    ]);
    let nothing = |_: &str, _: &mut Child, _: &Path| ();
    let planned = server.github(&github, "plan", &nothing);
    assert!(!planned.failed(), "{}", planned.log);
    assert!(planned.summary.contains("3 of 3 workers"), "{}", planned.summary);

    // The first job is lost in the middle of the first worker.
    let step = "Carry it out, or continue";
    let killed = server.github(&github, "apply", &|name, _, checkout| {
        if name == step {
            let drained = checkout.join("workspace/disabled.json");
            wait_until("a worker is drained and down", || {
                drained.exists()
                    && status(checkout).is_some_and(|view| view["workers"].to_string().contains("reboot"))
            });
            kill_process(maand_in(checkout).unwrap(), Signal::KILL).unwrap();
        }
    });
    assert_eq!(killed.codes[step], 137, "{}", killed.log);
    assert!(killed.log.contains("::error title=maand::maand ended with exit code 137"), "{}", killed.log);
    assert!(!killed.checkout.join("secrets/worker.key").exists(), "the key is gone whatever happened");
    assert_eq!(killed.codes["Keep the journal"], 0, "{}", killed.log);

    // Another plan is not carried out meanwhile, and nobody's run is continued for it.
    let other = server.checkout();
    fs::write(other.join("plan.yaml"), PLAN.replace("concurrency: 1", "concurrency: 2")).unwrap();
    let script = format!(
        "cp -r {} maand-state && ci/state.sh restore maand-state && maand plan show plan.yaml --out other.maand && \
         ci/apply.sh other.maand",
        server.at("caches/maand-state-9-1").display()
    );
    let refused = server.command(&other, &Default::default()).args(["-c", &script]).output().unwrap();
    let said = String::from_utf8_lossy(&[refused.stdout, refused.stderr].concat()).into_owned();
    assert_eq!(refused.status.code(), Some(3), "{said}");
    assert!(
        said.contains("is unfinished and does something else") && said.contains("concurrency: 1 -> 2"),
        "{said}"
    );

    // The second is cancelled: what is in flight ends, and nothing new begins.
    server.expressions.insert("github.run_attempt", "2".to_owned());
    let cancelled = server.github(&github, "apply", &|name, child, checkout| {
        if name == step {
            wait_until("a worker is done", || {
                maand_in(checkout).is_some()
                    && status(checkout).is_some_and(|view| count(&view, "succeeded") > 0)
            });
            kill_process(Pid::from_child(child), Signal::INT).unwrap();
        }
    });
    assert_eq!(cancelled.codes[step], 5, "{}", cancelled.log);
    for part in ["an earlier job has begun run", "::warning title=maand::stopped before its end"] {
        assert!(cancelled.log.contains(part), "no {part} in {}", cancelled.log);
    }

    // The third ends it.
    server.expressions.insert("github.run_attempt", "3".to_owned());
    let done = server.github(&github, "apply", &nothing);
    assert!(!done.failed(), "{}", done.log);
    let view = status(&done.checkout).unwrap();
    assert_eq!((view["state"].as_str().unwrap(), count(&view, "succeeded")), ("succeeded", 3));
    for host in sandbox.hosts() {
        assert_eq!(sandbox.boots(host).len(), 2, "{host}: one reboot, and never a second");
    }
    // A run is compared like a plan, and approval of the same file is no approval of a second time.
    let mut same = Command::new(env!("CARGO_BIN_EXE_maand"));
    let same = same
        .args(["plan", "diff", "last", "plan.yaml", "--exit-code"])
        .current_dir(&done.checkout)
        .output()
        .unwrap();
    assert_eq!(same.status.code(), Some(0), "{}", String::from_utf8_lossy(&same.stdout));
    server.expressions.insert("github.run_attempt", "4".to_owned());
    let again = server.github(&github, "apply", &nothing);
    assert_eq!(again.codes[step], 3, "{}", again.log);
}

#[test]
fn gitlab_reviews_and_applies_with_the_same_scripts() {
    if !tools_are_here() {
        return;
    }
    let program = Some(PathBuf::from(env!("CARGO_BIN_EXE_maand")));
    let options = SandboxOptions { program, speed: 20.0, ..SandboxOptions::new(Blueprint::demo(1)) };
    let sandbox = Sandbox::start(options).unwrap();
    let server = server_of(Some(&sandbox));
    let base = server.commit();
    write(&server, "plan.yaml", &PLAN.replace("settle: 1s", "settle: 2s"));
    server.commit();
    let gitlab = workflow("gitlab.yml");
    let checkout = server.checkout();
    let api = [
        ("CI_MERGE_REQUEST_DIFF_BASE_SHA", base.as_str()),
        ("CI_API_V4_URL", "https://gitlab.example/api/v4"),
        ("CI_PROJECT_ID", "3"),
        ("CI_MERGE_REQUEST_IID", "5"),
        ("GITLAB_TOKEN", "token-of-the-project"),
    ];
    for _ in 0..2 {
        let ended = server.gitlab(&gitlab, "review", &checkout, &api);
        assert!(!ended.failed(), "{}", ended.log);
        assert_eq!(server.comments().len(), 1);
    }
    assert!(server.comments()[0]["body"].as_str().unwrap().contains("settle"));
    // A pipeline of a fork has no token.
    assert!(!server.gitlab(&gitlab, "review", &checkout, &api[..4]).failed());

    let key = fs::read(sandbox.bucket_dir().join("secrets/worker.key")).unwrap();
    let key = base64(&key);
    let planned = server.gitlab(&gitlab, "plan", &checkout, &[]);
    assert!(!planned.failed(), "{}", planned.log);
    let applied = server.gitlab(&gitlab, "apply", &checkout, &[("FLEET_KEY", &key)]);
    assert!(!applied.failed(), "{}", applied.log);
    assert_eq!(sandbox.boots(&sandbox.hosts()[0]).len(), 2);
    assert!(checkout.join("maand-state/data.tar").exists() && !checkout.join("secrets/worker.key").exists());
}

fn base64(bytes: &[u8]) -> String {
    use base64ct::{Base64, Encoding};
    Base64::encode_string(bytes)
}
