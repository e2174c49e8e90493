//! What the bucket of a rehearsal has in addition to that of any sandbox: the plan, its scripts, and shorter times.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::plan::Plan;

use super::{RehearsalError, TIME_SCALE};

/// Writes all that; returns the plan's path.
pub(super) fn prepare(
    bucket: &Path,
    plan: &Plan,
    scripts: &BTreeMap<String, String>,
) -> Result<PathBuf, RehearsalError> {
    let conf = bucket.join("maand.conf");
    let settings = std::fs::read_to_string(&conf).unwrap_or_default();
    let ours =
        format!("# Settle times, soaks and pauses are this many times shorter.\nhurry = {TIME_SCALE}\n");
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

/// The plan's text, with a window that has been open for an hour or so and is for half a day: no
/// rehearsal waits for the night, and yet the window takes part.
fn open_now(plan: &Plan, now: jiff::Timestamp) -> String {
    let text = plan.source.text();
    let Some(window) = &plan.rollout.window else { return text.to_owned() };
    let hour = now.to_zoned(jiff::tz::TimeZone::UTC).hour();
    let (open, close) = ((hour + 23) % 24, (hour + 12) % 24);
    let open = format!(r#"{{timezone: UTC, open: "{open:02}:00", close: "{close:02}:00"}}"#);
    format!("{}{open}\n{}", &text[..window.span.start], &text[window.span.end..])
}
