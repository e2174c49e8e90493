//! What is asked for, and what is told, as time passes.

use super::*;
use crate::engine::{Fact, Millis, SilenceEvent};
use crate::graph::TargetIx;

const LEASE: Millis = 300_000;
const TAIL: Millis = 120_000;
const AT_MOST: Millis = 3_600_000;
const ONE: TargetIx = TargetIx(1);
const TWO: TargetIx = TargetIx(2);

fn silences() -> Silences {
    Silences::new(Terms { lease: LEASE, tail: TAIL, at_most: AT_MOST })
}

fn held(is_new: bool) -> Answer {
    Answer::Held { id: "a".into(), is_new }
}

fn created(until: Millis) -> SilenceEvent {
    SilenceEvent::Created { id: "a".into(), until }
}

/// What is asked now.
#[track_caller]
fn asked(silences: &Silences, now: Millis) -> Ask {
    match silences.next(now) {
        Next::Ask(ask) => ask,
        other => panic!("nothing is asked at {now}, but {other:?}"),
    }
}

/// Asks, and hears of a silence that has been made or extended.
#[track_caller]
fn keep(silences: &mut Silences, now: Millis, is_new: bool) -> (Ask, Vec<(TargetIx, SilenceEvent)>) {
    let ask = asked(silences, now);
    (ask, silences.answered(now, &ask, held(is_new)))
}

#[test]
fn a_silence_is_made_extended_and_given_its_tail() {
    let mut silences = silences();
    assert_eq!(silences.next(0), Next::Nothing);
    silences.set_down(1_000, [ONE]);
    let (ask, told) = keep(&mut silences, 1_000, true);
    assert_eq!(ask, Ask { target: ONE, until: 1_000 + LEASE, create: true });
    assert_eq!(told, [(ONE, created(1_000 + LEASE))]);
    // A third later it is extended, and that is not told.
    assert_eq!(silences.next(1_000), Next::At(1_000 + LEASE / 3));
    let (ask, told) = keep(&mut silences, 101_000, false);
    assert_eq!((ask.until, told), (101_000 + LEASE, vec![]));
    // Back: until the tail is over, and no longer.
    silences.set_down(150_000, []);
    let (ask, told) = keep(&mut silences, 150_000, false);
    assert_eq!(ask, Ask { target: ONE, until: 150_000 + TAIL, create: false });
    assert_eq!(told, [(ONE, SilenceEvent::Ending { until: 150_000 + TAIL, at_most: false })]);
    assert_eq!(silences.next(150_000), Next::Nothing);
}

#[test]
fn each_worker_has_its_own_and_those_without_one_come_first() {
    let mut silences = silences();
    silences.set_down(0, [ONE]);
    keep(&mut silences, 0, true);
    silences.set_down(100_000, [ONE, TWO]);
    assert_eq!(asked(&silences, 100_000).target, TWO);
    keep(&mut silences, 100_000, true);
    assert_eq!(keep(&mut silences, 100_000, false).0.target, ONE);
    silences.set_down(110_000, [TWO]);
    assert_eq!(
        keep(&mut silences, 110_000, false).0,
        Ask { target: ONE, until: 110_000 + TAIL, create: false }
    );
    assert_eq!(silences.next(110_000), Next::At(200_000));
}

#[test]
fn nothing_lasts_longer_than_the_cap_however_long_a_worker_is_down() {
    let mut silences = silences();
    silences.set_down(0, [ONE]);
    let mut now = 0;
    let mut last = 0;
    loop {
        let told = silences.passed(now);
        if !told.is_empty() {
            assert_eq!(
                (told, now),
                (vec![(ONE, SilenceEvent::Ending { until: AT_MOST, at_most: true })], AT_MOST)
            );
            break;
        }
        match silences.next(now) {
            Next::Ask(ask) => {
                assert!(ask.until <= AT_MOST, "{ask:?}");
                last = ask.until;
                silences.answered(now, &ask, held(now == 0));
            }
            Next::At(at) => now = at,
            Next::Nothing => panic!("the worker is still down"),
        }
    }
    assert_eq!(last, AT_MOST);
    // Nor is it made anew, or given a tail.
    assert_eq!(silences.next(AT_MOST + 1), Next::Nothing);
    silences.set_down(AT_MOST + 10, []);
    assert_eq!(silences.next(AT_MOST + 10), Next::Nothing);
    // When it goes down once more, that is another time.
    silences.set_down(AT_MOST + 20, [ONE]);
    assert_eq!(asked(&silences, AT_MOST + 20).until, AT_MOST + 20 + LEASE);
}

#[test]
fn a_worker_that_is_back_at_the_cap_has_no_tail_behind_it() {
    let mut silences = silences();
    silences.set_down(0, [ONE]);
    let mut now = 0;
    while now < AT_MOST - 60_000 {
        match silences.next(now) {
            Next::Ask(ask) => drop(silences.answered(now, &ask, held(now == 0))),
            Next::At(at) => now = at,
            Next::Nothing => panic!("the worker is still down"),
        }
    }
    silences.set_down(AT_MOST - 60_000, []);
    assert_eq!(asked(&silences, AT_MOST - 60_000).until, AT_MOST);
}

#[test]
fn one_that_is_forgotten_is_made_again() {
    let mut silences = silences();
    silences.set_down(0, [ONE]);
    keep(&mut silences, 0, true);
    let (_, told) = keep(&mut silences, 100_000, true);
    assert_eq!(told, [(ONE, created(100_000 + LEASE))]);
    // Of a worker that is back none is made.
    silences.set_down(110_000, []);
    let ask = asked(&silences, 110_000);
    assert_eq!(silences.answered(110_000, &ask, Answer::Gone), []);
    assert_eq!(silences.next(110_000), Next::Nothing);
}

#[test]
fn a_monitoring_system_that_is_not_there_is_asked_less_and_less_often_and_told_once() {
    let mut silences = silences();
    let gone = || Answer::Unavailable("gone".into());
    let failed = |target| (target, SilenceEvent::Failed { why: "gone".into() });
    silences.set_down(0, [ONE, TWO]);
    let ask = asked(&silences, 0);
    // Both would have been asked for, and neither is there: it is told of both.
    assert_eq!(silences.answered(0, &ask, gone()), [failed(ONE), failed(TWO)]);
    let mut at = vec![];
    let mut now = 0;
    for _ in 0..5 {
        let Next::At(next) = silences.next(now) else { panic!("it is asked before its time") };
        at.push(next - now);
        now = next;
        let ask = asked(&silences, now);
        assert_eq!(silences.answered(now, &ask, gone()), []);
    }
    assert_eq!(at, [5_000, 10_000, 20_000, 20_000, 20_000]);
    // It is there again: both at once.
    let Next::At(now) = silences.next(now) else { panic!("it is asked before its time") };
    assert_eq!(keep(&mut silences, now, true).1, [(ONE, created(now + LEASE))]);
    assert_eq!(keep(&mut silences, now, true).1, [(TWO, created(now + LEASE))]);
    // Gone once more, and for a short time only: the silences are still there.
    let later = now + LEASE / 3;
    let ask = asked(&silences, later);
    assert_eq!(silences.answered(later, &ask, gone()).len(), 2);
    let (_, told) = keep(&mut silences, later + 5_000, false);
    assert_eq!(told, [(ONE, SilenceEvent::Extended { id: "a".into(), until: later + 5_000 + LEASE })]);
}

#[test]
fn a_refusal_is_of_one_worker_only() {
    let mut silences = silences();
    silences.set_down(0, [ONE, TWO]);
    let ask = asked(&silences, 0);
    let told = silences.answered(0, &ask, Answer::Refused("no".into()));
    assert_eq!(told, [(ONE, SilenceEvent::Failed { why: "no".into() })]);
    assert_eq!(keep(&mut silences, 0, true).0.target, TWO);
    assert_eq!(silences.next(0), Next::At(5_000));
    assert_eq!(asked(&silences, 5_000).target, ONE);
}

#[test]
fn a_worker_that_is_back_before_there_was_a_silence_gets_none() {
    let mut silences = silences();
    silences.set_down(0, [ONE]);
    let ask = asked(&silences, 0);
    silences.answered(0, &ask, Answer::Unavailable("gone".into()));
    silences.set_down(1_000, []);
    assert_eq!(silences.next(10_000), Next::Nothing);
}

#[test]
fn a_tail_that_cannot_be_said_ends_with_the_lease() {
    let mut silences = silences();
    silences.set_down(0, [ONE]);
    keep(&mut silences, 0, true);
    silences.set_down(50_000, []);
    let mut now = 50_000;
    let mut told = vec![];
    while silences.next(now) != Next::Nothing {
        told.extend(silences.passed(now));
        match silences.next(now) {
            Next::Ask(ask) => told.extend(silences.answered(now, &ask, Answer::Unavailable("gone".into()))),
            Next::At(at) => now = at,
            Next::Nothing => {}
        }
    }
    assert_eq!(
        told,
        [
            (ONE, SilenceEvent::Failed { why: "gone".into() }),
            (ONE, SilenceEvent::Ending { until: LEASE, at_most: false })
        ]
    );
}

#[test]
fn at_the_end_of_a_process_tails_are_said_once_and_those_still_down_are_left_to_themselves() {
    let mut silences = silences();
    silences.set_down(0, [ONE, TWO]);
    keep(&mut silences, 0, true);
    keep(&mut silences, 0, true);
    silences.set_down(10_000, [TWO]);
    silences.close();
    let (ask, _) = keep(&mut silences, 10_000, false);
    assert_eq!((ask.target, ask.until), (ONE, 10_000 + TAIL));
    assert_eq!(silences.next(10_000), Next::Nothing);

    silences.set_down(20_000, [ONE]);
    keep(&mut silences, 20_000, true);
    silences.set_down(30_000, []);
    silences.close();
    let ask = asked(&silences, 30_000);
    silences.answered(30_000, &ask, Answer::Unavailable("gone".into()));
    assert_eq!(silences.next(30_000), Next::Nothing);
}

#[test]
fn a_resume_takes_up_what_it_is_told_by_facts() {
    let event = |target, event| Fact::Silence { target, event };
    let over = SilenceEvent::Ending { until: 99_000, at_most: true };
    let facts = [
        (0, Fact::WorkerAdmitted { target: ONE }),
        (1_000, event(ONE, created(301_000))),
        (2_000, Fact::WorkerAdmitted { target: TWO }),
        (3_000, event(TWO, created(303_000))),
        (4_000, Fact::WorkerAdmitted { target: TargetIx(3) }),
        (50_000, Fact::WorkerSucceeded { target: TWO }),
        (99_000, event(TargetIx(3), over)),
        (99_000, Fact::WorkerAdmitted { target: TargetIx(4) }),
    ];
    let mut silences = silences();
    silences.replay(facts.iter().map(|(at, fact)| (*at, fact)));
    // Two has come back, and nobody has said how long its silence lasts; three was silenced for as long as may be, and of four nothing is known.
    silences.set_down(100_000, [ONE, TargetIx(3)]);
    let (ask, told) = keep(&mut silences, 100_000, false);
    assert_eq!((ask, told), (Ask { target: ONE, until: 100_000 + LEASE, create: true }, vec![]));
    assert_eq!(asked(&silences, 100_000), Ask { target: TWO, until: 50_000 + TAIL, create: false });
    keep(&mut silences, 100_000, false);
    assert_eq!(silences.next(100_000), Next::At(200_000));
    // The cap counts from when it went down.
    assert_eq!(asked(&silences, AT_MOST - 10_000).until, AT_MOST);
}

#[test]
fn an_end_is_asked_for_that_has_not_passed_when_it_arrives() {
    let mut silences = Silences::new(Terms { lease: LEASE, tail: 0, at_most: AT_MOST });
    silences.set_down(0, [ONE]);
    keep(&mut silences, 0, true);
    silences.set_down(10_000, []);
    assert!(asked(&silences, 10_000).until > 10_000);
}

#[test]
fn one_that_goes_down_again_within_its_tail_is_told_again() {
    let mut silences = silences();
    silences.set_down(0, [ONE]);
    keep(&mut silences, 0, true);
    silences.set_down(10_000, []);
    keep(&mut silences, 10_000, false);
    silences.set_down(20_000, [ONE]);
    // It is the one that there is, whose end was told.
    assert_eq!(keep(&mut silences, 20_000, false).1, [(ONE, created(20_000 + LEASE))]);
}
