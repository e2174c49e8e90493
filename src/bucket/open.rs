//! Finding and opening a bucket, and the places of its files.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::conf;
use super::fields::Doc;
use super::files::{CONF_LIMIT, NOTIFY_LIMIT, SMALL_LIMIT, WORKERS_LIMIT, read_text};
use super::fleet::JobName;
use super::secrets::check_secrets;
use super::settings::{Settings, is_bucket_id};
use super::upstream::read_upstream;
use crate::os::open;
use crate::plan::{Notify, Problem, Problems, Source, parse_notify};

/// Where the files of a bucket are.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the files")]
pub struct Paths {
    pub root: PathBuf,
    pub maand_conf: PathBuf,
    pub workspace: PathBuf,
    pub workers_json: PathBuf,
    pub disabled_json: PathBuf,
    pub jobs: PathBuf,
    pub bucket_conf: PathBuf,
    pub command_sh: PathBuf,
    pub secrets: PathBuf,
    pub known_hosts: PathBuf,
    pub data: PathBuf,
    /// What a run has in `disabled.json`.
    pub disabled_record: PathBuf,
    /// Held around every operation that changes the catalog, `disabled.json`, or workers.
    pub catalog_lock: PathBuf,
    pub plan_db: PathBuf,
    pub catalog_db: PathBuf,
    /// Upstream's database; never written.
    pub upstream_db: PathBuf,
    pub tmp: PathBuf,
    pub logs: PathBuf,
}

impl Paths {
    /// Those of the bucket in this folder, whether they exist or not.
    pub fn of(root: &Path) -> Self {
        let (workspace, secrets, data) = (root.join("workspace"), root.join("secrets"), root.join("data"));
        Self {
            maand_conf: root.join("maand.conf"),
            workers_json: workspace.join("workers.json"),
            disabled_json: workspace.join("disabled.json"),
            jobs: workspace.join("jobs"),
            bucket_conf: workspace.join("bucket.conf"),
            command_sh: workspace.join("command.sh"),
            known_hosts: secrets.join("known_hosts"),
            disabled_record: data.join("disabled-own.json"),
            catalog_lock: data.join("catalog.lock"),
            plan_db: data.join("plan.db"),
            catalog_db: data.join("catalog.db"),
            upstream_db: data.join("maand.db"),
            tmp: root.join("tmp"),
            logs: root.join("logs"),
            root: root.to_path_buf(),
            workspace,
            secrets,
            data,
        }
    }
}

/// An opened bucket: where it is and what `maand.conf` says.
#[derive(Clone, Debug)]
pub struct Bucket {
    paths: Paths,
    settings: Settings,
    warnings: Problems,
}

impl Bucket {
    /// Opens the bucket in `start`, or else (`None`) in the nearest folder with a `maand.conf`, from
    /// the current one upwards.
    ///
    /// # Errors
    /// There is no bucket, or its `maand.conf` is wrong.
    pub fn find(start: Option<&Path>) -> Result<Self, Problems> {
        if let Some(bucket) = Self::find_if_any(start)? {
            return Ok(bucket);
        }
        let problem = match std::env::current_dir() {
            Ok(here) => Problem::error(
                "maand::bucket::not_found",
                format!("there is no maand.conf in {} or above it", here.display()),
            )
            .help("say where the bucket is with -C DIR, or make one with `maand init`"),
            Err(error) => {
                Problem::error("maand::bucket::not_found", format!("the current folder is unknown: {error}"))
                    .help("change to a folder that exists, or say where the bucket is with -C")
            }
        };
        Err(problem.into())
    }

    /// As [`Bucket::find`]; `Ok(None)` when no folder is named and there is no bucket around the current one.
    ///
    /// # Errors
    /// There is no bucket in the named folder, or `maand.conf` is wrong.
    pub fn find_if_any(start: Option<&Path>) -> Result<Option<Self>, Problems> {
        if let Some(folder) = start {
            return Self::open(folder).map(Some);
        }
        let Ok(here) = std::env::current_dir() else { return Ok(None) };
        let Some(nearest) = bucket_around(&here) else { return Ok(None) };
        if is_strangers(nearest, &here) {
            let message =
                format!("the bucket around this folder, {}, belongs to another user", nearest.display());
            return Err(Problem::error("maand::bucket::not_yours", message)
                .help(format!("if you mean it, name it: -C {}", nearest.display()))
                .into());
        }
        Self::open(nearest).map(Some)
    }

    /// Opens the bucket in this folder: reads `maand.conf`, nothing else.
    pub fn open(folder: &Path) -> Result<Self, Problems> {
        let root = match std::path::absolute(folder) {
            Ok(root) => root,
            Err(_) => folder.to_path_buf(),
        };
        let paths = Paths::of(&root);
        let name = shown(&paths.maand_conf);
        let Some(source) = read_text(&paths.maand_conf, &root, &name, CONF_LIMIT)? else {
            return Err(Problem::error(
                "maand::bucket::not_found",
                format!("{} is no bucket: it has no maand.conf", shown(&root)),
            )
            .help("make a bucket there with `maand init DIR`, or name another folder with -C")
            .into());
        };
        let mut doc = Doc::new(&source);
        let mut settings = Settings::read(&mut doc, &root);
        let problems = doc.finish();
        if settings.bucket_id.is_none() {
            settings.bucket_id = upstream_bucket_id(&paths.upstream_db).ok().flatten();
        }
        if !problems.has_errors() {
            return Ok(Self { paths, settings, warnings: problems });
        }
        // Nothing can be done with this bucket, so say at once what else is wrong with it.
        settings.bucket_id.get_or_insert_with(|| "unknown".to_owned());
        let bucket = Self { paths, settings, warnings: problems };
        match bucket.load() {
            Ok((_, problems)) | Err(problems) => Err(problems),
        }
    }

    /// Where its files are.
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// What `maand.conf` says.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What is ambiguous in `maand.conf` and yet accepted.
    pub fn warnings(&self) -> &Problems {
        &self.warnings
    }

    /// What others than their owner can do with its secrets; as `src/bucket/secrets.rs` judges it.
    pub fn secrets_problems(&self) -> Problems {
        check_secrets(&self.paths.secrets, &self.settings.ssh_key)
    }

    /// The id that names this bucket on its workers.
    pub fn bucket_id(&self) -> Result<&str, Problem> {
        self.settings.bucket_id.as_deref().ok_or_else(|| {
            if self.is_upstream() {
                let why = upstream_bucket_id(&self.paths.upstream_db).err();
                let why = why.map_or_else(String::new, |why| format!(": {why}"));
                let name = shown(&self.paths.upstream_db);
                let message = format!("the id of this bucket cannot be read from {name}{why}");
                return Problem::error("maand::bucket::upstream_db", message).help(
                    "look at it with the upstream program (`maand info`); if it is damaged, take it from a backup: the workers know the id in it",
                );
            }
            let name = shown(&self.paths.maand_conf);
            Problem::error("maand::bucket::no_bucket_id", format!("{name} has no `bucket_id`"))
                .in_file(&Source::new(name, ""))
                .help("run `maand init` in the bucket: it adds one and changes nothing else")
        })
    }

    /// Whether the bucket belongs to an installed upstream program.
    pub fn is_upstream(&self) -> bool {
        // Whatever stands there: what cannot be used is an error, and never another engine.
        self.paths.upstream_db.symlink_metadata().is_ok()
    }

    /// The ports that a build may hand out, from `workspace/bucket.conf`.
    pub fn port_range(&self) -> Result<RangeInclusive<u16>, Problems> {
        let Some(source) = self.read(&self.paths.bucket_conf, CONF_LIMIT)? else {
            return Ok(conf::DEFAULT_PORTS);
        };
        let mut doc = Doc::new(&source);
        let range = conf::port_range(&mut doc);
        doc.finish().into_result().map(|_| range)
    }

    /// A job's manifest as the place of a problem; its name alone, where it cannot be read.
    pub fn manifest(&self, job: &JobName) -> Source {
        let path = self.paths.jobs.join(job.as_str()).join("manifest.json");
        let shown = path.strip_prefix(&self.paths.root).unwrap_or(&path).display().to_string();
        match read_text(&path, &self.paths.root, &shown, SMALL_LIMIT) {
            Ok(Some(source)) => source,
            Ok(None) | Err(_) => Source::new(shown, ""),
        }
    }

    /// The text of `workers.json`; `None`: there is none.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn workers_text(&self) -> Result<Option<Source>, Problem> {
        self.read(&self.paths.workers_json, WORKERS_LIMIT)
    }

    /// The command of `command.sh`; `None`: there is none.
    ///
    /// # Errors
    /// It cannot be read, or has more than `limit` bytes.
    pub fn command_text(&self, limit: u64) -> Result<Option<Source>, Problem> {
        self.read(&self.paths.command_sh, limit)
    }

    /// Who is told of what happens in runs of this bucket; nobody, where `maand.conf` names no file for it.
    ///
    /// # Errors
    /// The file is missing or cannot be read, or something in it is wrong.
    pub fn notify(&self) -> Result<Notify, Problems> {
        let Some(name) = &self.settings.notify else { return Ok(Notify::default()) };
        let path = self.paths.root.join(name);
        match self.read(&path, NOTIFY_LIMIT)? {
            Some(source) => parse_notify(&source),
            None => Err(Problem::error(
                "maand::bucket::no_notify",
                format!("{} is missing, and `notify` in maand.conf names it", shown(&path)),
            )
            .help("write targets there, such as `ops: {slack: {url: {from_env: SLACK_URL}}}`, or take the key out")
            .into()),
        }
    }

    /// A file of this bucket, under the name that operators know it by.
    pub(super) fn read(&self, path: &Path, limit: u64) -> Result<Option<Source>, Problem> {
        read_text(path, &self.paths.root, &shown(path), limit)
    }
}

/// The nearest folder with a `maand.conf`, from this one upwards. Whatever stands there under that name counts: one
/// that cannot be used must not make another bucket be taken.
pub fn bucket_around(here: &Path) -> Option<&Path> {
    here.ancestors()
        .find(|folder| folder.join("maand.conf").symlink_metadata().is_ok_and(|meta| !meta.is_dir()))
}

/// Whether a bucket that was found above `here` was put there by another user: in a folder such as /tmp anybody can. Who
/// is in a bucket, or names it, means it.
pub fn is_strangers(bucket: &Path, here: &Path) -> bool {
    bucket != here && !open::is_ours(&bucket.join("maand.conf"))
}

/// A path as it would be typed: relative to the current folder where it is below it.
pub(super) fn shown(path: &Path) -> String {
    let relative =
        std::env::current_dir().ok().and_then(|here| path.strip_prefix(here).ok().map(Path::to_path_buf));
    match relative {
        Some(relative) if !relative.as_os_str().is_empty() => relative.display().to_string(),
        _ => path.display().to_string(),
    }
}

/// The id in upstream's database; `None` when there is no database, or no id in it.
fn upstream_bucket_id(db: &Path) -> rusqlite::Result<Option<String>> {
    if db.symlink_metadata().is_err() {
        return Ok(None);
    }
    let read = |connection: &rusqlite::Connection| {
        connection.query_row("SELECT bucket_id FROM bucket LIMIT 1", [], |row| row.get(0))
    };
    let id: String = read_upstream(db, read)?;
    Ok(is_bucket_id(&id).then_some(id))
}
