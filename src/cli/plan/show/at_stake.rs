//! How much of each job and zone may be down at once, as text and as JSON.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;

use crate::graph::RolloutGraph;
use crate::plan::{counted, visible_within};
use crate::policy::{Exposure, Stake};

/// Of more jobs or zones than this the first are shown.
const SHOWN: usize = 12;
/// The longest name that is shown whole.
const NAME: usize = 60;

/// What is at stake, as bounds that hold whatever the order in which workers finish and fail.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct AtStakeJson {
    /// So many failed workers are counted as staying down (`max_failures`); no operator skips or retries one.
    failures: u32,
    /// The tag whose values are the zones; `null`: the plan has no `spread`, and no worker a tag `zone`.
    zones_by: Option<ZonesByJson>,
    /// All workers of the bucket.
    run: StakeJson,
    /// Jobs with an allocation on a worker that goes down.
    jobs: Vec<JobStakeJson>,
    /// Zones with a worker that goes down.
    zones: Vec<ZoneStakeJson>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct ZonesByJson {
    tag: String,
    /// The plan's `spread` names it.
    of_spread: bool,
    /// Selected workers that lack it.
    untagged: u32,
}

#[derive(Debug, Serialize, JsonSchema)]
struct StakeJson {
    /// At most so many are down at once.
    down: u32,
    /// Out of so many workers, or enabled allocations.
    of: u32,
    /// So many more are disabled already.
    disabled: u32,
    /// The limits that lead to this number and to no lower one, in words.
    because: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct JobStakeJson {
    job: String,
    #[serde(flatten)]
    stake: StakeJson,
    /// At least so many stay when one more worker with the job goes down meanwhile.
    keeps_without_a_worker: u32,
    /// The same for the zone whose loss is worst; `null`: no allocation is in a zone.
    without_a_zone: Option<WithoutZoneJson>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct WithoutZoneJson {
    zone: String,
    /// At least so many allocations stay.
    keeps: u32,
}

#[derive(Debug, Serialize, JsonSchema)]
struct ZoneStakeJson {
    zone: String,
    #[serde(flatten)]
    stake: StakeJson,
}

fn stake(graph: &RolloutGraph, stake: &Stake) -> StakeJson {
    StakeJson {
        down: stake.down,
        of: stake.of,
        disabled: stake.disabled,
        because: stake.because.iter().map(|binding| binding.describe(graph)).collect(),
    }
}

pub(super) fn json(graph: &RolloutGraph) -> AtStakeJson {
    let exposure = Exposure::of(graph);
    let job = |one: &crate::policy::JobStake| JobStakeJson {
        job: graph.fleet.job(one.job).name.to_string(),
        stake: stake(graph, &one.stake),
        keeps_without_a_worker: one.keeps_without_a_worker,
        without_a_zone: one
            .without_a_zone
            .as_ref()
            .map(|without| WithoutZoneJson { zone: without.zone.clone(), keeps: without.keeps }),
    };
    AtStakeJson {
        failures: exposure.failures,
        run: stake(graph, &exposure.run),
        jobs: exposure.jobs.iter().map(job).collect(),
        zones: exposure
            .zones
            .iter()
            .map(|one| ZoneStakeJson { zone: one.zone.clone(), stake: stake(graph, &one.stake) })
            .collect(),
        zones_by: exposure.zones_by.map(|by| ZonesByJson {
            tag: by.tag,
            of_spread: by.of_spread,
            untagged: by.untagged,
        }),
    }
}

/// `at most 2 of 6 down at once (concurrency 2)`; `what` is counted.
pub(in crate::cli::plan) fn sentence(graph: &RolloutGraph, what: &str, stake: &Stake) -> String {
    let because: Vec<_> =
        stake.because.iter().map(|binding| visible_within(&binding.describe(graph), 4 * NAME)).collect();
    let disabled = match stake.disabled {
        0 => String::new(),
        more => format!("; {more} more {} disabled already", if more == 1 { "is" } else { "are" }),
    };
    format!("at most {} of {}{what} down at once ({}){disabled}", stake.down, stake.of, because.join("; "))
}

/// Writing into a `String` cannot fail, so results of `writeln!` are dropped.
pub(super) fn section(text: &mut String, graph: &RolloutGraph) {
    let exposure = Exposure::of(graph);
    let name = |name: &str| visible_within(name, NAME);
    let _ = writeln!(text, "\nAt stake, in any order of ends and failures");
    if exposure.run.down == 0 {
        let _ = writeln!(text, "  nothing: no worker goes down");
        return;
    }
    let _ = writeln!(text, "  all: {}", sentence(graph, " workers", &exposure.run));
    let tag = exposure.zones_by.as_ref().map_or("", |by| by.tag.as_str());
    for one in exposure.jobs.iter().take(SHOWN) {
        let job = name(graph.fleet.job(one.job).name.as_str());
        let _ = writeln!(text, "  {job}: {}", sentence(graph, "", &one.stake));
        let of = one.stake.of;
        let worker = format!(
            "if one more worker goes down meanwhile, {job} keeps {} of {of}",
            one.keeps_without_a_worker
        );
        let _ = match &one.without_a_zone {
            Some(without) => writeln!(
                text,
                "    {worker}; if {} {} does, {} of {of}",
                name(tag),
                name(&without.zone),
                without.keeps
            ),
            None => writeln!(text, "    {worker}"),
        };
    }
    more(text, exposure.jobs.len(), "job");
    for one in exposure.zones.iter().take(SHOWN) {
        let _ = writeln!(
            text,
            "  {} {}: {}",
            name(tag),
            name(&one.zone),
            sentence(graph, " workers", &one.stake)
        );
    }
    more(text, exposure.zones.len(), "zone");
    match &exposure.zones_by {
        None => {
            let _ = writeln!(text, "  no zones: the plan has no `spread`, and no worker has a tag `zone`");
        }
        Some(by) if by.untagged > 0 => {
            let workers = counted(by.untagged as usize, "selected worker");
            let have = if by.untagged == 1 { "has" } else { "have" };
            let _ = writeln!(text, "  {workers} {have} no tag `{}` and are in no zone", name(&by.tag));
        }
        Some(_) => {}
    }
}

fn more(text: &mut String, count: usize, what: &str) {
    if count > SHOWN {
        let _ = writeln!(
            text,
            "  ... {}; all of them: --format json",
            counted(count - SHOWN, &format!("more {what}"))
        );
    }
}
