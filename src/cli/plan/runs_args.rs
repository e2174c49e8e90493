//! Which runs a look back is about, for every command alike, and why it is about none.

use std::fmt::Write as _;

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};

use super::super::CliError;
use super::super::table::name;
use super::super::when::{LocalClock, When};
use crate::engine::PublicRunState;
use crate::plan::suggest::{all_of, suggest};
use crate::plan::{counted, visible_line};
use crate::run::{FilterPart, History, RunFilter};

/// Plans that are listed to choose from.
const PLANS_SHOWN: usize = 8;

/// Flags that choose runs.
#[derive(Clone, Debug, Default, Args)]
pub(in crate::cli) struct RunsArgs {
    /// Only runs of this plan; `*` and `?` stand for text
    #[arg(long, value_name = "NAME", add = crate::cli::complete::plan_names())]
    plan: Option<String>,
    /// Only runs that this operator has started; a piece of `user@host` will do
    #[arg(long, value_name = "WHO", add = crate::cli::complete::authors())]
    by: Option<String>,
    /// Only runs that stand so
    #[arg(
        long = "state",
        visible_alias = "states",
        value_name = "STATE,..",
        value_enum,
        value_delimiter = ','
    )]
    states: Vec<PublicRunState>,
    /// Only runs in which something happened since then: 7d, 2h30m, yesterday, monday, 2026-11-20, "2026-11-20 14:30"
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<When>,
    /// Only runs that began before then
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    until: Option<When>,
}

impl ValueEnum for PublicRunState {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.as_str()))
    }
}

impl RunsArgs {
    /// What they mean; `run` is the name of a run, where one was given.
    ///
    /// # Errors
    /// There is no such run; nothing lies between the two times.
    pub(super) fn filter(&self, history: &History, run: Option<&str>) -> Result<RunFilter, CliError> {
        let (since, until) = (self.since.map(|when| when.0), self.until.map(|when| when.0));
        if let (Some(since), Some(until)) = (since, until)
            && since >= until
        {
            let clock = LocalClock::here();
            return Err(CliError::usage(
                format!("--since ({}) is not before --until ({})", clock.second(since), clock.second(until)),
                "a day without a time is its first moment: `--since 2026-11-20 --until 2026-11-21` is one day",
            ));
        }
        Ok(RunFilter {
            by: self.by.clone(),
            plan: self.plan.clone(),
            states: self.states.clone(),
            since,
            until,
            run: run.map(|run| history.find(run)).transpose()?,
        })
    }
}

/// Why no run fits a filter, in lines; what does not fit at all says so.
pub(super) fn why_none(history: &History, filter: &RunFilter, clock: &LocalClock) -> String {
    let Some(newest) = history.runs.first() else {
        return "There is no run yet; `maand plan apply PLAN` starts one.\n".to_owned();
    };
    let mut text = format!(
        "No run matches. There {}, the newest {} of plan {}, {}:\n",
        match history.runs.len() {
            1 => "is 1".to_owned(),
            runs => format!("are {runs}"),
        },
        newest.run.id,
        name(&newest.run.plan),
        clock.ago(newest.run.started_at),
    );
    for (part, fitting) in history.parts(filter) {
        let flag = match part {
            FilterPart::By => format!("--by {}", filter.by.as_deref().unwrap_or_default()),
            FilterPart::Plan => format!("--plan {}", filter.plan.as_deref().unwrap_or_default()),
            FilterPart::States => {
                let names: Vec<&str> = filter.states.iter().map(|state| state.as_str()).collect();
                format!("--state {}", names.join(","))
            }
            FilterPart::Since => format!("--since {}", clock.both(filter.since.unwrap_or_default())),
            FilterPart::Until => format!("--until {}", clock.both(filter.until.unwrap_or_default())),
            FilterPart::Run => filter.run.as_ref().map(ToString::to_string).unwrap_or_default(),
        };
        let fits = match fitting {
            0 => "no run".to_owned(),
            runs => counted(runs, "run"),
        };
        let _ = writeln!(text, "  {}: {fits}{}", visible_line(&flag), near(history, filter, part, fitting));
    }
    text
}

/// What was probably meant by a part that nothing fits.
fn near(history: &History, filter: &RunFilter, part: FilterPart, fitting: usize) -> String {
    if part != FilterPart::Plan || fitting > 0 {
        return String::new();
    }
    let plans = history.plans();
    match suggest(filter.plan.as_deref().unwrap_or_default(), plans.keys().copied()) {
        Some(near) => format!("; did you mean `{}`?", name(near)),
        None => {
            let shown: Vec<String> = plans.keys().take(PLANS_SHOWN).map(|plan| name(plan)).collect();
            format!("; there are runs of {}", all_of(shown.iter().map(String::as_str)))
        }
    }
}
