//! Every place at which a controller can die, one after the other, and pairs of them: the end must be
//! that of the undisturbed run.

use super::config::SimConfig;
use super::invariant::{Invariant, Violation};
use super::run::{Report, run};

/// How many runs were made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// With one crash.
    pub singles: u64,
    /// With two.
    pub pairs: u64,
}

/// One crash at each place, and a second one at every `stride`-th place after it (0: no pairs).
///
/// # Errors
/// The first run that breaks an invariant, or ends in another way than the undisturbed one.
pub fn sweep(config: &SimConfig, stride: usize) -> Result<Swept, Box<Report>> {
    let mut swept = Swept::default();
    let Some(undisturbed) = run(config) else { return Ok(swept) };
    if undisturbed.broken.is_some() {
        return Err(Box::new(undisturbed));
    }
    for first in 1..=undisturbed.points {
        let one = disturbed(config, vec![first], &undisturbed)?;
        swept.singles += 1;
        if stride == 0 {
            continue;
        }
        // Another beginning for each first place, so that all of them are second places in the end.
        let offset = 1 + first % stride as u64;
        for second in (first + offset..=one.points).step_by(stride) {
            disturbed(config, vec![first, second], &undisturbed)?;
            swept.pairs += 1;
        }
    }
    Ok(swept)
}

fn disturbed(config: &SimConfig, crash_at: Vec<u64>, undisturbed: &Report) -> Result<Report, Box<Report>> {
    let config = SimConfig { crash_at, ..config.clone() };
    let Some(mut report) = run(&config) else { return Ok(undisturbed.clone()) };
    if report.broken.is_none() && report.end_state() != undisturbed.end_state() {
        let what = format!("it ends as\n{:?}\ninstead of\n{:?}", report.end_state(), undisturbed.end_state());
        report.broken = Some(Violation { invariant: Invariant::ResumeReachesEnd, what });
    }
    if report.broken.is_some() { Err(Box::new(report)) } else { Ok(report) }
}
