//! A reviewed plan: the content of its file, compiled.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Document, Inputs, Rollout, Unreadable, format};
use crate::bucket::{Host, JobName};
use crate::graph::{self, CompileOptions, RolloutGraph};
use crate::plan::{self, Plan, Source, script_text};
use crate::policy::Limits;

/// A reviewed plan, whole and in itself true: the rollout that it shows is the one that its inputs compile to.
#[derive(Clone, Debug)]
pub struct Reviewed {
    document: Document,
    sha256: String,
    graph: Arc<RolloutGraph>,
    limits: Limits,
}

impl Reviewed {
    /// What these inputs compile to was reviewed; `graph` is what they compile to. The bytes are those of its file.
    ///
    /// # Errors
    /// There is something in it that JSON lacks.
    pub fn new(inputs: Inputs, graph: Arc<RolloutGraph>) -> Result<(Self, Vec<u8>), serde_json::Error> {
        let limits = Limits::resolve(&graph);
        let document = Document { rollout: Rollout::of(&graph, &limits), inputs };
        let (bytes, sha256) = format::encode(&document)?;
        Ok((Self { document, sha256, graph, limits }, bytes))
    }

    /// Reads the content of a file.
    ///
    /// # Errors
    /// It is none, was cut or altered, is of a newer version, or says something else than what would happen.
    pub fn read(bytes: Vec<u8>) -> Result<Self, Unreadable> {
        let (document, sha256): (Document, _) = format::decode(bytes)?;
        let inputs = &document.inputs;
        check_names(inputs)?;
        let source = Source::new(inputs.plan.file.clone(), inputs.plan.text.text());
        let plan = Arc::new(plan::parse(&source, &inputs.plan.set).map_err(Unreadable::Plan)?);
        check_scripts(&plan, inputs)?;
        let files =
            inputs.scripts.iter().map(|(path, lines)| (path.clone(), lines.text().to_owned())).collect();
        let options = CompileOptions { workers: inputs.plan.only_workers.clone(), files };
        let graph = graph::compile(&plan, &inputs.fleet, &options).map_err(Unreadable::Plan)?;
        let limits = Limits::resolve(&graph);
        let part = super::PlanPart::of(&plan, inputs.plan.set.clone(), inputs.plan.only_workers.clone());
        if Rollout::of(&graph, &limits) != document.rollout || part != inputs.plan {
            return Err(Unreadable::OtherRollout { program: inputs.program.clone() });
        }
        Ok(Self { sha256, graph: Arc::new(graph), limits, document })
    }

    /// All that the file holds.
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// The hash that the file names, in hexadecimal.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The plan.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.graph.plan
    }

    /// The text of the plan's scripts, by the path written in the plan.
    pub fn scripts(&self) -> BTreeMap<String, String> {
        let scripts = self.document.inputs.scripts.iter();
        scripts.map(|(path, lines)| (path.clone(), lines.text().to_owned())).collect()
    }

    /// The compiled plan.
    pub fn graph(&self) -> &Arc<RolloutGraph> {
        &self.graph
    }

    /// What it allows, as numbers.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}

/// Names that a bucket could not have are no names: the rest of the program relies on their form.
fn check_names(inputs: &Inputs) -> Result<(), Unreadable> {
    let fleet = &inputs.fleet;
    let refuse = |what: String| Err(Unreadable::Content(what));
    if let Some(worker) = fleet.workers.iter().find(|worker| {
        Host::parse(worker.host.as_str()).is_none_or(|host| host.as_str() != worker.host.as_str())
    }) {
        return refuse(format!("`{}` cannot be a worker", worker.host));
    }
    if let Some(job) = fleet.jobs.iter().find(|job| JobName::parse(job.name.as_str()).is_none()) {
        return refuse(format!("`{}` cannot be a job", job.name));
    }
    Ok(())
}

/// It has the files that the plan names, and no others.
fn check_scripts(plan: &Plan, inputs: &Inputs) -> Result<(), Unreadable> {
    let scripts: BTreeSet<&str> = plan.scripts().map(|path| path.value.as_str()).collect();
    let named: BTreeSet<&str> =
        scripts.iter().copied().chain(plan.calendars().map(|path| path.value.as_str())).collect();
    if !named.iter().copied().eq(inputs.scripts.keys().map(String::as_str)) {
        return Err(Unreadable::Content("its files are not those that its plan names".to_owned()));
    }
    for (path, text) in inputs.scripts.iter().filter(|(path, _)| scripts.contains(path.as_str())) {
        if let Err(why) = script_text(text.text().as_bytes()) {
            return Err(Unreadable::Content(format!("the script `{path}` in it: {why}")));
        }
    }
    Ok(())
}
