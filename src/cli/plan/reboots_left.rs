//! What `maand plan abort` and `maand plan skip` say of reboot commands that nobody waits for any more.

use super::super::{Context, out};
use super::carry_out::site;
use crate::journal::RunId;
use crate::plan::Problem;
use crate::run::{Site, reboots_left};

/// Names the workers of a run (`only`: these) that may yet go down. What keeps that from being seen is left out: the
/// request itself was done.
pub(super) fn warn(run: &RunId, only: Option<&[String]>, context: &Context) {
    let Ok(site) = site(context) else { return };
    problems(&site, run, only).iter().for_each(|problem| out::diagnose(problem, context.colors));
}

/// The same, to be said elsewhere.
pub(super) fn problems(site: &Site, run: &RunId, only: Option<&[String]>) -> Vec<Problem> {
    let left = reboots_left(site, run, only).unwrap_or_default();
    let problem = |(host, why)| {
        let message = format!("{host} may go down at any time: {why}");
        let help = "wait for it, or end it on the worker (`shutdown -c` cancels what is scheduled); until then no plan \
                    begins there";
        Problem::warning("maand::run::reboot_pending", message).help(help)
    };
    left.into_iter().map(problem).collect()
}
