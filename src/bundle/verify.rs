//! Whether the facts of a run may have come about by the rules: each is replayed, as a resume does it.
//!
//! Offline: no worker is asked. What facts alone cannot tell is listed in [`NOT_KNOWN_OFFLINE`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use crate::bucket::Host;
use crate::engine::{Fact, Intent, Options, PublicRunState, RunState, Stamped};
use crate::graph::{self, CompileOptions, Lane, RolloutGraph, StepIx};
use crate::journal::{RunHeader, RunText};
use crate::plan::{self, Source, counted};
use crate::policy::Verdict as Admission;

/// What is verified, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// Numbers without gaps, and a hash chain over header and facts.
    Chain,
    /// The stored plan compiles to the graph that the run began with, for the stored fleet.
    Graph,
    /// Each fact may follow the ones before it.
    Legality,
    /// Each reboot step compares each worker with one boot id, so that it reboots it once at most.
    Reboots,
    /// Workers were admitted as waves, concurrency, budgets, failure domains and the window allow.
    Limits,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Checked {
    /// What was verified.
    pub check: Check,
    /// `null`: it could not be, as what it rests on is wrong.
    pub ok: Option<bool>,
    /// What was found, in numbers, where all is well.
    pub what: String,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    /// The check that found it.
    pub check: Check,
    /// The fact's number, where one is to blame.
    pub fact: Option<u64>,
    /// What is wrong.
    pub what: String,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Every check, in order.
    pub checks: Vec<Checked>,
    /// All that is wrong.
    pub findings: Vec<Finding>,
    /// The facts, as far as this program knows them.
    pub facts: Vec<Stamped>,
    /// What was compiled, and the run's state behind its last fact; `None` where that cannot be had.
    pub run: Option<(Arc<RolloutGraph>, RunState)>,
}

/// What facts alone cannot tell.
pub const NOT_KNOWN_OFFLINE: &[&str] = &[
    "whether these are the newest facts of the run: workers know, and are asked before it is continued",
    "whether the controller that wrote them still lives",
    "who made the file: whoever can write it can write a new chain and a new hash",
    "what workers and commands did: facts say what the controller was told",
];

impl Verdict {
    /// Nothing is wrong.
    pub fn is_ok(&self) -> bool {
        self.findings.is_empty()
    }

    /// How the run stands; `None` where that cannot be known.
    pub fn state(&self) -> Option<PublicRunState> {
        let (_, state) = self.run.as_ref()?;
        Some(PublicRunState::of(&state.status(), true))
    }

    fn finds(&mut self, check: Check, fact: Option<u64>, what: impl Into<String>) {
        self.findings.push(Finding { check, fact, what: what.into() });
    }

    /// Ends a check: well if nothing was found by it.
    fn ends(&mut self, check: Check, what: impl Into<String>) {
        let ok = !self.findings.iter().any(|finding| finding.check == check);
        self.checks.push(Checked { check, ok: Some(ok), what: if ok { what.into() } else { String::new() } });
    }

    fn cannot(&mut self, checks: &[Check]) {
        let open = |check: &Check| Checked { check: *check, ok: None, what: String::new() };
        self.checks.extend(checks.iter().map(open));
    }
}

/// Verifies a run, text for text.
pub fn verify(text: &RunText, header: &RunHeader) -> Verdict {
    let mut verdict = Verdict::default();
    for fault in text.chain_faults() {
        verdict.finds(Check::Chain, None, fault);
    }
    verdict.ends(Check::Chain, counted(text.facts.len(), "fact"));
    let graph = compile(header, &mut verdict);
    verdict.ends(Check::Graph, graph.as_ref().map_or_else(String::new, |graph| describe(graph)));
    let mut known = true;
    for fact in &text.facts {
        match serde_json::from_str(&fact.fact) {
            Ok(known) => {
                verdict.facts.push(Stamped { seq: fact.seq, at: fact.at, epoch: fact.epoch, fact: known });
            }
            Err(error) => {
                let what = format!(
                    "fact {} is of a kind that this version of maand does not know: {error}",
                    fact.seq
                );
                verdict.finds(Check::Legality, Some(fact.seq), what);
                known = false;
                break;
            }
        }
    }
    let Some(graph) = graph else {
        verdict.cannot(&[Check::Legality, Check::Reboots, Check::Limits]);
        return verdict;
    };
    begins_well(&graph, header, &mut verdict);
    let (findings, replayed) = verify_facts(&graph, Options::default(), &verdict.facts);
    verdict.findings.extend(findings);
    let controllers: BTreeSet<u64> = verdict.facts.iter().map(|stamped| stamped.epoch).collect();
    verdict.ends(Check::Legality, format!("written by {}", counted(controllers.len(), "controller")));
    reboots(&graph, &mut verdict);
    match replayed {
        Some(state) if known => {
            let admitted =
                verdict.facts.iter().filter(|at| matches!(at.fact, Fact::WorkerAdmitted { .. })).count();
            verdict.ends(Check::Limits, counted(admitted, "admission"));
            verdict.run = Some((graph, state));
        }
        _ => verdict.cannot(&[Check::Limits]),
    }
    verdict
}

fn describe(graph: &RolloutGraph) -> String {
    let steps = graph.plan.steps.len();
    format!("{}, {}", counted(graph.target_indices().count(), "worker"), counted(steps, "step"))
}

/// Compiles the stored plan for the stored fleet.
fn compile(header: &RunHeader, verdict: &mut Verdict) -> Option<Arc<RolloutGraph>> {
    let check = Check::Graph;
    let mut hosts = BTreeSet::new();
    for worker in &header.fleet.workers {
        let host = worker.host.as_str();
        if Host::parse(host).is_none_or(|parsed| parsed != worker.host) || !hosts.insert(host) {
            let host = plan::visible(host.as_bytes());
            verdict.finds(check, None, format!("`{host}` cannot be the host of a worker, or is named twice"));
            return None;
        }
    }
    let source = Source::new(header.plan_file.clone(), header.plan_text.clone());
    let options = CompileOptions { workers: header.only_workers.clone(), files: header.scripts.clone() };
    let compiled = plan::parse(&source, &header.overrides)
        .and_then(|plan| graph::compile(&Arc::new(plan), &Arc::new(header.fleet.clone()), &options));
    let graph = match compiled {
        Ok(graph) => graph,
        Err(problems) => {
            for problem in problems.iter() {
                let what =
                    format!("the stored plan does not compile for the stored fleet: {}", problem.message);
                verdict.finds(check, None, what);
            }
            return None;
        }
    };
    if graph.hash() != header.graph_hash {
        let what = format!(
            "this version of maand ({}) compiles the stored plan to another graph than {} did",
            env!("CARGO_PKG_VERSION"),
            plan::visible(header.program.as_bytes())
        );
        verdict.finds(check, None, what);
        return None;
    }
    if !graph.target_indices().map(|target| graph.host(target)).eq(header.hosts.iter().map(String::as_str)) {
        verdict.finds(check, None, "the workers that the header names are not those of the plan");
        return None;
    }
    Some(Arc::new(graph))
}

/// The first fact repeats what the header says.
fn begins_well(graph: &RolloutGraph, header: &RunHeader, verdict: &mut Verdict) {
    let first = verdict.facts.first().map(|stamped| &stamped.fact);
    let fits = matches!(first, Some(Fact::RunStarted { workers, graph_hash, seed })
        if *workers as usize == graph.target_indices().count()
            && *graph_hash == header.graph_hash
            && *seed == header.seed);
    if !fits {
        verdict.finds(Check::Legality, Some(1), "fact 1 does not start the run of the header");
    }
}

/// Replays every fact of a run of this graph, and asks admission before each worker that was admitted: what is wrong,
/// and the state behind the last fact, unless one is illegal.
pub fn verify_facts(
    graph: &Arc<RolloutGraph>,
    options: Options,
    facts: &[Stamped],
) -> (Vec<Finding>, Option<RunState>) {
    let mut state = RunState::new(Arc::clone(graph), options);
    let mut findings = Vec::new();
    let mut finds = |check, seq, what| findings.push(Finding { check, fact: Some(seq), what });
    let targets = graph.target_indices().count();
    for Stamped { seq, at, fact, .. } in facts {
        let verdict = match fact {
            Fact::PrepareStarted { target } | Fact::WorkerAdmitted { target }
                if (target.0 as usize) < targets =>
            {
                state.verdict(*target, (*at).max(state.last_at()))
            }
            _ => None,
        };
        if let Err(violation) = state.replay(*at, fact) {
            finds(
                Check::Legality,
                *seq,
                format!("fact {seq} breaks a rule: {violation}: {}", violation.detail),
            );
            return (findings, None);
        }
        if let (
            Fact::PrepareStarted { target } | Fact::WorkerAdmitted { target },
            Some(Admission::Wait(why) | Admission::Refuse(why)),
        ) = (fact, verdict)
        {
            let host = graph.host(*target);
            let verb = if matches!(fact, Fact::WorkerAdmitted { .. }) { "admits" } else { "prepares" };
            finds(Check::Limits, *seq, format!("fact {seq} {verb} {host}, but {}", why.describe(graph)));
        }
    }
    (findings, Some(state))
}

/// Every order to reboot a worker for one step compares with the same boot id, so that one of them takes effect.
fn reboots(graph: &RolloutGraph, verdict: &mut Verdict) {
    let mut compared: BTreeMap<(Lane, StepIx), &str> = BTreeMap::new();
    let mut findings = Vec::new();
    for stamped in &verdict.facts {
        if let Fact::Issued { lane, step, intent: Intent::Reboot { boot_id, .. }, .. } = &stamped.fact {
            let known = compared.entry((*lane, *step)).or_insert(boot_id);
            if *known != boot_id {
                findings.push((stamped.seq, *lane));
            }
        }
    }
    let found = counted(compared.len(), "reboot");
    for (seq, lane) in findings {
        let host = match lane {
            Lane::Worker(target) if (target.0 as usize) < graph.target_indices().count() => {
                graph.host(target)
            }
            _ => "a worker",
        };
        let what = format!("fact {seq}: {host} is to be rebooted a second time for one step");
        verdict.finds(Check::Reboots, Some(seq), what);
    }
    verdict.ends(Check::Reboots, format!("{found} at most"));
}
