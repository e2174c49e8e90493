//! `maand import`: the inventory of a real Ansible, an ssh config and a command become `workers.json`, after a question, whole
//! or not at all.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use maand::bucket::Bucket;
use serde_json::Value;

use crate::run_terminal::Terminal;
use crate::support::{skipped, wait_until};

/// A bucket of its own, and a home.
struct Bench {
    dir: tempfile::TempDir,
}

const MINE: &str = "[\n    {\"host\": \"10.0.2.1\", \"memory\": \"8 gb\", \"labels\": [\"DB\", \"ssd\"], \"note\": 1},\n    \
                    {\"host\": \"10.9.9.9\"}\n]\n";

impl Bench {
    fn new() -> Self {
        let bench = Self { dir: tempfile::tempdir().unwrap() };
        bench.says(0, &["init"]);
        fs::create_dir_all(bench.path("home/.ssh")).unwrap();
        bench.put("workspace/workers.json", MINE);
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// A line in front of all others of maand.conf.
    fn conf(&self, line: &str) {
        let conf = fs::read_to_string(self.path("maand.conf")).unwrap();
        self.put("maand.conf", &format!("{line}\n{conf}"));
    }

    fn workers(&self) -> String {
        fs::read_to_string(self.path("workspace/workers.json")).unwrap()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_maand"));
        command.args(args).current_dir(self.dir.path()).env("HOME", self.path("home")).env("COLUMNS", "300");
        command.stdin(Stdio::null());
        command
    }

    /// Standard output, and standard error in one line.
    #[track_caller]
    fn says(&self, code: i32, args: &[&str]) -> (String, String) {
        said(&self.command(args).output().unwrap(), code, args)
    }

    #[track_caller]
    fn json(&self, code: i32, args: &[&str]) -> Value {
        let (text, _) = self.says(code, &[args, &["--output", "json"]].concat());
        let document: Value = serde_json::from_str(&text).unwrap();
        let name =
            document["schema"].as_str().unwrap().replace("maand/", "").replace("/v1", ".v1.schema.json");
        let schema = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas").join(name)).unwrap();
        let schema: Value = serde_json::from_slice(&schema).unwrap();
        jsonschema::validator_for(&schema).unwrap().validate(&document).unwrap();
        document
    }

    /// The file is as it was, and nothing is beside it.
    #[track_caller]
    fn is_untouched(&self) {
        assert_eq!(self.workers(), MINE);
        let names = fs::read_dir(self.path("workspace")).unwrap().map(|entry| entry.unwrap().file_name());
        let hidden: Vec<_> = names.filter(|name| name.to_string_lossy().starts_with('.')).collect();
        assert!(hidden.is_empty(), "{hidden:?}");
    }
}

#[track_caller]
fn said(output: &Output, code: i32, args: &[&str]) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    // A message is wrapped at the width of a terminal.
    let stderr = text(&output.stderr).replace('│', " ").split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(output.status.code(), Some(code), "{args:?}: {} {stderr}", text(&output.stdout));
    (text(&output.stdout), stderr)
}

fn data(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/ansible").join(name).to_str().unwrap().to_owned()
}

/// The real program, from PATH or where `tests/setup.sh` has put it.
fn ansible_inventory() -> Option<PathBuf> {
    let is_there = |program: &Path| {
        let version = Command::new(program).arg("--version").stdin(Stdio::null()).output();
        version.is_ok_and(|output| output.status.success())
    };
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target"), PathBuf::from);
    let known = [PathBuf::from("ansible-inventory"), target.join("ansible/bin/ansible-inventory")];
    let found = known.into_iter().find(|program| is_there(program));
    found.or_else(|| {
        skipped("ansible-inventory is not installed: `sh tests/setup.sh` installs it");
        None
    })
}

#[test]
fn what_a_real_ansible_lists_becomes_workers_and_what_is_written_by_hand_stays() {
    let Some(program) = ansible_inventory() else { return };
    let bench = Bench::new();
    let list = Command::new(program)
        .args(["-i", &data("hosts.ini"), "-i", &data("more.yml"), "--list"])
        .env("HOME", bench.path("home"))
        .current_dir(bench.dir.path())
        .output()
        .unwrap();
    assert!(list.status.success(), "{}", String::from_utf8_lossy(&list.stderr));
    fs::write(bench.path("fleet.json"), &list.stdout).unwrap();

    // Versions differ in what stands in `_meta` beside the variables, and in nothing that is taken.
    let now = bench.json(1, &["import", "ansible", "fleet.json", "--check"]);
    let mut kept = bench.json(1, &["import", "ansible", &data("list.json"), "--check"]);
    kept["source"] = "fleet.json".into();
    assert_eq!(now, kept);
    bench.is_untouched();

    let document = bench.json(0, &["import", "ansible", "fleet.json", "--yes"]);
    assert_eq!((&document["written"], &document["new"]), (&true.into(), &7.into()), "{document:#}");
    assert_eq!(document["changed"][0]["host"], "10.0.2.1");
    let left = serde_json::json!([
        {"what": "worker", "name": null, "host": "10.9.9.9"},
        {"what": "label", "name": "ssd", "host": "10.0.2.1"}
    ]);
    assert_eq!(document["left"], left);
    let text = bench.workers();
    let of_db = "    {\"host\": \"10.0.2.1\", \"memory\": \"8 gb\", \"labels\": [\"DB\", \"ssd\", \"prod\"], \"note\": 1, \
                 \"hostname\": \"db1\", \"tags\": {\"environment_name\": \"prod\", \"zone\": \"b\"}},\n";
    assert!(text.starts_with(&format!("[\n{of_db}")), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
    let (fleet, warnings) = Bucket::open(bench.dir.path()).unwrap().load().unwrap();
    assert_eq!((fleet.workers.len(), warnings.is_empty()), (7, true));
    let port = fleet.workers.iter().find(|worker| worker.host.as_str() == "10.0.1.9").unwrap().ssh_port;
    assert_eq!(port, Some(2222));

    let (said, _) = bench.says(0, &["import", "ansible", "fleet.json"]);
    assert!(said.starts_with("workspace/workers.json has what fleet.json says: 7 workers"), "{said}");
    for named in ["label ssd of 10.0.2.1", "variable db_password (db1)", "host win1", "host db1-admin (db1)"]
    {
        assert!(said.contains(named), "{named}: {said}");
    }
    bench.says(0, &["import", "ansible", "fleet.json", "--remove", "--yes"]);
    let gone = bench.workers();
    assert!(!gone.contains("10.9.9.9") && !gone.contains("ssd") && gone.contains("\"note\": 1"), "{gone}");
}

#[test]
fn without_an_answer_nothing_is_written() {
    let bench = Bench::new();
    let list = data("list.json");
    let (shown, said) = bench.says(2, &["import", "ansible", &list]);
    assert!(shown.contains("+ 10.0.1.9  labels prod, web; tag environment_name prod"), "{shown}");
    assert!(said.contains("pass --yes to write workspace/workers.json"), "{said}");
    bench.is_untouched();
    let (shown, said) = bench.says(0, &["import", "ansible", &list, "-q", "--yes"]);
    assert_eq!((shown.as_str(), said.as_str()), ("", ""));
    assert_ne!(bench.workers(), MINE);
}

#[test]
fn the_answer_no_and_ctrl_c_at_the_question_leave_all_as_it_was() {
    let bench = Bench::new();
    let line = format!("$MAAND import ansible {} ; echo code $?", data("list.json"));
    for (keys, code) in [(&b"n\r"[..], "code 6"), (b"\x03", "code 130")] {
        let mut terminal = Terminal::at(bench.dir.path(), &line);
        terminal.wait_for("Write workspace/workers.json? [y/N]");
        bench.is_untouched();
        terminal.types(keys);
        if code == "code 130" {
            // The shell ends by the same signal, before it says anything.
            wait_until("the end of the command", || terminal.script.try_wait().unwrap().is_some());
        } else {
            terminal.wait_for(code);
        }
        bench.is_untouched();
    }
    let mut terminal = Terminal::at(bench.dir.path(), &line);
    terminal.wait_for("Write workspace/workers.json? [y/N]");
    // Somebody else is faster than the answer.
    bench.put("workspace/workers.json", "[]");
    terminal.types(b"y\r");
    terminal.wait_for("code 3");
    assert_eq!(bench.workers(), "[]");
}

#[test]
fn what_cannot_be_used_is_refused_with_what_to_type() {
    let bench = Bench::new();
    bench.put("ini", "[web]\nh1\n");
    bench.put("none.json", r#"{"_meta": {"hostvars": {}}, "all": {"children": ["ungrouped"]}}"#);
    let list = data("list.json");
    for (args, code, told) in [
        (&["import", "ansible", "gone.json"][..], 3, "gone.json cannot be read"),
        (&["import", "ansible", "ini"], 3, "ansible-inventory -i FILE --list | maand import ansible -"),
        (&["import", "ansible", "-"], 3, "it is empty"),
        (&["import", "ansible", "none.json", "--yes", "--remove"], 3, "no host that could be a worker"),
        (&["import", "ansible", &list, "--tags", "zome"], 3, "did you mean `zone`?"),
        (&["import", "ansible", &list, "--groups", "wbe"], 3, "did you mean `web`?"),
        (&["import", "ansible"], 2, "FILE"),
        (&["import"], 2, "Usage: maand import"),
        (&["import", "ssh-config"], 3, "there is no"),
        (&["import", "command"], 3, "inventory_command"),
    ] {
        let (_, said) = bench.says(code, args);
        assert!(said.contains(told), "{args:?}: {said}");
        bench.is_untouched();
    }
    bench.put("workspace/workers.json", "[{\"host\": \"a\"}, {\"host\": \"a\"}]");
    let (_, said) = bench.says(3, &["import", "ansible", &list, "--yes"]);
    assert!(said.contains("the host a is there twice"), "{said}");
}

/// Groups of the same depth, one with a priority; a group of nobody; variables of `all`, of a group around groups, and of a
/// host.
const NESTED: &str = "\
[web]
w1
w2 zone=own

[web:vars]
tier=front
zone=web

[blue]
w1

[blue:vars]
zone=blue
tier=blue
ansible_group_priority=10

[aqua]
w2
w1

[aqua:vars]
tier=aqua

[prod:children]
web
blue
aqua

[prod:vars]
zone=prod
environment_name=prod
ansible_user=deploy
db_password=hunter2

[nobody]

[nobody:vars]
zone=none

[all:vars]
site=fra
zone=all
";

#[test]
fn variables_of_groups_come_to_hosts_as_a_real_ansible_gives_them() {
    let Some(program) = ansible_inventory() else { return };
    let written = |more: &[&str]| {
        let bench = Bench::new();
        bench.put("nested.ini", NESTED);
        let list = Command::new(&program)
            .args(["-i", "nested.ini", "-i", &data("hosts.ini"), "-i", &data("more.yml"), "--list"])
            .args(more)
            .env("HOME", bench.path("home"))
            .current_dir(bench.dir.path())
            .output()
            .unwrap();
        assert!(list.status.success(), "{}", String::from_utf8_lossy(&list.stderr));
        fs::write(bench.path("fleet.json"), &list.stdout).unwrap();
        let document = bench.json(0, &["import", "ansible", "fleet.json", "--yes"]);
        (bench.workers(), document["not_taken"].to_string())
    };
    let ((flat, _), (exported, not_taken)) = (written(&[]), written(&["--export"]));
    let w1 = "\"tags\": {\"environment_name\": \"prod\", \"site\": \"fra\", \"tier\": \"blue\", \"zone\": \"blue\"}";
    assert!(flat.contains(w1), "{flat}");
    assert_eq!(flat, exported);
    assert!(not_taken.contains("variables of group nobody"), "{not_taken}");
    assert!(!exported.contains("hunter2") && !not_taken.contains("hunter2"), "{exported}");
}

#[test]
fn a_folder_that_cannot_be_written_and_a_lock_that_is_held_are_said() {
    let bench = Bench::new();
    let args = ["import", "ansible", &data("list.json"), "--yes"];
    let lock = maand::bucket::lock::acquire(
        &Bucket::open(bench.dir.path()).unwrap().paths().catalog_lock,
        "the test",
        std::time::Duration::ZERO,
        &|| false,
    )
    .unwrap();
    let (_, said) = bench.says(4, &args);
    assert!(said.contains("the test"), "{said}");
    drop(lock);
    bench.is_untouched();
    // Of a link out of the bucket, as root may write into any folder.
    let elsewhere = bench.path("home/workers.json");
    fs::rename(bench.path("workspace/workers.json"), &elsewhere).unwrap();
    let outside = tempfile::tempdir().unwrap();
    let theirs = outside.path().join("workers.json");
    fs::copy(&elsewhere, &theirs).unwrap();
    std::os::unix::fs::symlink(&theirs, bench.path("workspace/workers.json")).unwrap();
    bench.says(3, &args);
    assert_eq!(fs::read_to_string(&theirs).unwrap(), MINE);
    fs::remove_file(bench.path("workspace/workers.json")).unwrap();
    fs::rename(&elsewhere, bench.path("workspace/workers.json")).unwrap();
    if rustix::process::geteuid().is_root() {
        as_another_user(&bench, &args);
        return;
    }
    fs::set_permissions(bench.path("workspace"), fs::Permissions::from_mode(0o555)).unwrap();
    let (_, said) = bench.says(3, &args);
    assert!(said.contains("was not written: it cannot be written: Permission denied"), "{said}");
    fs::set_permissions(bench.path("workspace"), fs::Permissions::from_mode(0o755)).unwrap();
    bench.is_untouched();
}

/// Root writes where it may not: another user tries.
fn as_another_user(bench: &Bench, args: &[&str]) {
    let all = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let nobody = "65534:65534";
    let chown = |owner: &str| {
        assert!(Command::new("chown").args(["-R", owner]).arg(bench.dir.path()).status().unwrap().success());
    };
    chown(nobody);
    all(bench.dir.path(), 0o755);
    all(&bench.path("workspace"), 0o555);
    // The program itself may be where only root may go.
    let place = tempfile::tempdir().unwrap();
    all(place.path(), 0o755);
    let program = place.path().join("maand");
    let linked = fs::hard_link(env!("CARGO_BIN_EXE_maand"), &program);
    linked.or_else(|_| fs::copy(env!("CARGO_BIN_EXE_maand"), &program).map(drop)).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program);
    command.args(args).current_dir(bench.dir.path()).env("HOME", bench.path("home")).stdin(Stdio::null());
    let output = command.output().unwrap();
    all(&bench.path("workspace"), 0o755);
    chown("0:0");
    let (_, said) = said(&output, 3, args);
    assert!(said.contains("was not written: it cannot be written: Permission denied"), "{said}");
    bench.is_untouched();
}

#[test]
fn the_hosts_of_an_ssh_config_become_workers_that_can_be_connected_to() {
    let bench = Bench::new();
    bench.put("home/.ssh/config", "Include more\nHost web1 web1-alias\n  HostName 10.0.0.1\n  Port 2222\n  User me\nHost web*\n  User all\n");
    bench.put("home/.ssh/more", "Host db1\nHost no1\n  ProxyCommand nc %h %p\nMatch user x\n");
    for name in ["home/.ssh/config", "home/.ssh/more"] {
        fs::set_permissions(bench.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    // What `maand init` has written states port and user, over which the ssh config does not win.
    let (shown, _) = bench.says(0, &["import", "ssh-config", "--yes"]);
    assert!(shown.contains("+ db1\n") && shown.contains("+ web1  port 2222; user me\n"), "{shown}");
    for named in ["Host web1-alias (web1)", "Host web*", "Host no1", "Match user x"] {
        assert!(shown.contains(named), "{named}: {shown}");
    }
    assert!(bench.workers().contains("{\"host\": \"web1\", \"ssh_port\": 2222, \"ssh_user\": \"me\"}"));
    let (shown, _) = bench.says(1, &["import", "ssh-config", "--hosts", "web?", "--remove", "--check"]);
    assert!(shown.contains("- db1\n") && shown.contains("- 10.9.9.9\n") && !shown.contains("+ "), "{shown}");
    bench.says(3, &["import", "ssh-config", "--hosts", "none*"]);
    bench.conf("ssh_config = false");
    let (_, said) = bench.says(3, &["import", "ssh-config"]);
    assert!(said.contains("ssh_config = false"), "{said}");
}

#[test]
fn what_a_command_prints_is_checked_like_the_file() {
    let bench = Bench::new();
    bench.conf("inventory_command = \"sh inventory.sh\"\ninventory_timeout = 1");
    let import = |script: &str, code: i32, more: &[&str]| {
        bench.put("inventory.sh", script);
        bench.says(code, &[&["import", "command"], more].concat())
    };
    for (script, told) in [
        ("echo '{}'", "must be a list"),
        ("echo '[]'", "no host that could be a worker"),
        ("echo '[{\"host\": \"-o\"}]'", "is no host name"),
        ("echo not json", "not JSON"),
        ("printf '\\377'", "not UTF-8"),
        ("echo '[{\"host\": \"10.0.0.1\"}]'; echo went wrong >&2; exit 7", "exit code 7: went wrong"),
        ("sleep 60 & sleep 60", "has not ended within 1s"),
        ("yes '[{\"host\": \"10.0.0.1\"}]'", "more than 24 MiB"),
    ] {
        let (_, said) = import(script, 3, &["--yes"]);
        // A machine under load may be slower than the time that the last one has.
        assert!(said.contains(told) || said.contains("has not ended within 1s"), "{script}: {said}");
        bench.is_untouched();
    }
    bench.conf("# more time for a machine under load");
    let conf = fs::read_to_string(bench.path("maand.conf")).unwrap();
    bench.put("maand.conf", &conf.replace("inventory_timeout = 1", "inventory_timeout = 60"));
    let good = "echo looking >&2; echo '[{\"host\": \"10.0.2.1\", \"cpu\": 4000, \"rack\": 1}, {\"host\": \"10.0.0.5\"}]'";
    let (shown, said) = import(good, 1, &["--check"]);
    assert!(shown.contains("+ 10.0.0.5\n") && shown.contains("key rack (10.0.2.1)"), "{shown}");
    assert!(said.contains("looking"), "{said}");
    bench.is_untouched();
    import(good, 0, &["--yes"]);
    let expected = MINE.replace("\"note\": 1", "\"note\": 1, \"cpu\": 4000");
    assert_eq!(
        bench.workers(),
        expected.replace("\"10.9.9.9\"}", "\"10.9.9.9\"},\n    {\"host\": \"10.0.0.5\"}")
    );
    import(good, 0, &["--check"]);
    let document = bench.json(1, &["import", "command", "--check", "--remove"]);
    assert_eq!(document["removed"], serde_json::json!(["10.9.9.9"]));
}
