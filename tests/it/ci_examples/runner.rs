//! What a CI system does with a workflow: its steps with their environment, caches, artifacts and checkouts. Only what
//! talks to a server is a stand-in.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

pub(super) fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/ci")
}

/// A workflow file.
pub(super) fn workflow(file: &str) -> Value {
    serde_saphyr::from_str(&fs::read_to_string(examples().join(file)).unwrap()).unwrap()
}

/// A server: the repository, what jobs keep, and the comments.
pub(super) struct Server {
    pub(super) folder: tempfile::TempDir,
    /// Values of `${{ .. }}`.
    pub(super) expressions: BTreeMap<&'static str, String>,
}

/// How a job ended.
pub(super) struct Ended {
    /// The exit codes of its scripts, by the names of the steps.
    pub(super) codes: BTreeMap<String, i32>,
    pub(super) summary: String,
    /// All that was written to the log.
    pub(super) log: String,
    pub(super) checkout: PathBuf,
}

impl Ended {
    pub(super) fn failed(&self) -> bool {
        self.codes.values().any(|code| *code != 0)
    }
}

/// What happens to the script of a step while it runs.
pub(super) type Meanwhile<'m> = &'m dyn Fn(&str, &mut Child, &Path);

impl Server {
    pub(super) fn new() -> Self {
        let server = Self { folder: tempfile::tempdir().unwrap(), expressions: BTreeMap::new() };
        for folder in ["repo/ci", "bin", "caches", "artifacts", "home"] {
            fs::create_dir_all(server.at(folder)).unwrap();
        }
        for script in fs::read_dir(examples()).unwrap().map(|entry| entry.unwrap().path()) {
            if script.extension().is_some_and(|extension| extension == "sh") {
                fs::copy(&script, server.at("repo/ci").join(script.file_name().unwrap())).unwrap();
            }
        }
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_maand"), server.at("bin/maand")).unwrap();
        fs::write(server.at("comments.json"), "[]").unwrap();
        fs::write(
            server.at("repo/.gitignore"),
            "data/\nsecrets/*\n!secrets/known_hosts\nreview.md\nmaand-state/\n*.maand\n",
        )
        .unwrap();
        server.git(&["init", "--quiet", "--initial-branch", "main"]);
        server
    }

    pub(super) fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// A program that stands in for one that talks to a server.
    pub(super) fn stand_in(&self, name: &str, script: &str) {
        let path = self.at("bin").join(name);
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub(super) fn git(&self, args: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"])
            .args(args)
            .current_dir(self.at("repo"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Commits everything; the commit.
    pub(super) fn commit(&self) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", "x"]);
        self.git(&["rev-parse", "HEAD"])
    }

    pub(super) fn comments(&self) -> Vec<Value> {
        serde_json::from_slice(&fs::read(self.at("comments.json")).unwrap()).unwrap()
    }

    /// A checkout of its own, as each job has one.
    pub(super) fn checkout(&self) -> PathBuf {
        let folder = tempfile::Builder::new().prefix("job").tempdir_in(self.folder.path()).unwrap().keep();
        let from = self.at("repo");
        let cloned = Command::new("git").args(["clone", "--quiet"]).arg(&from).arg(&folder).status().unwrap();
        assert!(cloned.success());
        folder
    }

    /// The text with the values of `${{ .. }}` put in.
    fn evaluate(&self, text: &str) -> String {
        let mut parts = text.split("${{");
        let mut value = parts.next().unwrap().to_owned();
        for part in parts {
            let (expression, after) = part.split_once("}}").unwrap();
            let known = self.expressions.get(expression.trim());
            value += known.unwrap_or_else(|| panic!("no value for {expression}"));
            value += after;
        }
        value
    }

    fn variables(&self, of: &Value, into: &mut BTreeMap<String, String>) {
        for (name, value) in of["env"].as_object().into_iter().flatten() {
            into.insert(name.clone(), self.evaluate(value.as_str().unwrap()));
        }
    }

    pub(super) fn command(&self, checkout: &Path, variables: &BTreeMap<String, String>) -> Command {
        let path = format!("{}:{}", self.at("bin").display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("bash");
        command.env_clear().env("PATH", path).env("HOME", self.at("home")).env("CI", "true");
        command.env("GIT_CONFIG_NOSYSTEM", "1").envs(variables).current_dir(checkout);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Carries out a job of GitHub's, step by step.
    pub(super) fn github(&self, workflow: &Value, job: &str, meanwhile: Meanwhile<'_>) -> Ended {
        let (name, job) = (job, &workflow["jobs"][job]);
        assert!(job["permissions"].is_object(), "{name}: permissions are stated");
        let checkout = self.folder.path().join("unused");
        let mut ended =
            Ended { codes: BTreeMap::new(), summary: String::new(), log: String::new(), checkout };
        let summary = self.at("summary.md");
        fs::write(&summary, "").unwrap();
        for step in job["steps"].as_array().unwrap() {
            let runs = match step["if"].as_str() {
                None => !ended.failed(),
                Some("always()") => true,
                Some(condition) => !ended.failed() && self.expressions[condition] == "true",
            };
            if !runs {
                continue;
            }
            if let Some(action) = step["uses"].as_str() {
                self.action(action, &step["with"], &mut ended.checkout);
                continue;
            }
            let script = step["run"].as_str().unwrap();
            assert!(!script.contains("${{"), "a value becomes a part of a script: {script}");
            let mut variables = BTreeMap::from([
                ("GITHUB_STEP_SUMMARY".to_owned(), summary.display().to_string()),
                ("GITHUB_OUTPUT".to_owned(), self.at("output").display().to_string()),
                ("GITHUB_REPOSITORY".to_owned(), "team/fleet".to_owned()),
                ("GITHUB_WORKSPACE".to_owned(), ended.checkout.display().to_string()),
                ("GITHUB_ACTIONS".to_owned(), "true".to_owned()),
            ]);
            for level in [workflow, job, step] {
                self.variables(level, &mut variables);
            }
            let file = self.at("step.sh");
            fs::write(&file, script).unwrap();
            let name = step["name"].as_str().unwrap();
            let output = self.run(&ended.checkout, &variables, &file, |child, at| meanwhile(name, child, at));
            ended.log += &String::from_utf8_lossy(&[output.stdout, output.stderr].concat());
            // One that was killed has no code.
            ended.codes.insert(name.to_owned(), output.status.code().unwrap_or(-1));
        }
        ended.summary = fs::read_to_string(summary).unwrap();
        ended
    }

    fn run(
        &self,
        checkout: &Path,
        variables: &BTreeMap<String, String>,
        script: &Path,
        meanwhile: impl FnOnce(&mut Child, &Path),
    ) -> Output {
        let mut command = self.command(checkout, variables);
        // As GitHub runs `shell: bash`.
        command.args(["--noprofile", "--norc", "-eo", "pipefail"]).arg(script);
        let mut child = command.spawn().unwrap();
        meanwhile(&mut child, checkout);
        child.wait_with_output().unwrap()
    }

    /// What an action does, as far as it matters here.
    fn action(&self, action: &str, with: &Value, checkout: &mut PathBuf) {
        let (name, version) = action.split_once('@').unwrap();
        assert!(
            version.len() == 40 && version.chars().all(|c| c.is_ascii_hexdigit()),
            "{action} is not pinned"
        );
        let text = |key: &str| self.evaluate(with[key].as_str().unwrap_or_else(|| panic!("{action}: {key}")));
        match name {
            "actions/checkout" => {
                assert_eq!(with["persist-credentials"], false, "the token is not left in the checkout");
                *checkout = self.checkout();
            }
            "actions/cache/save" => {
                let key = self.at("caches").join(text("key"));
                assert!(!key.exists(), "a cache is never changed");
                copy(&checkout.join(text("path")), &key);
            }
            "actions/cache/restore" => {
                let prefix = text("restore-keys");
                let caches = fs::read_dir(self.at("caches")).unwrap().map(|entry| entry.unwrap());
                let fits = caches.filter(|entry| entry.file_name().to_str().unwrap().starts_with(&prefix));
                if let Some(newest) = fits.max_by_key(|entry| entry.metadata().unwrap().modified().unwrap()) {
                    copy(&newest.path(), &checkout.join(text("path")));
                }
            }
            "actions/upload-artifact" => {
                let to = self.at("artifacts").join(text("name"));
                let _ = fs::remove_dir_all(&to);
                let from = checkout.join(text("path"));
                if from.is_file() {
                    fs::create_dir_all(&to).unwrap();
                    fs::copy(&from, to.join(from.file_name().unwrap())).unwrap();
                } else {
                    copy(&from, &to);
                }
            }
            "actions/download-artifact" => copy(&self.at("artifacts").join(text("name")), checkout),
            other => panic!("what does {other} do?"),
        }
    }

    /// Carries out the script of a job of GitLab's, and what comes after it.
    pub(super) fn gitlab(
        &self,
        workflow: &Value,
        job: &str,
        checkout: &Path,
        more: &[(&str, &str)],
    ) -> Ended {
        let job = &workflow[job];
        let mut variables = BTreeMap::new();
        for (name, value) in workflow["variables"].as_object().unwrap() {
            variables.insert(name.clone(), value.as_str().unwrap().to_owned());
        }
        variables.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let mut ended = Ended {
            codes: BTreeMap::new(),
            summary: String::new(),
            log: String::new(),
            checkout: checkout.to_owned(),
        };
        for part in ["script", "after_script"] {
            let lines = job[part].as_array().into_iter().flatten();
            let script = lines.map(|line| line.as_str().unwrap()).collect::<Vec<_>>().join("\n");
            let file = self.at("step.sh");
            fs::write(&file, script).unwrap();
            let output = self.run(checkout, &variables, &file, |_, _| ());
            ended.log += &String::from_utf8_lossy(&[output.stdout, output.stderr].concat());
            ended.codes.insert(part.to_owned(), output.status.code().unwrap_or(-1));
        }
        ended
    }
}

/// The content of a folder, without the modes of its files, as artifacts have it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::write(&to, fs::read(&from).unwrap()).unwrap();
        }
    }
}
