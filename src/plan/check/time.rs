//! Whether one worker can be done while the window is open.

use std::time::Duration;

use super::super::decode::{Draft, DraftStep, open_minutes};
use super::super::{Problem, Problems, Source, StepKind, code, duration};
use super::Needs;

/// Warns when the longest way through the steps of a worker, every step at its limit, takes longer than
/// the window is open.
pub(super) fn window(
    source: &Source,
    steps: &[DraftStep],
    needs: &Needs,
    draft: &Draft,
    problems: &mut Problems,
) {
    // What does not fit into the longest one fits into none.
    let longest_window = draft.rollout.windows.iter().max_by_key(|window| open_minutes(&window.value));
    let Some(window) = longest_window else { return };
    let open = Duration::from_secs(u64::from(open_minutes(&window.value)) * 60);
    let longest = longest_way(steps, needs);
    if longest <= open {
        return;
    }
    let message = format!(
        "one worker may take {} (the sum of its time-outs), and the window is open for {}",
        duration(longest),
        duration(open)
    );
    let problem = Problem::warning(code::WINDOW_TOO_SHORT, message)
        .at(source, window.span.clone(), format!("open for {}", duration(open)))
        .help("a worker that is admitted late continues after the window has closed: make the window longer or the \
               time-outs shorter");
    problems.push(problem);
}

/// The worst time of one worker. `needs` has no cycle.
fn longest_way(steps: &[DraftStep], needs: &Needs) -> Duration {
    let mut ends: Vec<Option<Duration>> = vec![None; steps.len()];
    for first in 0..steps.len() {
        let mut stack = vec![first];
        while let Some(&at) = stack.last() {
            let open: Vec<usize> = needs[at].iter().copied().filter(|other| ends[*other].is_none()).collect();
            if ends[at].is_none() && !open.is_empty() {
                stack.extend(open);
                continue;
            }
            let start = needs[at].iter().filter_map(|other| ends[*other]).max().unwrap_or_default();
            ends[at] = Some(start.saturating_add(worst(&steps[at])));
            stack.pop();
        }
    }
    ends.into_iter().flatten().max().unwrap_or_default()
}

/// All attempts of a step at their limit, and the delays between them.
fn worst(step: &DraftStep) -> Duration {
    let one = match (&step.kind, &step.timeout) {
        // Done before its turn comes.
        _ if step.prepares => return Duration::ZERO,
        (Some(StepKind::Pause { duration }), _) => return *duration,
        (_, Some(timeout)) => timeout.value,
        // An approval takes as long as the operator takes: nothing to count.
        (_, None) => return Duration::ZERO,
    };
    let retries = &step.retries;
    let mut total = one.saturating_mul(retries.attempts);
    let mut delay = retries.delay;
    // Once the bound is reached, all further delays are equal.
    for tried in 1..retries.attempts {
        let bounded = delay.min(retries.max_delay);
        if bounded == retries.max_delay || retries.backoff <= 1.0 {
            return total.saturating_add(bounded.saturating_mul(retries.attempts - tried));
        }
        total = total.saturating_add(bounded);
        delay =
            Duration::try_from_secs_f64(delay.as_secs_f64() * retries.backoff).unwrap_or(retries.max_delay);
    }
    total
}
