//! A rehearsal as text: what it is made of, and its verdict.

use std::fmt::Write as _;

use crate::plan::counted;
use crate::rehearsal::{Down, Likeness, Verdict};
use crate::report::describe_elapsed;

/// At most this many workers are listed one by one.
const WORKERS_SHOWN: usize = 30;

/// Of each worker at most this many times in which it was down are shown.
const TIMES_SHOWN: usize = 3;

/// The throwaway fleet, in one phrase.
pub(super) fn likeness(likeness: &Likeness) -> String {
    let count = likeness.hosts.len();
    if likeness.mirrors_bucket {
        return format!("a copy of this bucket's fleet, {} on this machine", counted(count, "worker"));
    }
    format!("{} on this machine, over real SSH", counted(count, "throwaway worker"))
}

/// The verdict as text.
pub(super) fn render(verdict: &Verdict) -> String {
    let mut text = String::from("\nWhat each worker went through\n");
    for worker in verdict.workers.iter().take(WORKERS_SHOWN) {
        let took = worker.seconds.map_or_else(|| "-".to_owned(), time);
        let line = format!(
            "  {:<20} {:<11} {took:>8}   {:<9}  {}",
            worker.host,
            worker.state,
            counted(worker.reboots, "reboot"),
            times(&worker.down)
        );
        let _ = writeln!(text, "{}", line.trim_end());
    }
    if verdict.workers.len() > WORKERS_SHOWN {
        let _ = writeln!(text, "  and {} more", verdict.workers.len() - WORKERS_SHOWN);
    }
    let _ = writeln!(text, "\nVerdict, by what the workers have written down themselves");
    for promise in &verdict.promises {
        let _ = writeln!(text, "  {}  {}", if promise.held { "kept  " } else { "BROKEN" }, promise.what);
    }
    for fault in &verdict.faults_that_never_happened {
        let _ = writeln!(text, "\nThe fault {fault} never happened: the run did not reach it.");
    }
    let exit = verdict
        .run_exit_code
        .map_or_else(|| "by a signal".to_owned(), |code| format!("with exit code {code}"));
    let _ = writeln!(text, "\nThe run itself ended {exit}.");
    let _ = writeln!(text, "{} Nothing of the fleet is left.", conclusion(verdict));
    text
}

fn conclusion(verdict: &Verdict) -> &'static str {
    if verdict.any_broken() {
        "Not every promise was kept."
    } else if verdict.interrupted {
        "It was stopped before its end; up to there every promise was kept. There is nothing to resume: \
         rehearse again when you like."
    } else if verdict.all_held {
        "Every promise was kept."
    } else {
        "Every promise was kept, and yet the run did not succeed."
    }
}

/// As everywhere: `4.7s`.
fn time(seconds: f64) -> String {
    describe_elapsed((seconds * 1000.0) as i64)
}

fn times(down: &[Down]) -> String {
    if down.is_empty() {
        return String::new();
    }
    let one = |down: &Down| {
        let to = down.to.map_or_else(|| "to the end".to_owned(), |to| format!("to {}", time(to)));
        format!("{} {to}", time(down.from))
    };
    let shown: Vec<_> = down.iter().take(TIMES_SHOWN).map(one).collect();
    let more = if down.len() > TIMES_SHOWN { ", ..." } else { "" };
    format!("down from {}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rehearsal::{Promise, WorkerPart};

    fn verdict() -> Verdict {
        let down = |from, to| Down { from, to };
        let worker = WorkerPart {
            host: "w1".to_owned(),
            state: "succeeded",
            seconds: Some(4.25),
            reboots: 1,
            down: vec![down(1.0, Some(2.5)), down(3.0, None)],
        };
        let promise =
            Promise { name: "reboots", held: true, what: "no worker was rebooted twice".to_owned() };
        Verdict {
            r#type: "verdict",
            schema: "maand/verdict/v1",
            all_held: true,
            interrupted: false,
            run_exit_code: Some(0),
            most_down_at_once: 1,
            faults: Vec::new(),
            faults_that_never_happened: Vec::new(),
            controllers_killed: 0,
            promises: vec![promise],
            workers: vec![worker],
        }
    }

    #[test]
    fn a_worker_is_one_line_with_the_times_in_which_it_was_down() {
        let text = render(&verdict());
        let line = text.lines().find(|line| line.contains("w1")).unwrap_or_default();
        assert!(line.ends_with("1 reboot   down from 1.0s to 2.5s, 3.0s to the end"), "{line}");
        let mut many = verdict();
        many.workers =
            std::iter::repeat_with(|| verdict().workers.remove(0)).take(WORKERS_SHOWN + 2).collect();
        assert!(render(&many).contains("\n  and 2 more\n"));
    }

    #[test]
    fn the_conclusion_says_what_the_exit_code_says() {
        let text = |change: fn(&mut Verdict)| {
            let mut verdict = verdict();
            change(&mut verdict);
            render(&verdict)
        };
        assert!(text(|_| {}).contains("Every promise was kept. Nothing of the fleet is left."));
        let broken = text(|verdict| {
            verdict.promises[0].held = false;
            verdict.all_held = false;
        });
        assert!(broken.contains("BROKEN") && broken.contains("Not every promise was kept."), "{broken}");
        let failed = text(|verdict| verdict.all_held = false);
        assert!(failed.contains("the run did not succeed"), "{failed}");
        let stopped = text(|verdict| verdict.interrupted = true);
        assert!(stopped.contains("There is nothing to resume"), "{stopped}");
        let signal = text(|verdict| verdict.run_exit_code = None);
        assert!(signal.contains("The run itself ended by a signal."), "{signal}");
        let idle = text(|verdict| verdict.faults_that_never_happened.push("w1:never_returns".to_owned()));
        assert!(idle.contains("The fault w1:never_returns never happened"), "{idle}");
    }
}
