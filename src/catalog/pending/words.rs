//! Pending changes in words: a line for each. Names of files are foreign text, and every line is one line.

use super::{Changed, Files, JobChange, JobVersion, UnbuiltJob, WorkerChange};
use crate::bucket::Host;
use crate::catalog::Action;
use crate::plan::{counted, visible_line};

/// Says what the version alone already says.
const MANIFEST: &str = "manifest.json";

impl JobChange {
    /// `api 1.0.0 -> 1.1.0 on 30 workers: Makefile, 1 more`
    pub fn line(&self) -> String {
        let on = on(&self.workers);
        let job = &self.job;
        let text = match (&self.from, &self.to) {
            (None, Some(to)) => format!("{job} {} is new on {on}", version(to)),
            (from, None) => {
                let from = from.as_ref().map_or_else(String::new, |from| format!(" {}", version(from)));
                let done = if self.action == Action::Remove { "removed from" } else { "stopped on" };
                format!("{job}{from} is {done} {on}")
            }
            (Some(from), Some(to)) if from.hash == to.hash => {
                let done = match self.action {
                    Action::Start => "started",
                    Action::Reload => "reloaded",
                    Action::Sync => "sent again",
                    _ => "restarted",
                };
                format!("{job} {} is {done} on {on}", versions(from, to))
            }
            (Some(from), Some(to)) => {
                format!("{job} {} on {on}: {}", versions(from, to), self.files.line())
            }
        };
        let text = match &self.why {
            Some(why) => format!("{text} ({why})"),
            None => text,
        };
        visible_line(&text)
    }
}

impl UnbuiltJob {
    /// `api 1.0.0 -> 1.1.0: Makefile, 1 more`
    pub fn line(&self) -> String {
        let job = &self.job;
        let mut parts = Vec::new();
        let head = match (&self.from, &self.to) {
            (None, Some(to)) => {
                parts.push("it is new".to_owned());
                format!("{job} {}", version(to))
            }
            (Some(from), None) => {
                parts.push("its folder is gone".to_owned());
                format!("{job} {}", version(from))
            }
            (Some(from), Some(to)) => {
                if self.files.unknown || self.files.count() > 0 {
                    parts.push(self.files.line());
                }
                format!("{job} {}", versions(from, to))
            }
            (None, None) => job.to_string(),
        };
        let mut counts = |hosts: &[Host], what: &str| {
            if !hosts.is_empty() {
                parts.push(format!("{what} {}", on(hosts)));
            }
        };
        counts(&self.joins, "joins");
        counts(&self.leaves, "leaves");
        counts(&self.disabled, "disabled on");
        counts(&self.enabled, "enabled on");
        if self.other_ports {
            parts.push("other ports".to_owned());
        }
        if self.other_settings {
            parts.push("other settings in bucket.jobs.conf".to_owned());
        }
        visible_line(&format!("{head}: {}", parts.join("; ")))
    }
}

impl WorkerChange {
    /// `10.0.0.7: added to workers.json`
    pub fn line(&self) -> String {
        let how = match self.change {
            Changed::Added => "added to workers.json",
            Changed::Changed => "its entry in workers.json has changed",
            Changed::Removed => "removed from workers.json",
        };
        visible_line(&format!("{}: {how}", self.host))
    }
}

impl Files {
    /// `Makefile, 1 more`, with the number of those that are new or gone.
    pub fn line(&self) -> String {
        if self.unknown {
            return "which files differ is not known".to_owned();
        }
        let first = self.changes.iter().find(|file| file.path != MANIFEST).or(self.changes.first());
        let Some(first) = first else { return "other ports".to_owned() };
        let mut text = first.path.clone();
        if self.count() > 1 {
            text += &format!(", {} more", self.count() - 1);
        }
        let number = |of: Changed| self.changes.iter().filter(|file| file.change == of).count();
        let kinds: Vec<String> = [Changed::Added, Changed::Removed]
            .into_iter()
            .filter(|of| number(*of) > 0)
            .map(|of| format!("{} {}", number(of), of.word()))
            .collect();
        // Of a list that was cut the numbers would be wrong.
        if !kinds.is_empty() && self.more == 0 {
            text += &format!(" ({})", kinds.join(", "));
        }
        visible_line(&text)
    }
}

fn version(of: &JobVersion) -> &str {
    if of.version.is_empty() { "of an unknown version" } else { &of.version }
}

fn versions(from: &JobVersion, to: &JobVersion) -> String {
    if from.version == to.version {
        return version(to).to_owned();
    }
    format!("{} -> {}", version(from), version(to))
}

/// One by its name, of more the number.
fn on(workers: &[Host]) -> String {
    match workers {
        [only] => only.to_string(),
        all => counted(all.len(), "worker"),
    }
}
