//! How long steps take in a simulation: as a file says, else as measured in the bucket's finished runs, else by
//! rules of thumb.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::super::super::{CliError, Context};
use crate::bucket::Bucket;
use crate::journal::{Location, Mode, Spread};
use crate::os::open;
use crate::plan::{self, Plan, Problem, Problems, StepKind};

/// What a duration can be given for: the kinds of steps that take time of their own, and a boot.
const KINDS: [&str; 9] =
    ["boot", "deploy", "health", "local", "restart", "run", "start", "stop", "sync_check"];

/// Whether what was measured of such steps is expected of the next ones. (A boot is measured by the wait for it.)
pub(in crate::cli::plan) fn is_expected(kind: &str) -> bool {
    KINDS.contains(&kind) || kind == "wait_for_ssh"
}

/// A worker that is back sooner after its reboot than `settle` is long is not believed.
const SHORTEST_BOOT_MS: i64 = 1_000;

/// Where the durations are from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli::plan) enum From {
    File,
    History,
    Thumb,
}

/// Samples in milliseconds by kind; others by rules of thumb.
pub(in crate::cli::plan) struct Durations {
    pub(in crate::cli::plan) from: From,
    pub(in crate::cli::plan) samples: BTreeMap<String, Vec<i64>>,
}

impl Durations {
    /// As measured in the bucket's finished runs, else by rules of thumb.
    pub(in crate::cli::plan) fn learnt(plan: &Plan, context: &Context) -> Self {
        let samples = learnt(plan, context);
        let from = if samples.is_empty() { From::Thumb } else { From::History };
        Self { from, samples }
    }

    /// For each kind: how many samples, their median and their 95th percentile.
    pub(in crate::cli::plan) fn numbers(&self) -> impl Iterator<Item = (&str, usize, i64, i64)> {
        self.samples.iter().map(|(kind, samples)| {
            let spread = Spread::of(samples);
            (kind.as_str(), spread.count, spread.median, spread.p95)
        })
    }

    pub(super) fn as_json(&self) -> DurationsJson<'_> {
        let from = match self.from {
            From::File => "file",
            From::History => "history",
            From::Thumb => "rules of thumb",
        };
        let kinds = self
            .numbers()
            .map(|(kind, samples, median_ms, tail_ms)| (kind, KindJson { samples, median_ms, tail_ms }))
            .collect();
        DurationsJson { from, kinds }
    }
}

/// Where durations are from, and what they are, in JSON.
#[derive(Serialize, JsonSchema)]
pub(super) struct DurationsJson<'a> {
    /// `file`, `history` or `rules of thumb`.
    from: &'static str,
    /// By kind of step, and `boot`; others by rules of thumb.
    kinds: BTreeMap<&'a str, KindJson>,
}

/// How long one kind of step takes.
#[derive(Serialize, JsonSchema)]
struct KindJson {
    /// How often it was measured.
    samples: usize,
    /// Milliseconds, in the middle.
    median_ms: i64,
    /// Milliseconds that 95 of 100 do not exceed.
    tail_ms: i64,
}

/// What is known of how long steps take.
pub(super) fn known(file: Option<&str>, plan: &Plan, context: &Context) -> Result<Durations, CliError> {
    if let Some(path) = file {
        return Ok(Durations { from: From::File, samples: read(path)? });
    }
    Ok(Durations::learnt(plan, context))
}

/// From the journal of the bucket, where there is one. One that cannot be read teaches nothing, and
/// is no reason not to simulate.
fn learnt(plan: &Plan, context: &Context) -> BTreeMap<String, Vec<i64>> {
    let history = Bucket::find(context.bucket.as_deref())
        .ok()
        .and_then(|bucket| Location::of(&bucket).ok()?.open(Mode::ReadOnly).ok())
        .and_then(|journal| journal.durations().ok());
    let Some(mut history) = history else { return BTreeMap::new() };
    if let Some(waits) = history.remove("wait_for_ssh") {
        // From the departure to the end of `settle`, which is taken to be this plan's.
        let settle = plan.steps.iter().find_map(|step| match &step.kind {
            StepKind::WaitForSsh { settle, .. } => i64::try_from(settle.as_millis()).ok(),
            _ => None,
        });
        let boot = |wait: i64| (wait - settle.unwrap_or(0)).max(SHORTEST_BOOT_MS);
        history.insert("boot".to_owned(), waits.into_iter().map(boot).collect());
    }
    history.retain(|kind, samples| KINDS.contains(&kind.as_str()) && !samples.is_empty());
    history
}

/// Bytes of a file of durations: it has a line for each kind of step.
const DURATIONS_LIMIT: u64 = 64 * 1024;

fn read(path: &str) -> Result<BTreeMap<String, Vec<i64>>, Problems> {
    let wrong = |why: String| {
        Problem::error(
            "maand::cli::unreadable_durations",
            format!("the durations `{path}` cannot be read: {why}"),
        )
        .help("write a JSON object of kinds of steps and durations: {\"deploy\": \"20s\", \"boot\": \"90s\"}")
    };
    let read = open::named_by_user(path.as_ref()).and_then(|file| open::read_all(&file, DURATIONS_LIMIT));
    let bytes = read.map_err(|error| wrong(error.to_string()))?;
    let read: BTreeMap<String, String> =
        serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
    let mut durations = BTreeMap::new();
    let mut problems = Problems::new();
    for (kind, text) in read {
        if !KINDS.contains(&kind.as_str()) {
            let help = format!("known are {}", KINDS.join(", "));
            let message = format!("`{kind}` in {path} is not a kind of step that takes time of its own");
            problems.push(Problem::error("maand::cli::unknown_duration", message).help(help));
            continue;
        }
        match plan::parse_duration(&text) {
            Ok(duration) => {
                let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
                // A hundred years, so that sums of them stay far from the end of the numbers.
                durations.insert(kind, vec![millis.min(100 * 366 * 86_400_000)]);
            }
            Err(why) => problems.push(wrong(format!("`{text}` of `{kind}` is not a duration: {why}"))),
        }
    }
    problems.into_result()?;
    Ok(durations)
}
