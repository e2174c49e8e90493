//! What the bucket of a rehearsal has in addition to that of any sandbox: the plan, its scripts, and shorter times.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::bucket::shorter_timeout;
use crate::plan::{Plan, StepKind};
use crate::sandbox::BOOT_TIME;

use super::{RehearsalError, TIME_SCALE};

/// What a boot of [`BOOT_TIME`] stands for: time-outs are shorter in the same measure.
const REAL_BOOT: Duration = Duration::from_secs(60);

/// The shortest time-out with a handful of workers.
const SHORTEST: Duration = Duration::from_secs(20);

/// A late reboot comes so long after its time: a few looks.
const LATER: Duration = Duration::from_secs(5);

/// Time-outs of a rehearsal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    /// So many times shorter,
    scale: u32,
    /// but no shorter than this, which a busy machine needs to do what is asked.
    shortest: Duration,
}

impl Timeouts {
    pub(super) fn of(speed: f64, workers: usize) -> Self {
        let scale = (REAL_BOOT.div_duration_f64(BOOT_TIME) * speed).round().clamp(1.0, 20_000.0);
        let of_all = Duration::from_millis(200 * workers as u64);
        Self { scale: scale as u32, shortest: SHORTEST + of_all }
    }

    /// How long a reboot command is at work that outlives the time which this plan gives it.
    pub(super) fn late(self, plan: &Plan) -> Duration {
        let within = plan.steps.iter().filter_map(|step| match &step.kind {
            StepKind::Reboot { down_within, .. } => Some(*down_within),
            _ => None,
        });
        let longest = within.max().unwrap_or(REAL_BOOT);
        shorter_timeout(longest, self.scale, self.shortest) + LATER
    }
}

/// Writes all that; returns the plan's path.
pub(super) fn prepare(
    bucket: &Path,
    plan: &Plan,
    timeouts: Timeouts,
    scripts: &BTreeMap<String, String>,
) -> Result<PathBuf, RehearsalError> {
    let conf = bucket.join("maand.conf");
    let settings = std::fs::read_to_string(&conf).unwrap_or_default();
    let ours = format!(
        "# Settle times, soaks and pauses are this many times shorter, time-outs this many times, and not below the last.\n\
         hurry = {TIME_SCALE}\nhurry_timeouts = {}\nshortest_timeout = {}\n",
        timeouts.scale,
        timeouts.shortest.as_secs()
    );
    write(&conf, &(settings + &ours))?;
    let place = place_of(plan.source.name(), bucket);
    for (path, text) in scripts {
        write(&place.with_file_name(path), text)?;
    }
    write(&place, &open_now(plan, jiff::Timestamp::now()))?;
    Ok(place)
}

/// Where the plan is in the rehearsal's own bucket; its scripts are beside it.
fn place_of(file: &str, bucket: &Path) -> PathBuf {
    let name = Path::new(file).file_name().filter(|name| *name != "<stdin>");
    bucket.join("plans").join(name.unwrap_or("plan.yaml".as_ref()))
}

fn write(path: &Path, text: &str) -> Result<(), RehearsalError> {
    let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    made.and_then(|()| std::fs::write(path, text))
        .map_err(|source| RehearsalError::Folder { path: path.to_owned(), source })
}

/// The plan's text, with a window that has been open for an hour or so and is for half a day in place of its own, and a
/// freeze that is over: no rehearsal waits for the night, and yet the window takes part.
fn open_now(plan: &Plan, now: jiff::Timestamp) -> String {
    let mut text = plan.source.text().to_owned();
    let rollout = &plan.rollout;
    let mut changes = Vec::new();
    if let (Some(first), Some(last)) = (rollout.windows.first(), rollout.windows.last()) {
        let hour = now.to_zoned_datetime(jiff::tz::TimeZone::UTC).hour();
        let (open, close) = ((hour + 23) % 24, (hour + 12) % 24);
        let open = format!("{{timezone: UTC, open: \"{open:02}:00\", close: \"{close:02}:00\"}}\n");
        changes.push((first.span.start..last.span.end, open));
    }
    if let Some(freeze) = &rollout.freeze {
        changes.push((freeze.span.clone(), "{timezone: UTC, dates: [2000-01-01]}\n".to_owned()));
    }
    // From the end on, so that the other place stays what it is.
    changes.sort_by_key(|(span, _)| std::cmp::Reverse(span.start));
    for (span, new) in changes {
        text.replace_range(span, &new);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::testing::{plan, reboot, step};

    #[test]
    fn time_outs_are_shorter_as_boots_are_and_not_too_short() {
        let usual = Timeouts::of(2.0, 5);
        assert_eq!((usual.scale, usual.shortest), (40, Duration::from_secs(21)));
        assert_eq!(Timeouts::of(0.01, 5).scale, 1);
        assert_eq!(Timeouts::of(2.0, 500).shortest, Duration::from_secs(120), "more workers need more");
        let mut plan = plan();
        plan.steps = vec![step("reboot", reboot(), &[])];
        assert_eq!(usual.late(&plan), Duration::from_secs(26), "two minutes are the shortest time here");
    }
}
