//! The list of runs.

use std::collections::BTreeSet;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde::Deserialize;

use super::answer::{Trouble, html};
use super::routes::App;
use super::watchers::Watchers;
use crate::engine::{Millis, PublicRunState};
use crate::journal::RunId;
use crate::page::{self, IndexFilter, IndexPage, IndexRun};
use crate::run::{History, ListedRun, RunFilter};
use crate::runner::now;

/// Runs on a page of the list.
const RUNS: usize = 50;
/// Of so many runs it is looked whether a worker took part.
const LOOKED_THROUGH: usize = 500;

/// What the list is narrowed to.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    plan: String,
    state: String,
    by: String,
    worker: String,
    since: String,
    page: String,
}

/// The list.
pub(super) async fn index(
    State(app): State<App>,
    asked: Result<Query<Asked>, QueryRejection>,
    uri: Uri,
) -> Result<Response, Trouble> {
    let Query(asked) = asked.map_err(|refused| {
        Trouble::new(StatusCode::BAD_REQUEST, refused.body_text(), "begin with the list of all runs")
    })?;
    let watchers = app.watchers.clone();
    let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let page = app.reads.page(&path, move || listed(&watchers, &asked));
    Ok(html(page.await?))
}

fn listed(watchers: &Watchers, asked: &Asked) -> Result<String, Trouble> {
    let bucket = watchers.bucket();
    let history = History::open(bucket).map_err(|error| Trouble::of(error, watchers.words()))?;
    let at = now();
    let shown = IndexFilter {
        plan: asked.plan.trim().to_owned(),
        state: asked.state.clone(),
        by: asked.by.trim().to_owned(),
        worker: asked.worker.trim().to_owned(),
        since: asked.since.clone(),
        page: asked.page.parse().unwrap_or(0),
    };
    let (filter, refused) = match filter(&shown, at) {
        Ok(filter) => (Some(filter), None),
        Err(refused) => (None, Some(refused)),
    };
    let meant = filter.map(|filter| history.select(&filter)).unwrap_or_default();
    let skipped = shown.page.saturating_sub(1).saturating_mul(RUNS);
    let (runs, matching) = match shown.worker.is_empty() {
        true => {
            let count = meant.len();
            (meant.into_iter().skip(skipped).take(RUNS + 1).collect(), Some(count))
        }
        false => (with_worker(&history, meant, &shown.worker, skipped), None),
    };
    let line = |listed: &&ListedRun| IndexRun {
        id: listed.run.id.to_string(),
        plan: listed.run.plan.clone(),
        state: listed.state,
        who: history.author(&listed.run.id),
        started_at: listed.run.started_at,
        last_at: listed.run.last_at,
        finished_at: listed.run.finished_at,
        workers: listed.run.workers,
        succeeded: listed.run.succeeded,
        failed: listed.run.failed,
    };
    let lines: Vec<IndexRun> = runs.iter().take(RUNS).map(line).collect();
    let page = IndexPage {
        bucket: &bucket.paths().root.display().to_string(),
        filter: &shown,
        refused: refused.as_deref(),
        runs: &lines,
        total: history.runs.len(),
        matching,
        at,
    };
    Ok(page::index_page(&page, runs.len() > RUNS))
}

/// Those of the newest runs in which a worker took part.
fn with_worker<'h>(
    history: &'h History,
    mut runs: Vec<&ListedRun>,
    host: &str,
    skipped: usize,
) -> Vec<&'h ListedRun> {
    runs.truncate(LOOKED_THROUGH);
    let hosts = BTreeSet::from([host.to_owned()]);
    let on = history.of_workers(history.look(runs), &hosts).map(|on| on.run.run.id.clone());
    let names: BTreeSet<RunId> = on.skip(skipped).take(RUNS + 1).collect();
    history.runs.iter().filter(|listed| names.contains(&listed.run.id)).collect()
}

/// What was typed, as a filter.
fn filter(shown: &IndexFilter, at: Millis) -> Result<RunFilter, String> {
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let states = match shown.state.as_str() {
        "" => Vec::new(),
        state => {
            vec![PublicRunState::parse(state).ok_or_else(|| format!("`{state}` is not a state of a run"))?]
        }
    };
    let since = match shown.since.as_str() {
        "" => None,
        span => Some(at - span_of(span).ok_or_else(|| format!("`{span}` is not a time such as 24h or 7d"))?),
    };
    let (plan, by) = (text(&shown.plan), text(&shown.by));
    Ok(RunFilter { by, plan, states, since, until: None, run: None })
}

/// `24h`, `7d`.
pub(super) fn span_of(text: &str) -> Option<Millis> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let hours = match unit {
        "h" => 1,
        "d" => 24,
        _ => return None,
    };
    let number: Millis = number.parse::<u16>().ok()?.into();
    Some(number * hours * 3_600_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_hours_or_days() {
        assert!(IndexFilter::SPANS.iter().all(|(span, _)| span_of(span).is_some()));
        assert_eq!((span_of("24h"), span_of("7d")), (Some(86_400_000), Some(604_800_000)));
        for wrong in ["", "h", "7", "7w", "-1d", "1 d", "99999999999d", "é", "7é"] {
            assert_eq!(span_of(wrong), None, "{wrong}");
        }
    }
}
