//! How long a plan takes, and when its waves would be under way.

use std::fmt::Write as _;
use std::time::Duration;

use super::super::super::out;
use super::text::WAVES;
use super::{Expected, Shown};
use crate::chart::{Format, WaveBar, waves_chart};
use crate::plan::counted;
use crate::report::describe_span;
use crate::sim::WaveTime;

/// Columns of a chart at most: wider ones tell no more.
const WIDEST: usize = 80;

/// How long it may take, and when it may begin.
pub(super) fn section(text: &mut String, shown: &Shown<'_>) {
    let (graph, forecast) = (shown.graph, shown.forecast);
    let _ = writeln!(text, "\nTime");
    if let Some(stuck) = forecast.stuck {
        let _ = writeln!(text, "  never ends: {} is never admitted", graph.host(stuck));
        return;
    }
    let rounds = counted(forecast.rounds as usize, "round");
    let most = counted(forecast.most_active as usize, "worker");
    let down = match forecast.most_down {
        0 => "no worker goes down".to_owned(),
        down => format!("at most {down} down at a time"),
    };
    let _ = writeln!(text, "  {rounds} of at most {most}; {down}");
    match forecast.longest {
        Some(longest) => {
            let _ = writeln!(
                text,
                "  longest   {:<10} every attempt of every step takes its whole timeout",
                span(longest)
            );
        }
        None => {
            let _ = writeln!(text, "  longest   no limit   a step has no timeout");
        }
    }
    if let Some(Expected { millis, learnt, .. }) = &shown.expected {
        let from = if *learnt {
            "simulated, with what steps took in earlier runs of this bucket"
        } else {
            "simulated, with what each kind of step usually takes"
        };
        let _ = writeln!(text, "  expected  {:<10} {from}", describe_span(*millis));
    }
    if let Some(openings) = &shown.openings {
        openings.write(text, graph, shown.expected.is_some());
    }
    let mut without = Vec::new();
    if forecast.approvals {
        without.push("waiting for approvals");
    }
    if graph.waits_for_times() {
        without.push("waiting for windows and freezes");
    }
    if !without.is_empty() {
        let _ = writeln!(text, "  not counted: {}", without.join(", "));
    }
    if let Some(expected) = shown.expected.as_ref().filter(|expected| expected.waves.len() > 1) {
        expected_waves(text, expected);
    }
}

/// Waves as bars: when each would be under way.
fn expected_waves(text: &mut String, expected: &Expected) {
    let waves = &expected.waves;
    let is_shown = |number: usize| waves.len() <= WAVES || number < WAVES - 2 || number == waves.len() - 1;
    let bar = |(_, wave): (usize, &WaveTime)| WaveBar {
        name: format!("wave {}", u64::from(wave.wave) + 1),
        from: wave.began_ms,
        to: wave.ended_ms,
    };
    let bars: Vec<WaveBar> =
        waves.iter().enumerate().filter(|(number, _)| is_shown(*number)).map(bar).collect();
    let usual = out::picture_format();
    let format = Format { width: usual.width.min(WIDEST), ..usual };
    for line in waves_chart(&bars, expected.millis, &format) {
        let _ = writeln!(text, "{}", line.text());
    }
    if waves.len() > bars.len() {
        let _ = writeln!(text, "  ({} waves between them are left out)", waves.len() - bars.len());
    }
}

/// An estimate: of hours the seconds are no news.
fn span(of: Duration) -> String {
    describe_span(i64::try_from(of.as_millis()).unwrap_or(i64::MAX))
}
