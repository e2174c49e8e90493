//! The way to one target: its notices in order, one at a time, on a thread of its own.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::journal::{NoticeKey, NoticeStore, UndeliveredNotice};
use crate::notice::Notice;
use crate::plan::NoticeTarget;
use crate::runner::now;

use super::send::{Failure, Machine, send};

/// More wait for no target: what comes then is not delivered by this process, and is said to be so.
const MOST_WAITING: usize = 1000;
/// Between two tries, at first and at most: it doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Of a notice that was never tried.
const NOT_TRIED: &str = "it was not tried before the process ended";

/// Where a notice stands in its run.
pub(super) fn key(notice: &Notice) -> NoticeKey {
    (notice.seq, notice.event_name().to_owned())
}

/// The way to one target.
pub(super) struct Lane {
    pub(super) name: String,
    target: NoticeTarget,
    /// Facts up to this one were no news when the target came.
    since: u64,
    waits: Mutex<Waits>,
    changed: Condvar,
    stopped: AtomicBool,
}

#[derive(Default)]
struct Waits {
    /// What is under way, and after a failed try why.
    current: Option<(NoticeKey, String)>,
    waiting: VecDeque<Notice>,
    /// Those that this process or one before it has delivered, or has to deal with.
    known: BTreeSet<NoticeKey>,
    undelivered: Vec<(NoticeKey, String)>,
}

impl Lane {
    pub(super) fn new(name: String, target: NoticeTarget, since: u64, known: BTreeSet<NoticeKey>) -> Self {
        let waits = Mutex::new(Waits { known, ..Waits::default() });
        Self { name, target, since, waits, changed: Condvar::new(), stopped: AtomicBool::new(false) }
    }

    /// Takes a notice that the target wants and does not have.
    pub(super) fn take(&self, notice: &Notice) {
        let is_wanted = notice.event.is_some_and(|event| self.target.on.contains(&event));
        let is_news = notice.seq == 0 || notice.seq > self.since;
        let mut waits = self.waits();
        if !is_wanted || !is_news || !waits.known.insert(key(notice)) {
            return;
        }
        if waits.waiting.len() >= MOST_WAITING {
            let why = format!("{MOST_WAITING} others were waiting");
            waits.undelivered.push((key(notice), why));
            return;
        }
        waits.waiting.push_back(notice.clone());
        self.changed.notify_all();
    }

    /// Delivers until it is stopped.
    pub(super) fn serve(&self, store: &NoticeStore, machine: &Machine) {
        while let Some(notice) = self.next() {
            let key = key(&notice);
            let why = self.deliver(&notice, machine);
            // What is not noted is sent again by the next process.
            if notice.seq > 0 || why.is_none() {
                let _ = store.settle(&self.name, &key, now(), why.as_deref());
            }
            let mut waits = self.waits();
            waits.current = None;
            waits.undelivered.extend(why.map(|why| (key, why)));
            self.changed.notify_all();
        }
    }

    /// Tries until it is delivered, cannot be, or took too long; why it was not.
    fn deliver(&self, notice: &Notice, machine: &Machine) -> Option<String> {
        let until = Instant::now() + self.target.give_up_after;
        let mut pause = FIRST_PAUSE;
        loop {
            match send(&self.target, notice, machine, &|| self.is_stopped()) {
                Ok(_) => return None,
                Err(Failure::Never(why)) => return Some(why),
                Err(Failure::Later(why)) if Instant::now() + pause >= until => return Some(why),
                Err(Failure::Later(why)) => {
                    self.waits().current = Some((key(notice), why.clone()));
                    if !self.rest(pause) {
                        return Some(why);
                    }
                }
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Waits; `false`: it was stopped.
    fn rest(&self, pause: Duration) -> bool {
        let waits = self.waits();
        let stopped = |_: &mut Waits| !self.is_stopped();
        drop(self.changed.wait_timeout_while(waits, pause, stopped));
        !self.is_stopped()
    }

    fn next(&self) -> Option<Notice> {
        let mut waits = self.waits();
        loop {
            if self.is_stopped() {
                return None;
            }
            if let Some(notice) = waits.waiting.pop_front() {
                waits.current = Some((key(&notice), NOT_TRIED.to_owned()));
                return Some(notice);
            }
            waits = self.changed.wait(waits).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Nothing is under way, and nothing waits that will be tried.
    pub(super) fn is_idle(&self) -> bool {
        let waits = self.waits();
        self.is_stopped() || (waits.current.is_none() && waits.waiting.is_empty())
    }

    pub(super) fn stop(&self) {
        // Under the lock, so that nobody begins to wait who has just looked.
        let waits = self.waits();
        self.stopped.store(true, Ordering::Release);
        self.changed.notify_all();
        drop(waits);
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// All that was not delivered, after it was stopped. What is under way may still be: then it is sent once more.
    pub(super) fn undelivered(&self) -> Vec<UndeliveredNotice> {
        let mut waits = self.waits();
        let mut all = std::mem::take(&mut waits.undelivered);
        all.extend(waits.current.clone());
        all.extend(waits.waiting.drain(..).map(|notice| (key(&notice), NOT_TRIED.to_owned())));
        let named = |(key, why)| UndeliveredNotice { target: self.name.clone(), key, why };
        all.into_iter().map(named).collect()
    }

    fn waits(&self) -> MutexGuard<'_, Waits> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notice::test_notice;
    use crate::plan::{NoticeEvent, Source, parse_notify};

    fn lane(since: u64, known: &[NoticeKey]) -> Lane {
        let text = "x: {command: 'true', on: [halted, longer_than_usual]}\n";
        let notify = parse_notify(&Source::new("notify.yaml", text)).unwrap();
        let target = notify.targets["x"].clone().unwrap();
        Lane::new("x".into(), target, since, known.iter().cloned().collect())
    }

    fn notice(event: NoticeEvent, seq: u64) -> Notice {
        Notice { event: Some(event), seq, ..test_notice("bucket", 1, "me@here") }
    }

    fn waiting(lane: &Lane) -> Vec<u64> {
        lane.waits().waiting.iter().map(|notice| notice.seq).collect()
    }

    #[test]
    fn a_target_is_told_what_it_wants_and_does_not_have_once() {
        let lane = lane(5, &[(8, "halted".to_owned())]);
        for (event, seq) in [
            (NoticeEvent::Halted, 5),
            (NoticeEvent::Halted, 7),
            (NoticeEvent::Halted, 7),
            (NoticeEvent::Halted, 8),
            (NoticeEvent::Finished, 9),
            (NoticeEvent::LongerThanUsual, 0),
            (NoticeEvent::LongerThanUsual, 0),
        ] {
            lane.take(&notice(event, seq));
        }
        assert_eq!(waiting(&lane), [7, 0]);
        assert!(!lane.is_idle());
        lane.stop();
        assert!(lane.is_idle(), "nobody will try them");
        let left = lane.undelivered();
        assert_eq!(left.iter().map(|left| left.key.0).collect::<Vec<_>>(), [7, 0]);
        assert_eq!(left[0].why, NOT_TRIED);
        assert!(lane.next().is_none());
    }

    #[test]
    fn the_queue_has_an_end_and_what_is_behind_it_is_said() {
        let lane = lane(0, &[]);
        (1..=MOST_WAITING as u64 + 2).for_each(|seq| lane.take(&notice(NoticeEvent::Halted, seq)));
        assert_eq!(waiting(&lane).len(), MOST_WAITING);
        lane.stop();
        let left = lane.undelivered();
        assert_eq!(left.len(), MOST_WAITING + 2);
        assert_eq!(left.iter().filter(|left| left.why.contains("others were waiting")).count(), 2);
    }
}
