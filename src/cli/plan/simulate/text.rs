//! The answer of a simulation as text.

use std::fmt::Write as _;

use super::durations::{Durations, From};
use super::forecast::Charts;
use crate::report::describe_span;
use crate::sim::{Estimate, WaveTime};

/// At most this many entries of a list are shown.
const SHOWN: usize = 12;

/// What the answer is about.
pub(super) struct Heading<'a> {
    pub(super) plan: &'a str,
    pub(super) synthetic: bool,
    pub(super) durations: &'a Durations,
    pub(super) charts: &'a Charts,
}

pub(super) fn render(heading: &Heading<'_>, answer: &Estimate) -> String {
    let mut text = String::new();
    // Writing into a string cannot fail.
    let _ = write_all(&mut text, heading, answer);
    text
}

fn count(n: u32, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

fn write_all(text: &mut String, heading: &Heading<'_>, answer: &Estimate) -> std::fmt::Result {
    let synthetic = if heading.synthetic { " (made up)" } else { "" };
    let workers = count(answer.workers, "worker");
    let runs = count(answer.runs, "run");
    writeln!(
        text,
        "{}: {runs} under virtual time over {workers}{synthetic}; no host was contacted",
        heading.plan
    )?;
    writeln!(text, "\nTime")?;
    match answer.over_lower_bound {
        _ if answer.finished == 0 => {
            writeln!(text, "  none of the runs finished, although nothing failed")?;
        }
        Some(ratio) => {
            let over = format!("{ratio:.2} times the least that the plan's limits allow");
            writeln!(text, "  expected  {:<10} {over}", describe_span(answer.expected_ms))?;
        }
        None => writeln!(text, "  expected  {}", describe_span(answer.expected_ms))?,
    }
    writeln!(text, "  worst     {:<10} of {runs} in which nothing fails", describe_span(answer.worst_ms))?;
    durations(text, heading.durations)?;
    writeln!(text, "\nHow long the {runs} take in which nothing fails")?;
    chart(text, &heading.charts.finish)?;
    waves(text, &answer.waves)?;

    writeln!(text, "\nDown at once, in the run in the middle")?;
    chart(text, &heading.charts.down)?;
    writeln!(text, "\nDown at once, at most\n  {}", count(answer.most_down, "worker"))?;
    let of_job = answer.most_down_of_job.iter().map(|(job, most)| format!("{most} of job {job}"));
    list(text, of_job)?;
    // A fleet without the tag has no zones.
    if answer.most_down_of_zone.keys().any(|zone| zone != "(none)") {
        let tag = &answer.zone_tag;
        let of_zone = answer.most_down_of_zone.iter().map(|(zone, most)| format!("{most} of {tag} {zone}"));
        list(text, of_zone)?;
    }
    if !answer.waits_ms.is_empty() {
        writeln!(text, "\nWhat the next worker waits for, in total")?;
        for (why, ms) in &answer.waits_ms {
            writeln!(text, "  {:<10} {}", describe_span(*ms), reason(why))?;
        }
    }
    if !answer.rates.is_empty() {
        writeln!(text, "\nWhen attempts of steps fail")?;
        writeln!(text, "  failing   runs that succeed   that need an operator   failed workers   time")?;
    }
    for rate in &answer.rates {
        let percent = format!("{} %", f64::from(rate.per_100_000) / 1000.0);
        writeln!(
            text,
            "  {percent:<9} {:>17.0} % {:>21.0} % {:>16.1}   {}",
            rate.succeed * 100.0,
            rate.stop * 100.0,
            rate.failed_workers,
            describe_span(rate.median_ms)
        )?;
    }
    Ok(())
}

fn reason(why: &str) -> &str {
    match why {
        "wave" => "its wave",
        "concurrency" => "a free place (concurrency)",
        "spread" => "its failure domain (spread)",
        "budget" => "the budget of a job",
        "observation" => "health checks of the jobs with a budget",
        "window" => "the window",
        "failures" => "failed workers to be retried or skipped",
        "preparation" => "others to be prepared",
        "paused" => "an operator to resume the run",
        "turn" => "the preflight, `before`, and the steps between two admissions",
        other => other,
    }
}

fn list(text: &mut String, lines: impl ExactSizeIterator<Item = String>) -> std::fmt::Result {
    let more = lines.len().saturating_sub(SHOWN);
    for line in lines.take(SHOWN) {
        writeln!(text, "  {line}")?;
    }
    if more > 0 {
        writeln!(text, "  and {more} more: --output json")?;
    }
    Ok(())
}

fn chart(text: &mut String, lines: &[String]) -> std::fmt::Result {
    lines.iter().try_for_each(|line| writeln!(text, "{line}"))
}

/// Where it is from how long steps take.
pub(super) fn from(durations: &Durations) -> &'static str {
    match durations.from {
        From::File => "steps take what --durations says, and else what such steps usually take",
        From::Thumb => "steps take what such steps usually take: there is no finished run to learn from",
        From::History => "steps take what they took in the newest finished runs of this bucket",
    }
}

fn durations(text: &mut String, durations: &Durations) -> std::fmt::Result {
    let is_listed = durations.from == From::History;
    writeln!(text, "  {}{}", from(durations), if is_listed { ":" } else { "" })?;
    for (kind, samples, median, tail) in durations.numbers().filter(|_| is_listed) {
        writeln!(
            text,
            "    {kind:<10}  median {}, 95 of 100 below {} ({samples} attempts)",
            seconds(median),
            seconds(tail)
        )?;
    }
    Ok(())
}

/// Short spans with their tenths.
fn seconds(ms: i64) -> String {
    if ms < 60_000 { format!("{:.1}s", ms as f64 / 1000.0) } else { describe_span(ms) }
}

fn waves(text: &mut String, waves: &[WaveTime]) -> std::fmt::Result {
    if waves.is_empty() {
        return Ok(());
    }
    writeln!(text, "\nWaves, in the run in the middle")?;
    let line = |wave: &WaveTime| {
        let (from, to) = (describe_span(wave.began_ms), describe_span(wave.ended_ms));
        format!("  {:>4}  {from:>9} to {to}\n", wave.wave + 1)
    };
    if waves.len() <= SHOWN {
        text.extend(waves.iter().map(line));
        return Ok(());
    }
    text.extend(waves[..SHOWN - 2].iter().map(line));
    writeln!(text, "   ...  {} more: --output json", waves.len() - SHOWN + 1)?;
    text.extend(waves.last().map(line));
    Ok(())
}
