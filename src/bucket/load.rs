//! Reading the whole workspace into one [`Fleet`]: every file, every problem, one snapshot.
//!
//! Two degrees of strictness: [`Bucket::load`] refuses what makes the snapshot meaningless and warns
//! of what only a build refuses; [`Bucket::load_for_build`] refuses both.

use std::collections::BTreeMap;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::check::{self, Checked};
use super::conf;
use super::disabled;
use super::fields::Doc;
use super::files::{CONF_LIMIT, DISABLED_LIMIT, SMALL_LIMIT, WORKERS_LIMIT};
use super::fleet::{Disabled, Fleet, JobName, Worker};
use super::json::quoted;
use super::manifest;
use super::open::{Bucket, shown};
use super::tree::{self, JobFile, JobFileKind};
use super::workers;
use crate::os::open;
use crate::plan::{Problem, Problems, Severity, Source};

/// More folders than this below `workspace/jobs` are refused.
const MAX_JOBS: usize = 5_000;
/// What to do about a link out of the bucket.
const LINKS: &str = "put a folder there, or let the link lead to a place inside of the bucket";

impl Bucket {
    /// One snapshot of the workspace with the warnings, or everything that is wrong with it.
    pub fn load(&self) -> Result<(Fleet, Problems), Problems> {
        self.snapshot(false)
    }

    /// As [`Bucket::load`], and what a build refuses is an error: a job without a Makefile, ports that
    /// clash, demands in a circle or of no job, too few allocations, workers that are too small.
    pub fn load_for_build(&self) -> Result<(Fleet, Problems), Problems> {
        self.snapshot(true)
    }

    /// The workers that `workers.json` has, as far as they can be read, whatever is wrong with the rest of the
    /// workspace: to reach them no job is needed.
    pub fn workers_alone(&self) -> Vec<Worker> {
        self.workers(&mut Problems::new()).0
    }

    /// What `disabled.json` has, whatever is wrong with the rest of the workspace.
    ///
    /// # Errors
    /// That file cannot be read, or something in it is wrong.
    pub fn disabled_alone(&self) -> Result<Disabled, Problems> {
        let mut found = Disabled::default();
        if let Some(source) = self.read(&self.paths().disabled_json, DISABLED_LIMIT)? {
            let mut doc = Doc::new(&source);
            found = disabled::read(&mut doc).disabled;
            doc.finish().into_result()?;
        }
        Ok(found)
    }

    fn snapshot(&self, strict: bool) -> Result<(Fleet, Problems), Problems> {
        let mut problems = self.warnings().clone();
        let bucket_id = match self.bucket_id() {
            Ok(id) => id.to_owned(),
            Err(problem) => {
                problems.push(problem);
                String::new()
            }
        };
        let (workers, places) = self.workers(&mut problems);
        let mut jobs = self.jobs(&mut problems);
        self.reservations(&mut jobs, &mut problems);
        let mut fleet = Fleet {
            bucket_id,
            workers,
            jobs: jobs.iter().map(|job| job.placed.job.clone()).collect(),
            disabled: Default::default(),
            synthetic: false,
        };
        self.disabled(&mut fleet, &mut problems);
        if let Err(found) = self.port_range() {
            problems.extend(found);
        }
        let mut build = check::some(check::all(&fleet, &jobs, &places));
        if !strict {
            build.iter_mut().for_each(|problem| problem.severity = Severity::Warning);
        }
        build.into_iter().for_each(|problem| problems.push(problem));
        problems.sort();
        problems.into_result().map(|warnings| (fleet, warnings))
    }

    /// All workers, and where each stands.
    fn workers(&self, problems: &mut Problems) -> (Vec<Worker>, Vec<(Source, Range<usize>)>) {
        let path = &self.paths().workers_json;
        match self.read(path, WORKERS_LIMIT) {
            Err(problem) => problems.push(problem),
            Ok(None) => problems.push(
                Problem::error("maand::bucket::no_workers", format!("{} is missing", shown(path)))
                    .help("write a list such as [{\"host\": \"10.0.0.1\"}] there, or [] for none yet"),
            ),
            Ok(Some(source)) => {
                let mut doc = Doc::new(&source);
                let all = workers::read(&mut doc);
                problems.extend(doc.finish());
                let apart = |placed: workers::Placed| (placed.worker, (source.clone(), placed.span));
                return all.into_iter().map(apart).unzip();
            }
        }
        (Vec::new(), Vec::new())
    }

    /// The jobs by name: each folder below `workspace/jobs` that has a manifest.
    fn jobs(&self, problems: &mut Problems) -> Vec<Checked> {
        let folder = &self.paths().jobs;
        let refused = |path: &Path, why: &dyn std::fmt::Display, help: &str| {
            let message = format!("{} cannot be read: {why}", shown(path));
            Problem::error("maand::bucket::unreadable", message).help(help)
        };
        if let Err(error) = open::check_below(folder, &self.paths().root) {
            problems.push(refused(folder, &error, LINKS));
            return Vec::new();
        }
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
            Err(error) => {
                problems.push(refused(folder, &error, "check its permissions"));
                return Vec::new();
            }
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    problems.push(refused(folder, &error, "try again"));
                    return Vec::new();
                }
            };
            if !entry.path().is_dir() || entry.file_name().as_bytes().starts_with(b".") {
                continue;
            }
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else {
                problems.push(refused(&entry.path(), &"its name is not UTF-8 text", "rename the folder"));
                continue;
            };
            if names.len() == MAX_JOBS {
                let why = format!("it has more than {MAX_JOBS} folders");
                problems.push(refused(folder, &why, "a bucket cannot have so many jobs"));
                return Vec::new();
            }
            match open::check_below(&entry.path(), &self.paths().root) {
                Ok(()) => names.push(name),
                Err(error) => problems.push(refused(&entry.path(), &error, LINKS)),
            }
        }
        names.sort();
        names.iter().filter_map(|name| self.job(&folder.join(name), name, problems)).collect()
    }

    fn job(&self, folder: &Path, name: &str, problems: &mut Problems) -> Option<Checked> {
        let path = folder.join("manifest.json");
        let source = match self.read(&path, SMALL_LIMIT) {
            Ok(Some(source)) => source,
            Ok(None) => {
                let message = format!("{} has no manifest.json and is not taken for a job", shown(folder));
                problems.push(
                    Problem::warning("maand::bucket::no_manifest", message)
                        .help("write a manifest.json there ({} is enough), or move the folder away"),
                );
                return None;
            }
            Err(problem) => {
                problems.push(problem);
                return None;
            }
        };
        let Some(job_name) = JobName::parse(name) else {
            let message = format!("{} cannot be a job's name", quoted(name));
            problems.push(Problem::error("maand::bucket::job_name", message).in_file(&source).help(
                "rename the folder: letters, digits, `.`, `_` and `-`, starting with none of the last",
            ));
            return None;
        };
        let mut doc = Doc::new(&source);
        let placed = manifest::read(&mut doc, &job_name);
        problems.extend(doc.finish());
        let mut placed = placed?;
        tree::left_behind(folder, &shown(folder)).into_iter().for_each(|problem| problems.push(problem));
        let has_makefile = match tree::walk(folder, &shown(folder)) {
            Ok(files) => {
                placed.job.unsupported.extend(tree::unsupported(&files));
                let makefile = |file: &JobFile| {
                    ["Makefile", "Makefile.tpl"].contains(&file.path.as_str())
                        && file.kind != JobFileKind::Folder
                };
                files.iter().any(makefile)
            }
            Err(found) => {
                problems.extend(found);
                // Not known.
                true
            }
        };
        Some(Checked { placed, source, has_makefile })
    }

    /// Applies `bucket.jobs.conf` (or the one that `job_config_selector` names): what a job reserves
    /// here, inside of the bounds of its manifest.
    fn reservations(&self, jobs: &mut [Checked], problems: &mut Problems) {
        let selector = &self.settings().job_config_selector;
        let name = if selector.is_empty() {
            "bucket.jobs.conf".to_owned()
        } else {
            format!("bucket.jobs.{selector}.conf")
        };
        for job in jobs.iter_mut() {
            let resources = &mut job.placed.job.resources;
            resources.memory_reserved_mb = resources.memory_max_mb;
            resources.cpu_reserved_mhz = resources.cpu_max_mhz;
        }
        let source = match self.read(&self.paths().workspace.join(name), CONF_LIMIT) {
            Ok(Some(source)) => source,
            Ok(None) => return,
            Err(problem) => return problems.push(problem),
        };
        let mut doc = Doc::new(&source);
        let mut sections = conf::reservations(&mut doc);
        for job in jobs.iter_mut() {
            let Some(section) = sections.remove(job.placed.job.name.as_str()) else { continue };
            let r = &mut job.placed.job.resources;
            if let Some(stated) = section.memory_mb {
                check::reserve(
                    &mut doc,
                    stated,
                    (&mut r.memory_min_mb, &mut r.memory_max_mb),
                    &mut r.memory_reserved_mb,
                    "mb",
                );
            }
            if let Some(stated) = section.cpu_mhz {
                check::reserve(
                    &mut doc,
                    stated,
                    (&mut r.cpu_min_mhz, &mut r.cpu_max_mhz),
                    &mut r.cpu_reserved_mhz,
                    "mhz",
                );
            }
        }
        let unknown: BTreeMap<_, _> = sections;
        for (job, section) in unknown {
            doc.warn(
                "maand::bucket::unknown_job",
                format!("there is no job `{job}`"),
                &section.place,
                "not used",
                "the section's name is that of a folder in workspace/jobs",
            );
        }
        problems.extend(doc.finish());
    }

    fn disabled(&self, fleet: &mut Fleet, problems: &mut Problems) {
        match self.read(&self.paths().disabled_json, DISABLED_LIMIT) {
            Ok(None) => {}
            Err(problem) => problems.push(problem),
            Ok(Some(source)) => {
                let mut doc = Doc::new(&source);
                let read = disabled::read(&mut doc);
                read.warn_of_unknown(&mut doc, fleet);
                fleet.disabled = read.disabled;
                problems.extend(doc.finish());
            }
        }
    }
}
