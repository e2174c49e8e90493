//! The timeline of a run in JSON.

use schemars::JsonSchema;
use serde::Serialize;

use super::super::super::document::Document;
use crate::engine::{Millis, PublicWorkerState};
use crate::graph::{Lane, RolloutGraph};
use crate::report::{RunView, Time};
use crate::timeline::{Activity, Bar, BarEnd, BarKind, HoldKind, OfWhat, Series, Timeline, describe_mark};

/// What happened when in a run. Times are UTC.
#[derive(Serialize, JsonSchema)]
pub(in crate::cli) struct TimelineDocument<'a> {
    /// The run's name.
    run: &'a str,
    /// The plan's name.
    plan: &'a str,
    /// When it was started.
    began_at: Time,
    /// Its end, or the moment up to which it is told.
    until: Time,
    /// Its own steps before and after, and every worker in the order of the run.
    lanes: Vec<LaneJson<'a>>,
    /// What happened to the run as a whole, in order.
    events: Vec<EventJson>,
    /// When and why no worker was admitted; they may overlap.
    holds: Vec<HoldJson>,
    /// Each wave from its start to its end.
    waves: Vec<WaveJson>,
    /// What the next worker in line waited for.
    waits: Vec<WaitJson<'a>>,
    /// How many workers were down at the same time.
    down: DownJson<'a>,
}

impl Document for TimelineDocument<'_> {
    const NAME: &'static str = "run-timeline";
}

#[derive(Serialize, JsonSchema)]
struct LaneJson<'a> {
    /// `worker`, or `before` and `after` for the steps of the run itself.
    lane: &'static str,
    /// The worker.
    host: Option<&'a str>,
    /// How it stands.
    state: Option<PublicWorkerState>,
    /// When it was admitted for the first time.
    admitted_at: Option<Time>,
    /// What was under way, by beginning.
    bars: Vec<BarJson<'a>>,
}

/// Something that a lane did, or waited for.
#[derive(Serialize, JsonSchema)]
struct BarJson<'a> {
    /// The step's id.
    step: &'a str,
    /// `attempt`, `undo`, `backoff`, `pause` or `approval`.
    kind: &'static str,
    /// What a picture shows: `drain`, `deploy`, `reboot`, `return`, `health`, `command`, `approval`, `idle` or `undo`.
    activity: &'static str,
    /// Which attempt of the step, counted from 1.
    attempt: u32,
    /// When it began.
    from: Time,
    /// When it ended; `null`: it has not.
    to: Option<Time>,
    /// `open`, `ok`, `failed`, `timed_out`, `not_done`, `unknown` (its answer was lost) or `orphaned` (its controller
    /// was gone before it ended).
    end: &'static str,
    /// What is known besides.
    note: Option<&'a str>,
}

#[derive(Serialize, JsonSchema)]
struct EventJson {
    /// When.
    at: Time,
    /// In one sentence.
    text: String,
}

#[derive(Serialize, JsonSchema)]
struct HoldJson {
    /// Since when.
    from: Time,
    /// Until when; `null`: still.
    to: Option<Time>,
    /// `soak`, `paused`, `stopped`, `halted`, or `nobody` (no controller was at work).
    kind: &'static str,
}

#[derive(Serialize, JsonSchema)]
struct WaveJson {
    /// Counted from 1.
    wave: u64,
    /// When it began.
    from: Time,
    /// When its last worker ended; `null`: not yet.
    to: Option<Time>,
}

#[derive(Serialize, JsonSchema)]
struct WaitJson<'a> {
    /// Since when.
    from: Time,
    /// Until when.
    to: Time,
    /// `concurrency`, `wave`, `spread`, `budget`, `observation`, `window`, `failures` or `paused`.
    kind: &'static str,
    /// In one sentence, as it was at the beginning.
    reason: &'a str,
}

#[derive(Serialize, JsonSchema)]
struct DownJson<'a> {
    /// Maximum number that may be down in any order of ends and failures, up to `max_failures`.
    allowed: u32,
    /// All of them, from each moment on.
    all: Vec<PointJson>,
    /// The tag of `domains`.
    tag: Option<&'a str>,
    /// By value of the tag.
    domains: Vec<OfJson<'a>>,
    /// Allocations on workers that were down, of jobs that have a budget.
    jobs: Vec<OfJson<'a>>,
}

#[derive(Serialize, JsonSchema)]
struct OfJson<'a> {
    /// The value of the tag, or the job.
    name: &'a str,
    /// Maximum number that may be down, in the same way; `null`: none of it goes down.
    allowed: Option<u32>,
    /// From each moment on.
    points: Vec<PointJson>,
}

#[derive(Serialize, JsonSchema)]
struct PointJson {
    /// From when.
    at: Time,
    /// How many.
    down: u32,
}

impl<'a> TimelineDocument<'a> {
    /// Of a run that `who` started.
    pub(super) fn of(view: &'a RunView, timeline: &'a Timeline, graph: &'a RolloutGraph, who: &str) -> Self {
        let down = &timeline.down;
        let of = |of: &'a OfWhat| OfJson { name: &of.name, allowed: of.allowed, points: points(&of.series) };
        Self {
            run: &view.run,
            plan: &view.plan,
            began_at: Time(timeline.began),
            until: Time(timeline.until),
            lanes: timeline
                .lanes
                .iter()
                .map(|track| LaneJson {
                    lane: match track.lane {
                        Lane::Worker(_) => "worker",
                        Lane::Before => "before",
                        Lane::After => "after",
                    },
                    host: match track.lane {
                        Lane::Worker(target) => Some(graph.host(target)),
                        Lane::Before | Lane::After => None,
                    },
                    state: track.state,
                    admitted_at: track.admitted.map(Time),
                    bars: track.bars.iter().map(|one| bar(one, graph, track.lane)).collect(),
                })
                .collect(),
            events: timeline
                .marks
                .iter()
                .map(|mark| EventJson { at: Time(mark.at), text: describe_mark(mark, graph, who) })
                .collect(),
            holds: timeline
                .holds
                .iter()
                .map(|hold| HoldJson { from: Time(hold.from), to: time(hold.to), kind: hold_kind(hold.kind) })
                .collect(),
            waves: timeline
                .waves
                .iter()
                .map(|wave| WaveJson {
                    wave: u64::from(wave.wave) + 1,
                    from: Time(wave.from),
                    to: time(wave.to),
                })
                .collect(),
            waits: timeline
                .waits
                .iter()
                .map(|wait| WaitJson {
                    from: Time(wait.from),
                    to: Time(wait.to),
                    kind: wait.kind.as_str(),
                    reason: &wait.reason,
                })
                .collect(),
            down: DownJson {
                allowed: down.allowed,
                all: points(&down.all),
                tag: down.tag.as_deref(),
                domains: down.domains.iter().map(of).collect(),
                jobs: down.jobs.iter().map(of).collect(),
            },
        }
    }
}

fn time(at: Option<Millis>) -> Option<Time> {
    at.map(Time)
}

fn points(series: &Series) -> Vec<PointJson> {
    series.points.iter().map(|(at, down)| PointJson { at: Time(*at), down: *down }).collect()
}

fn bar<'a>(bar: &'a Bar, graph: &'a RolloutGraph, lane: Lane) -> BarJson<'a> {
    let step = &graph.steps(lane)[bar.step.index()];
    BarJson {
        step: &step.id,
        kind: match bar.kind {
            BarKind::Attempt => "attempt",
            BarKind::Undo => "undo",
            BarKind::Backoff => "backoff",
            BarKind::Pause => "pause",
            BarKind::Approval => "approval",
        },
        activity: Activity::of(bar.kind, &step.kind).as_str(),
        attempt: bar.attempt,
        from: Time(bar.from),
        to: time(bar.to),
        end: match bar.end {
            BarEnd::Open => "open",
            BarEnd::Ok => "ok",
            BarEnd::Failed => "failed",
            BarEnd::TimedOut => "timed_out",
            BarEnd::NotDone => "not_done",
            BarEnd::Unknown => "unknown",
            BarEnd::Orphaned => "orphaned",
        },
        note: bar.note.as_deref(),
    }
}

fn hold_kind(kind: HoldKind) -> &'static str {
    match kind {
        HoldKind::Soak => "soak",
        HoldKind::Paused => "paused",
        HoldKind::Stopped => "stopped",
        HoldKind::Halted => "halted",
        HoldKind::Nobody => "nobody",
    }
}
