//! The way to one target: its notices in order, one at a time, on a thread of its own.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::journal::{NoticeKey, NoticeStore, UndeliveredNotice};
use crate::notice::Notice;
use crate::plan::{NoticeTarget, duration};
use crate::runner::now;

use super::send::{Failure, Machine, UNDER_WAY, send};

/// More wait for no target: what comes then is not delivered by this process, and is said to be so.
const MOST_WAITING: usize = 1000;
/// Between two tries, at first and at most: it doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// And at most where whoever answers asks for a time: half of how long a notice is tried, unless a target says otherwise.
const LONGEST_ASKED: Duration = Duration::from_secs(300);
/// Of a notice that was never tried.
const NOT_TRIED: &str = "it was not tried before the process ended";

/// How long it takes to the next try; `None`: there is none. `pause`: where nobody asks for another time; `asked`: what whoever
/// answered asks for, which is heeded within bounds: it may be any nonsense, and the time of a notice (`left`) ends with one
/// last try rather than without.
fn until_next_try(pause: Duration, asked: Option<Duration>, left: Duration) -> Option<Duration> {
    let wanted = pause.max(asked.unwrap_or_default().min(LONGEST_ASKED));
    match asked {
        _ if wanted < left => Some(wanted),
        Some(_) if !left.is_zero() => Some(left),
        _ => None,
    }
}

/// Rounded up.
fn in_seconds(time: Duration) -> String {
    duration(Duration::from_secs(time.as_millis().div_ceil(1000) as u64))
}

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
    /// What is under way, and what is said of it where it does not come to its end.
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
            let (why, after) = match send(&self.target, notice, machine, &|| self.is_stopped()) {
                Ok(_) => return None,
                Err(Failure::Never(why)) => return Some(why),
                Err(Failure::Later { why, after }) => (why, after),
            };
            let left = until.saturating_duration_since(Instant::now());
            let Some(rest) = until_next_try(pause, after, left) else { return Some(why) };
            let why = match after {
                Some(_) => format!("{why}; it was to be tried again {} later", in_seconds(rest)),
                None => why,
            };
            self.is_current(notice, &why);
            if !self.rest(rest) {
                return Some(why);
            }
            self.is_current(notice, &format!("{why}; another try was under way when the process ended"));
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// What is said of it should the process end now.
    fn is_current(&self, notice: &Notice, why: &str) {
        self.waits().current = Some((key(notice), why.to_owned()));
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
                waits.current = Some((key(&notice), UNDER_WAY.to_owned()));
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
    fn what_a_server_asks_for_is_heeded_within_bounds() {
        let s = Duration::from_secs;
        let next =
            |asked: Option<u64>, left: u64| until_next_try(s(2), asked.map(s), s(left)).map(|t| t.as_secs());
        assert_eq!(next(None, 600), Some(2));
        assert_eq!(next(None, 2), None, "its time is over");
        assert_eq!(next(Some(90), 600), Some(90));
        assert_eq!(next(Some(0), 600), Some(2), "no sooner than without");
        assert_eq!(next(Some(u64::MAX), 600), Some(300));
        assert_eq!(next(Some(u64::MAX), 200), Some(200), "one last try");
        assert_eq!(next(Some(90), 0), None);
    }

    #[test]
    fn what_is_under_way_when_the_process_ends_may_have_arrived() {
        let lane = lane(0, &[]);
        (1..=2).for_each(|seq| lane.take(&notice(NoticeEvent::Halted, seq)));
        assert!(lane.next().is_some());
        lane.stop();
        let why: Vec<String> = lane.undelivered().into_iter().map(|left| left.why).collect();
        assert_eq!(why, [UNDER_WAY, NOT_TRIED]);
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
