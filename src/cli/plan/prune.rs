//! `maand plan prune`: old runs are forgotten, and the room that they took is given back.

use std::fmt::Write as _;

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use super::super::ask::Consent;
use super::super::document::{self, Document};
use super::super::table::name;
use super::super::when::LocalClock;
use super::super::{CliError, Context, Exit, out};
use crate::bucket::Bucket;
use crate::engine::{Millis, PublicRunState};
use crate::journal::Reclaimed;
use crate::plan::{counted, parse_duration};
use crate::report::Time;
use crate::run::{Keep, Prunable, Pruning};

/// Runs that are listed one by one.
const SHOWN: usize = 20;

/// Arguments of `maand plan prune`.
#[derive(Debug, Args)]
pub struct PruneArgs {
    /// Keep so many of the newest finished runs [default: 100; with --older-than alone: none]
    #[arg(long, value_name = "N")]
    keep: Option<u32>,
    /// Keep runs that ended so long ago or less: 90d, 12h [default: 90d; with --keep alone: none]
    #[arg(long, value_name = "SPAN", value_parser = parse_span)]
    older_than: Option<Millis>,
    /// Only say what would go
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    consent: Consent,
}

/// A span of days, weeks, or as in a plan.
fn parse_span(text: &str) -> Result<Millis, String> {
    const DAY: u64 = 86_400_000;
    let long = |unit: &str, days: u64| {
        let number = text.trim().strip_suffix(unit)?.trim().parse::<u64>().ok()?;
        Millis::try_from(number.checked_mul(days * DAY)?).ok()
    };
    let short = || parse_duration(text.trim()).ok().and_then(|span| Millis::try_from(span.as_millis()).ok());
    long("d", 1)
        .or_else(|| long("w", 7))
        .or_else(short)
        .ok_or_else(|| "write it as 90d, 2w, 12h or 30m".to_owned())
}

impl PruneArgs {
    /// Either alone decides; without any it is as each new run does by itself.
    fn keep(&self) -> Keep {
        match (self.keep, self.older_than) {
            (None, None) => Keep::default(),
            (newest, younger_than) => Keep { newest: newest.unwrap_or(0), younger_than },
        }
    }
}

/// Runs the command.
pub(super) fn run(args: &PruneArgs, context: &Context) -> Result<Exit, CliError> {
    let bucket = Bucket::find(context.bucket.as_deref())?;
    let clock = LocalClock::here();
    if args.dry_run {
        let found = Pruning::look(&bucket, args.keep(), clock.now)?;
        match context.json {
            true => document::print(&PruneDocument::of(&found, true, None))?,
            false => out::print_wrapped(&text(&found, true, &clock))?,
        }
        return Ok(Exit::Done);
    }
    let pruning = Pruning::prepare(&bucket, args.keep(), clock.now)?;
    let found = pruning.found.clone();
    if !context.json && !context.quiet {
        out::print_wrapped(&text(&found, false, &clock))?;
    }
    if found.gone.is_empty() {
        if context.json {
            document::print(&PruneDocument::of(&found, false, None))?;
        }
        return Ok(Exit::Done);
    }
    let question = format!("Forget {} for good?", counted(found.gone.len(), "run"));
    if !args.consent.ask(&question, "prune")? {
        return Ok(Exit::Declined);
    }
    let reclaimed = pruning.carry_out()?;
    match (context.json, context.quiet) {
        (true, _) => document::print(&PruneDocument::of(&found, false, Some(reclaimed)))?,
        (false, true) => {}
        (false, false) => out::print_wrapped(&done(found.gone.len(), reclaimed))?,
    }
    Ok(Exit::Done)
}

fn text(found: &Prunable, would: bool, clock: &LocalClock) -> String {
    let mut text = String::new();
    for (run, bytes) in found.gone.iter().take(SHOWN) {
        let _ = writeln!(
            text,
            "  {}  {}  {}  {}  {}",
            run.id,
            name(&run.plan),
            run.state.as_str(),
            clock.both(run.finished_at.unwrap_or(run.last_at)),
            size(*bytes)
        );
    }
    if found.gone.len() > SHOWN {
        let _ = writeln!(text, "  and {} more", found.gone.len() - SHOWN);
    }
    for spared in &found.spared {
        let why = match spared.hosts.split_first() {
            None => "it cannot be read, and what is in workspace/disabled.json may be its own".to_owned(),
            Some((host, [])) => format!("{} is still disabled by it", name(host)),
            Some((host, more)) => {
                format!("{} and {} are still disabled by it", name(host), counted(more.len(), "other"))
            }
        };
        let _ = writeln!(text, "  {} stays: {why}", spared.run.id);
    }
    let all: u64 = found.gone.iter().map(|(_, bytes)| bytes).sum();
    let go = if would { "would go" } else { "to go" };
    let _ = match found.gone.len() {
        0 => writeln!(text, "No run is to go: {} stay.", found.kept),
        gone => {
            writeln!(text, "{} {go}, about {}; {} stay.", counted(gone, "run"), size(all), found.kept)
        }
    };
    text
}

fn done(gone: usize, reclaimed: Reclaimed) -> String {
    let forgotten = format!("{} forgotten", counted(gone, "run"));
    match reclaimed {
        Reclaimed::ByServer => format!("{forgotten}. PostgreSQL uses the room for what comes next.\n"),
        Reclaimed::Bytes(0) => {
            format!("{forgotten}. data/plan.db is as large as before; new runs use the room.\n")
        }
        Reclaimed::Bytes(bytes) => format!("{forgotten}. data/plan.db is {} smaller.\n", size(bytes)),
        Reclaimed::LittleSpace { needed } => format!(
            "{forgotten}. data/plan.db is as large as before, as making it smaller may need {} of free space; new runs \
             use the room.\n",
            size(needed)
        ),
        Reclaimed::Busy => format!(
            "{forgotten}. data/plan.db is as large as before, as another process is at work on it; new runs use the \
             room.\n"
        ),
    }
}

/// `1.2 MiB`.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 3] = ["KiB", "MiB", "GiB"];
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    let mut tenths = bytes * 10 / 1024;
    let mut unit = 0;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// As JSON.
#[derive(Serialize, JsonSchema)]
pub(in crate::cli) struct PruneDocument<'a> {
    /// Nothing was touched: `gone` is what would go.
    dry_run: bool,
    /// Runs that are forgotten, oldest first.
    gone: Vec<GoneJson<'a>>,
    /// Runs that are old enough and have to stay.
    spared: Vec<SparedJson<'a>>,
    /// How many runs stay.
    kept: usize,
    /// By how many bytes `data/plan.db` is smaller; `null`: nothing went, or it could not be made smaller now.
    reclaimed_bytes: Option<u64>,
}

/// A run that is forgotten.
#[derive(Serialize, JsonSchema)]
struct GoneJson<'a> {
    /// Its name.
    run: String,
    /// The plan's name.
    plan: &'a str,
    /// How it ended.
    state: PublicRunState,
    /// When it ended.
    finished_at: Option<Time>,
    /// Bytes that it took, about.
    bytes: u64,
}

/// A run that has to stay.
#[derive(Serialize, JsonSchema)]
struct SparedJson<'a> {
    /// Its name.
    run: String,
    /// The plan's name.
    plan: &'a str,
    /// Workers that it has left in `disabled.json`; empty: it cannot be read, and something is disabled.
    hosts: &'a [String],
}

impl Document for PruneDocument<'_> {
    const NAME: &'static str = "plan-prune";
}

impl<'a> PruneDocument<'a> {
    fn of(found: &'a Prunable, dry_run: bool, reclaimed: Option<Reclaimed>) -> Self {
        let gone = found.gone.iter().map(|(run, bytes)| GoneJson {
            run: run.id.to_string(),
            plan: &run.plan,
            state: run.state,
            finished_at: run.finished_at.map(Time),
            bytes: *bytes,
        });
        let spared = found.spared.iter().map(|spared| SparedJson {
            run: spared.run.id.to_string(),
            plan: &spared.run.plan,
            hosts: &spared.hosts,
        });
        let reclaimed_bytes = match reclaimed {
            Some(Reclaimed::Bytes(bytes)) => Some(bytes),
            _ => None,
        };
        Self { dry_run, gone: gone.collect(), spared: spared.collect(), kept: found.kept, reclaimed_bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_sizes_are_read_and_written() {
        const HOUR: Millis = 3_600_000;
        for (text, expected) in [
            ("90d", 90 * 24 * HOUR),
            (" 2w ", 14 * 24 * HOUR),
            ("12h", 12 * HOUR),
            ("1h30m", HOUR * 3 / 2),
            ("0d", 0),
        ] {
            assert_eq!(parse_span(text), Ok(expected), "{text}");
        }
        for wrong in ["", "d", "90", "-1d", "99999999999999999999d", "999999999999999d", "yesterday"] {
            assert!(parse_span(wrong).is_err(), "{wrong}");
        }
        let sizes = [0, 1023, 1024, 1_300_000, 5 << 30, 1 << 50].map(size);
        assert_eq!(sizes, ["0 bytes", "1023 bytes", "1.0 KiB", "1.2 MiB", "5.0 GiB", "1048576.0 GiB"]);
    }

    #[test]
    fn either_part_alone_decides() {
        let keep = |keep, older_than| {
            PruneArgs { keep, older_than, dry_run: false, consent: Consent::default() }.keep()
        };
        assert_eq!(keep(None, None), Keep::default());
        assert_eq!(keep(Some(3), None), Keep { newest: 3, younger_than: None });
        assert_eq!(keep(None, Some(5)), Keep { newest: 0, younger_than: Some(5) });
        assert_eq!(keep(Some(7), Some(5)), Keep { newest: 7, younger_than: Some(5) });
    }
}
