//! What `maand plan abort` and `maand plan skip` say of reboot commands that nobody waits for any more.

use super::super::{Context, out};
use super::carry_out::site;
use crate::journal::RunId;
use crate::plan::Problem;
use crate::run::reboots_left;

/// Names the workers of a run (`only`: this one) that may yet go down. What keeps that from being seen is left out: the
/// request itself was done.
pub(super) fn warn(run: &RunId, only: Option<&str>, context: &Context) {
    let Ok(left) = site(context).and_then(|site| Ok(reboots_left(&site, run, only)?)) else { return };
    for (host, why) in left {
        let message = format!("{host} may go down at any time: {why}");
        let help = "wait for it, or end it on the worker (`shutdown -c` cancels what is scheduled); until then no plan \
                    begins there";
        out::diagnose(&Problem::warning("maand::run::reboot_pending", message).help(help), context.colors);
    }
}
