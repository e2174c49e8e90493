//! Which worker's turn it is: a sliding window over the workers, or whole batches.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::one::Shared;
use super::reboot_intent::reboot_intent;
use super::{CommandOutcome, CommandRequest, CommandResult, Observer};
use crate::bucket::Host;
use crate::os::parallel_map;
use crate::ssh::{Cancel, Remote};

/// Runs the command; the results are in the order of the request's hosts, one for each.
///
/// A failure ends the starting of further workers unless `keep_going`; the ones that run are seen to
/// their end. `cancel` ends those, too.
pub fn run_command(
    remote: &dyn Remote,
    request: &CommandRequest,
    observer: &dyn Observer,
    cancel: &Cancel,
) -> Vec<CommandResult> {
    let reboot_intent = reboot_intent(&request.command);
    let shared = Shared { remote, request, reboot_intent, observer, cancel, boots: Mutex::default() };
    let window = Window { shared: &shared, stop: Mutex::new(None) };
    let concurrency = request.concurrency.max(1);
    if !request.batches {
        return window.slide(request.hosts.clone(), concurrency);
    }
    let mut waiting: VecDeque<Host> = request.hosts.iter().cloned().collect();
    let mut results = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let batch: Vec<Host> = waiting.drain(..concurrency.min(waiting.len())).collect();
        results.extend(window.slide(batch, concurrency));
        if window.stopped().is_none()
            && let Err(why) = observer.after_batch()
            && !request.keep_going
        {
            window.stop(why);
        }
    }
    results
}

struct Window<'a> {
    shared: &'a Shared<'a>,
    /// Why nothing further is started.
    stop: Mutex<Option<String>>,
}

impl Window<'_> {
    fn stopped(&self) -> Option<String> {
        if self.shared.cancel.is_cancelled() {
            return Some("interrupted".to_owned());
        }
        self.stop.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn stop(&self, why: String) {
        self.stop.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
    }

    fn slide(&self, hosts: Vec<Host>, concurrency: usize) -> Vec<CommandResult> {
        parallel_map(hosts, concurrency, |host| {
            let began = Instant::now();
            let (outcome, took) = match self.stopped() {
                Some(why) => (CommandOutcome::NotStarted { why }, Duration::ZERO),
                None => (self.shared.run_on(&host), began.elapsed()),
            };
            // Before the place is free, so that no other worker takes it.
            let not_started = matches!(outcome, CommandOutcome::NotStarted { .. });
            if !outcome.is_ok() && !not_started && !self.shared.request.keep_going {
                self.stop(format!("{host} came before it: {}", outcome.word()));
            }
            let result = CommandResult { host, outcome, took };
            self.shared.observer.finished(&result);
            result
        })
    }
}
