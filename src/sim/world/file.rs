//! `disabled.json` of a synthetic bucket: what it says, whose each entry is, and, where runs are checked,
//! its text, which the very code of real edits changes. It must not know why something is edited.

use std::sync::Arc;

use serde_json::{Value, json};
use smallvec::SmallVec;

use crate::bucket::{DisabledEntry, JobIx, WorkerIx, edited_disabled};
use crate::graph::RolloutGraph;

use super::entries::{Entries, Entry};

/// A key that operators keep in the file and that no program knows.
const NOTE: &str = "note";

/// The file.
#[derive(Clone)]
pub(in crate::sim) struct File {
    graph: Arc<RolloutGraph>,
    /// What it says.
    entries: Entries,
    /// What operators have written into it.
    others: Entries,
    /// The same in the order in which they wrote it.
    written: Vec<Entry>,
    /// What the run has written into it, as the edit itself recorded.
    marks: Entries,
    /// Marks may be missing: an operator has checked an old one out.
    old: bool,
    /// An operator has left it half written; the text before that.
    half: Option<Option<String>>,
    /// Its text is kept (and the entries are what the text says).
    kept: bool,
    text: Option<String>,
    /// Counts changes of the text.
    version: u64,
}

impl File {
    pub(super) fn new(graph: &Arc<RolloutGraph>) -> Self {
        let fleet = &graph.fleet;
        let of_operator = |(w, host): (usize, &str)| {
            let worker = WorkerIx(w as u32);
            fleet.disabled.workers.contains(host).then_some(Entry { worker, job: None })
        };
        let hosts = fleet.workers.iter().map(|worker| worker.host.as_str()).enumerate();
        let written: Vec<Entry> = hosts.filter_map(of_operator).collect();
        let nothing = Entries::new(fleet.workers.len());
        let mut others = nothing.clone();
        for entry in &written {
            others.insert(*entry);
        }
        Self {
            graph: Arc::clone(graph),
            entries: others.clone(),
            written,
            others,
            marks: nothing,
            old: false,
            half: None,
            kept: false,
            text: None,
            version: 0,
        }
    }

    /// From now on with its text: an operator who has nothing to say has written none.
    pub(in crate::sim) fn keep_text(&mut self) {
        self.kept = true;
        self.text = (!self.others.is_empty()).then(|| self.by_hand());
        self.version += 1;
    }

    pub(in crate::sim) fn entries(&self) -> &Entries {
        &self.entries
    }

    pub(in crate::sim) fn others(&self) -> &Entries {
        &self.others
    }

    /// Entries that the run has put there and not taken away, whatever others made of the file.
    pub(in crate::sim) fn marks(&self) -> &Entries {
        &self.marks
    }

    pub(in crate::sim) fn version(&self) -> u64 {
        self.version
    }

    pub(in crate::sim) fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// The run adds what is not there: what of it is its own, and what is others'. `None`: the file is
    /// no good, and stays as it is. `read`: the text that the edit is made from, where it is not the one
    /// that is there.
    pub(in crate::sim) fn disable(
        &mut self,
        wanted: &[Entry],
        read: Option<Option<String>>,
    ) -> Option<(Vec<Entry>, Vec<Entry>)> {
        let (mut own, mut others) = (Vec::new(), Vec::new());
        for entry in wanted {
            let theirs = self.entries.contains(*entry) && !self.marks.contains(*entry);
            if theirs { &mut others } else { &mut own }.push(*entry);
        }
        self.edit(&own, true, read)?;
        for entry in &own {
            self.entries.insert(*entry);
            self.marks.insert(*entry);
        }
        Some((own, others))
    }

    /// The run takes its own entries of the worker away; `careless`: and all others.
    pub(in crate::sim) fn enable(
        &mut self,
        worker: WorkerIx,
        careless: bool,
        read: Option<Option<String>>,
    ) -> Option<()> {
        let of_worker = self.entries.of_worker(worker).iter().map(|job| Entry { worker, job: *job });
        let ours: SmallVec<[Entry; 2]> =
            of_worker.filter(|entry| careless || self.marks.contains(*entry)).collect();
        self.edit(&ours, false, read)?;
        for entry in &ours {
            self.entries.remove(*entry);
        }
        self.marks.clear_worker(worker);
        Some(())
    }

    /// The run puts back those of its entries that have vanished. `None` as for [`Self::disable`].
    pub(in crate::sim) fn ensure(&mut self) -> Option<()> {
        if self.half.is_some() {
            return None;
        }
        if self.old {
            let gone: Vec<Entry> = self.marks.without(&self.entries).collect();
            self.edit(&gone, true, None)?;
            for entry in gone {
                self.entries.insert(entry);
            }
            self.old = false;
        }
        Some(())
    }

    fn edit(&mut self, entries: &[Entry], there: bool, read: Option<Option<String>>) -> Option<()> {
        if self.half.is_some() {
            return None;
        }
        if self.kept {
            let named: Vec<DisabledEntry> = entries.iter().map(|entry| self.named(*entry)).collect();
            let base = read.unwrap_or_else(|| self.text.clone());
            self.text = edited_disabled(base.as_deref(), &named, there).ok()?;
            self.version += 1;
        }
        Some(())
    }

    /// As if a run wrote in place: for a moment half of it is there.
    pub(in crate::sim) fn truncate(&mut self) {
        if let Some(text) = &mut self.text {
            let half = text.len() / 2;
            text.truncate(half);
            self.version += 1;
        }
    }

    fn named(&self, entry: Entry) -> DisabledEntry {
        let fleet = &self.graph.fleet;
        let host = fleet.worker(entry.worker).host.clone();
        match entry.job {
            None => DisabledEntry::Worker(host),
            Some(job) => DisabledEntry::Allocation(fleet.job(job).name.clone(), host),
        }
    }

    fn host(&self, worker: WorkerIx) -> &str {
        self.graph.fleet.worker(worker).host.as_str()
    }

    /// The file with operators' entries only, as they write it.
    fn by_hand(&self) -> String {
        let hosts: Vec<&str> = self.written.iter().map(|entry| self.host(entry.worker)).collect();
        format!("{{\n    \"workers\": {},\n    \"{NOTE}\": \"by hand\"\n}}\n", json!(hosts))
    }

    /// An operator adds a whole worker; `false`: it stands there already, or the file is not whole.
    pub(in crate::sim) fn operator_adds(&mut self, entry: Entry) -> bool {
        // One of the run that an operator took out, and that is put in again, cannot be told from it.
        if self.half.is_some() || self.marks.contains(entry) || !self.entries.insert(entry) {
            return false;
        }
        self.others.insert(entry);
        self.written.push(entry);
        if self.kept {
            let mut root: Value =
                self.text.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
            if !root.is_object() {
                root = json!({});
            }
            let host = self.host(entry.worker).to_owned();
            root[NOTE] = json!("by hand");
            match root.get_mut("workers").and_then(Value::as_array_mut) {
                Some(list) => list.push(json!(host)),
                None => root["workers"] = json!([host]),
            }
            self.text = Some(format!("{root:#}\n"));
            self.version += 1;
        }
        true
    }

    /// A git checkout: the run's entries are gone.
    pub(in crate::sim) fn checked_out(&mut self) {
        if self.half.is_some() {
            return;
        }
        self.entries.clone_from(&self.others);
        self.old = true;
        if self.kept {
            self.text = (!self.others.is_empty()).then(|| self.by_hand());
            self.version += 1;
        }
    }

    /// An operator saves half a file; `false`: that is so already.
    pub(in crate::sim) fn half_written(&mut self) -> bool {
        if self.half.is_some() {
            return false;
        }
        self.half = Some(self.text.take());
        self.text = Some("{\"workers\": [\"10.".to_owned());
        self.version += 1;
        true
    }

    /// The operator saves the rest.
    pub(in crate::sim) fn saves_rest(&mut self) {
        if let Some(text) = self.half.take() {
            self.text = text;
            self.version += 1;
        }
    }

    /// What is wrong with the text, read by another parser than that of the edits.
    pub(in crate::sim) fn wrong(&self) -> Option<String> {
        if !self.kept || self.half.is_some() {
            return None;
        }
        let text = self.text.as_deref().unwrap_or("{}");
        let Ok(root) = serde_json::from_str::<Value>(text) else {
            return Some(format!("disabled.json does not parse: {text}"));
        };
        let workers = strings(root.get("workers"));
        let mut said: Vec<(String, Option<String>)> =
            workers.iter().map(|host| (host.clone(), None)).collect();
        for (job, value) in root.get("jobs").and_then(Value::as_object).into_iter().flatten() {
            let hosts = strings(value.get("allocations"));
            said.extend(hosts.into_iter().map(|host| (host, Some(job.clone()))));
        }
        let name = |job: JobIx| self.graph.fleet.job(job).name.as_str().to_owned();
        let mut meant: Vec<(String, Option<String>)> = self
            .entries
            .iter()
            .map(|entry| (self.host(entry.worker).to_owned(), entry.job.map(name)))
            .collect();
        said.sort();
        meant.sort();
        if said != meant {
            return Some(format!("disabled.json says {said:?} instead of {meant:?}"));
        }
        let theirs: Vec<&str> = self.written.iter().map(|entry| self.host(entry.worker)).collect();
        let left: Vec<&str> =
            workers.iter().map(String::as_str).filter(|host| theirs.contains(host)).collect();
        if left != theirs {
            return Some(format!("operators wrote {theirs:?}, and disabled.json has {left:?}"));
        }
        (!theirs.is_empty() && root.get(NOTE) != Some(&json!("by hand")))
            .then(|| format!("a key of operators' is gone: {text}"))
    }
}

fn strings(value: Option<&Value>) -> Vec<String> {
    let items = value.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(|item| item.as_str().map(str::to_owned)).collect()
}
