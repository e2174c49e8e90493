//! Making a bucket, or completing one: what is there stays as it is, what is missing is added.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::fields::Doc;
use super::files::{CONF_LIMIT, SMALL_LIMIT, read_text};
use super::open::{Bucket, Paths, shown};
use super::secrets;
use super::settings::Settings;
use crate::os::{disk, open};
use crate::plan::{Problem, Problems};

/// What [`init`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Initialised {
    /// The bucket's folder.
    pub root: PathBuf,
    /// Its id.
    pub bucket_id: String,
    /// Made or added to; relative to the folder. Empty: all was there.
    pub made: Vec<String>,
    /// The line for `authorized_keys`, where the public half is known.
    pub public_key: Option<String>,
    /// Whose `authorized_keys`.
    pub ssh_user: String,
}

const IGNORED: [&str; 4] = ["secrets/", "data/", "tmp/", "logs/"];

/// Makes `folder` a bucket. Everything that exists is kept; run again it changes nothing.
pub fn init(folder: &Path) -> Result<Initialised, Problems> {
    let root = std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf());
    let paths = Paths::of(&root);
    // A broken maand.conf is found before anything is made.
    let before = settings(&paths)?;
    let mut init = Init { paths: &paths, made: Vec::new() };
    let made = init.run(before.as_ref());
    made.map_err(|(path, error)| {
        Problem::error("maand::bucket::init", format!("{} cannot be made: {error}", shown(&path)))
            .help("what has been made so far is fine; fix this and run `maand init` again")
    })?;
    let made = init.made;
    let bucket = Bucket::open(&root)?;
    let key = &bucket.settings().ssh_key;
    secrets::check_secrets(&paths.secrets, key).into_result()?;
    let public = open::read_text(&public_path(key), SMALL_LIMIT).ok();
    Ok(Initialised {
        bucket_id: bucket.bucket_id()?.to_owned(),
        made,
        public_key: public.map(|text| text.trim().to_owned()),
        ssh_user: bucket.settings().ssh_user.clone(),
        root,
    })
}

/// The settings as they are; `None`: there is no `maand.conf` yet.
fn settings(paths: &Paths) -> Result<Option<Settings>, Problems> {
    let Some(source) = read_text(&paths.maand_conf, &paths.root, &shown(&paths.maand_conf), CONF_LIMIT)?
    else {
        return Ok(None);
    };
    let mut doc = Doc::new(&source);
    let settings = Settings::read(&mut doc, &paths.root);
    doc.finish().into_result().map(|_| Some(settings))
}

fn public_path(key: &Path) -> PathBuf {
    let mut name = key.file_name().map(ToOwned::to_owned).unwrap_or_default();
    name.push(".pub");
    key.with_file_name(name)
}

struct Init<'a> {
    paths: &'a Paths,
    made: Vec<String>,
}

type Step = Result<(), (PathBuf, io::Error)>;

impl Init<'_> {
    fn run(&mut self, before: Option<&Settings>) -> Step {
        let paths = self.paths;
        // Before any secret is there: it must never be committed.
        self.folder(&paths.root, 0o755)?;
        self.ignore()?;
        for folder in [&paths.workspace, &paths.jobs, &paths.logs] {
            self.folder(folder, 0o755)?;
        }
        for folder in [&paths.secrets, &paths.data, &paths.tmp] {
            self.folder(folder, 0o700)?;
        }
        self.file(&paths.workers_json, "[]\n", 0o644)?;
        self.file(&paths.bucket_conf, BUCKET_CONF, 0o644)?;
        let id = uuid::Uuid::new_v4().to_string();
        let key = match before {
            Some(settings) => settings.ssh_key.clone(),
            None => paths.secrets.join("worker.key"),
        };
        // A key somewhere else is its owner's business.
        if key.starts_with(&paths.secrets) && !key.exists() {
            let pair = secrets::generate("maand").map_err(|error| (key.clone(), error))?;
            self.file(&key, &pair.private, 0o600)?;
            self.file(&public_path(&key), &format!("{}\n", pair.public), 0o644)?;
        }
        // Last: with it the folder is a bucket.
        match before {
            None => self.file(&paths.maand_conf, &MAAND_CONF.replace("{id}", &id), 0o644),
            Some(settings) if settings.bucket_id.is_none() && !paths.upstream_db.exists() => self.add_id(&id),
            Some(_) => Ok(()),
        }
    }

    fn note(&mut self, path: &Path) {
        let name = path.strip_prefix(&self.paths.root).unwrap_or(path).display().to_string();
        self.made.push(if name.is_empty() { ".".to_owned() } else { name });
    }

    fn folder(&mut self, path: &Path, mode: u32) -> Step {
        let failed = |error| (path.to_path_buf(), error);
        if path.is_dir() {
            return open::check_below(path, &self.paths.root).map_err(failed);
        }
        let made = DirBuilder::new().recursive(true).mode(mode).create(path);
        // Whatever the umask is.
        made.and_then(|()| fs::set_permissions(path, Permissions::from_mode(mode))).map_err(failed)?;
        self.note(path);
        Ok(())
    }

    /// Writes a file that is not there, whole or not at all.
    fn file(&mut self, path: &Path, text: &str, mode: u32) -> Step {
        if path.exists() {
            return Ok(());
        }
        match disk::create(path, text, mode) {
            Ok(()) => self.note(path),
            // Another `maand init` was faster, and its file is as good.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err((path.to_path_buf(), error)),
        }
        Ok(())
    }

    /// What is copied into the bucket must have been in it.
    fn read(&self, path: &Path) -> io::Result<String> {
        open::check_below(path, &self.paths.root)?;
        open::read_text(path, SMALL_LIMIT)
    }

    fn ignore(&mut self) -> Step {
        let path = self.paths.root.join(".gitignore");
        let failed = |error| (path.clone(), error);
        let text = if path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            String::new()
        } else {
            self.read(&path).map_err(failed)?
        };
        let has = |name: &str| {
            let plain = |line: &str| line.trim().trim_start_matches('/').trim_end_matches('/').to_owned();
            text.lines().any(|line| plain(line) == plain(name))
        };
        let missing: Vec<&str> = IGNORED.into_iter().filter(|name| !has(name)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        replace(&path, &format!("{text}{gap}{}\n", missing.join("\n"))).map_err(failed)?;
        self.note(&path);
        Ok(())
    }

    /// A first line for a `maand.conf` of upstream's.
    fn add_id(&mut self, id: &str) -> Step {
        let path = &self.paths.maand_conf;
        let failed = |error| (path.clone(), error);
        let text = self.read(path).map_err(failed)?;
        let (mark, rest) = match text.strip_prefix('\u{feff}') {
            Some(rest) => ("\u{feff}", rest),
            None => ("", text.as_str()),
        };
        let line = "# Names this bucket on its workers: commit it, never change it.\n";
        replace(path, &format!("{mark}{line}bucket_id = \"{id}\"\n{rest}")).map_err(failed)?;
        self.note(path);
        Ok(())
    }
}

/// With the mode of what is there.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mode = fs::metadata(path).map_or(0o644, |meta| meta.permissions().mode() & 0o7777);
    disk::replace(path, text, mode)
}

const BUCKET_CONF: &str = "# Ports that builds hand out to jobs that ask for `{}`.
port_min = \"30000\"
port_max = \"39999\"
";

const MAAND_CONF: &str = r#"# A maand bucket. This file is committed; secrets/, data/, tmp/ and logs/ are not.

# Names this bucket on its workers: never change it.
bucket_id = "{id}"

# Who logs in to the workers, with which key (a file in secrets/), at which port.
ssh_user = "agent"
ssh_key = "worker.key"
ssh_port = 22

# Whether root is needed on the workers and taken by `sudo -n`.
use_sudo = true

# Host keys are always checked. "accept-new" stores the first key that a worker shows;
# "strict" demands that it is known. A key that has changed is refused by both.
host_key_check = "accept-new"

# Below this folder a worker has what belongs to the bucket.
#worker_root = "/opt/worker"

# Seconds for a connection to be made.
#connect_timeout = 10

# What prints the workers in the form of workspace/workers.json, for `maand import command`.
#inventory_command = "./inventory.py"

# "prod" reads workspace/bucket.jobs.prod.conf instead of workspace/bucket.jobs.conf.
#job_config_selector = ""
"#;

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(root: &Path) -> Vec<(PathBuf, Vec<u8>, u32)> {
        let mut all = Vec::new();
        let mut folders = vec![root.to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().flatten() {
                let mode = entry.metadata().unwrap().permissions().mode();
                match entry.path() {
                    path if path.is_dir() => {
                        all.push((path.clone(), Vec::new(), mode));
                        folders.push(path);
                    }
                    path => all.push((path.clone(), fs::read(path).unwrap(), mode)),
                }
            }
        }
        all.sort();
        all
    }

    #[test]
    fn a_new_bucket_loads_and_the_second_time_nothing_changes() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("new/bucket");
        let first = init(&root).unwrap();
        assert!(first.made.contains(&"maand.conf".to_owned()) && first.public_key.is_some());
        let (fleet, warnings) = Bucket::open(&root).unwrap().load_for_build().unwrap();
        assert!(warnings.is_empty() && fleet.workers.is_empty() && fleet.bucket_id == first.bucket_id);
        let before = snapshot(&root);
        let second = init(&root).unwrap();
        assert_eq!(second, Initialised { made: Vec::new(), ..first });
        assert_eq!(snapshot(&root), before);
        let mode = |name: &str| fs::metadata(root.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("secrets"), mode("secrets/worker.key"), mode("data")), (0o700, 0o600, 0o700));
    }

    #[test]
    fn upstreams_bucket_gets_an_id_and_keeps_everything() {
        let dir = tempfile::tempdir().unwrap();
        let conf = "ssh_user = \"root\"\n# mine\n[other]\nx = 1\n";
        fs::write(dir.path().join("maand.conf"), conf).unwrap();
        fs::write(dir.path().join(".gitignore"), "/data\nnotes").unwrap();
        let done = init(dir.path()).unwrap();
        let now = fs::read_to_string(dir.path().join("maand.conf")).unwrap();
        assert!(now.ends_with(conf) && now.contains(&done.bucket_id), "{now}");
        assert_eq!(
            fs::read_to_string(dir.path().join(".gitignore")).unwrap(),
            "/data\nnotes\nsecrets/\ntmp/\nlogs/\n"
        );
        assert_eq!(done.ssh_user, "root");
    }

    #[test]
    fn a_broken_bucket_is_not_completed() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("maand.conf"), "ssh_port = [").unwrap();
        assert!(init(dir.path()).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
