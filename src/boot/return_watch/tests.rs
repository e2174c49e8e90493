//! The rules of a return, one example each.

use super::*;

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn spec() -> ReturnSpec {
    ReturnSpec {
        not: Some("b0".to_owned()),
        down_within: s(120),
        ordered_before: s(5),
        grace_after_absence: Duration::ZERO,
        away_at_first: false,
        auth_refused_for: AUTH_REFUSED_FOR,
        settle: s(10),
        interval: s(1),
        timeout: s(600),
        seed: 1,
    }
}

fn up(boot_id: &str) -> Look<&'static str> {
    Ok(Probe::settled(boot_id))
}

fn booting(boot_id: &str) -> Look<&'static str> {
    Ok(Probe { unsettled: Some("systemd is starting".to_owned()), ..Probe::settled(boot_id) })
}

fn fails(failure: LookFailure) -> Look<&'static str> {
    Err(LookError { failure, error: "why" })
}

/// Looks that each take no time, and the end of the last.
fn after(spec: ReturnSpec, looks: Vec<(u64, Look<&'static str>)>) -> Next<Return<&'static str>> {
    let mut watch = ReturnWatch::new(spec);
    let mut last = Next::LookAgain { pause: Duration::ZERO, bound: watch.bound() };
    for (at, look) in looks {
        assert!(matches!(last, Next::LookAgain { .. }), "it ended before {at} s: {last:?}");
        last = watch.next(s(at), s(at), look);
    }
    last
}

fn is_back(next: &Next<Return<&'static str>>) -> bool {
    matches!(next, Next::Done(Return::Back { .. }))
}

#[test]
fn back_is_another_boot_that_stayed_well_for_the_settle_time() {
    assert!(!is_back(&after(spec(), vec![(30, up("b1")), (39, up("b1"))])));
    assert!(is_back(&after(spec(), vec![(30, up("b1")), (40, up("b1"))])));
}

#[test]
fn the_old_boot_is_no_return_and_in_the_end_no_reboot() {
    let next = after(spec(), vec![(10, up("b0")), (114, up("b0"))]);
    assert!(matches!(next, Next::LookAgain { .. }));
    let next = after(spec(), vec![(10, up("b0")), (116, up("b0"))]);
    let wanted = Return::NotRebooted { boot_id: "b0".to_owned(), since: s(121) };
    assert_eq!(next, Next::Done(wanted));
}

#[test]
fn a_boot_that_is_not_done_makes_settling_begin_anew() {
    let looks = vec![(30, up("b1")), (35, booting("b1")), (36, up("b1")), (41, up("b1"))];
    assert!(!is_back(&after(spec(), looks)));
}

#[test]
fn a_refused_connection_makes_settling_begin_anew() {
    let looks = vec![
        (30, up("b1")),
        (35, fails(LookFailure::Refused)),
        (36, up("b1")),
        (41, up("b1")),
        (46, up("b1")),
    ];
    assert!(is_back(&after(spec(), looks)));
}

#[test]
fn a_look_that_its_own_bound_cut_short_is_no_evidence_against_the_worker() {
    let looks = vec![(30, up("b1")), (35, fails(LookFailure::CutShort)), (40, up("b1"))];
    assert!(is_back(&after(spec(), looks)));
}

#[test]
fn one_look_without_an_answer_is_no_evidence_and_ten_seconds_of_them_are() {
    let silent = || fails(LookFailure::NoAnswer);
    assert!(is_back(&after(spec(), vec![(30, up("b1")), (35, silent()), (40, up("b1"))])));
    let silence = vec![(30, up("b1")), (31, silent()), (36, silent()), (41, silent()), (42, up("b1"))];
    assert!(!is_back(&after(spec(), silence.clone())));
    assert!(is_back(&after(spec(), [silence, vec![(52, up("b1"))]].concat())));
    let mut watch: ReturnWatch<&str> = ReturnWatch::new(spec());
    let _ = watch.next(s(30), s(30), up("b1"));
    let _ = watch.next(s(31), s(41), silent());
    assert!(!is_back(&watch.next(s(42), s(42), up("b1"))));
}

#[test]
fn a_worker_that_was_away_at_first_gets_its_grace_before_its_old_boot_proves_anything() {
    let spec = ReturnSpec { away_at_first: true, grace_after_absence: s(20), down_within: s(3), ..spec() };
    assert!(matches!(after(spec.clone(), vec![(19, up("b0"))]), Next::LookAgain { .. }));
    assert!(matches!(after(spec, vec![(20, up("b0"))]), Next::Done(Return::NotRebooted { .. })));
}

#[test]
fn looks_after_the_settle_time_keep_their_pause() {
    let mut watch: ReturnWatch<&str> = ReturnWatch::new(spec());
    let _ = watch.next(s(30), s(30), up("b1"));
    for at in [39, 41, 50] {
        let next = watch.next(s(at), s(at + 2), fails(LookFailure::CutShort));
        assert!(matches!(next, Next::LookAgain { pause, .. } if pause >= s(1) * 4 / 5), "{at}: {next:?}");
    }
}

#[test]
fn a_login_of_six_seconds_gets_through_a_settle_time_of_ten() {
    let mut watch: ReturnWatch<&str> = ReturnWatch::new(spec());
    let (mut now, mut bound) = (s(30), watch.bound());
    let login = s(6);
    for looks in 1.. {
        let (took, look) =
            if bound >= login { (login, up("b1")) } else { (bound, fails(LookFailure::CutShort)) };
        match watch.next(now, now + took, look) {
            Next::LookAgain { pause, bound: next } => (now, bound) = (now + took + pause, next),
            Next::Done(end) => {
                assert_eq!(end, Return::Back { boot_id: "b1".to_owned(), earlier: Vec::new() });
                let took = now + login - s(30);
                // Two looks that were too short, the first whole one, the settle time, one more login.
                assert!(took <= s(8) + login + s(10) + login, "{looks} looks, {took:?}");
                return;
            }
        }
        assert!(looks < 50, "it never settles");
    }
}

#[test]
fn the_last_look_comes_when_settling_is_over_and_not_an_interval_later() {
    let mut watch: ReturnWatch<&str> = ReturnWatch::new(ReturnSpec { interval: s(7), ..spec() });
    let Next::LookAgain { pause, .. } = watch.next(s(30), s(30), up("b1")) else { panic!("back at once") };
    let second = s(30) + pause;
    let Next::LookAgain { pause, .. } = watch.next(second, second, up("b1")) else {
        panic!("back too early")
    };
    assert_eq!(second + pause, s(40));
}

#[test]
fn a_machine_that_boots_again_while_it_settles_settles_in_its_newest_boot() {
    let twice = vec![(30, up("b1")), (35, up("b2")), (44, up("b2"))];
    assert!(!is_back(&after(spec(), twice.clone())));
    let back = Return::Back { boot_id: "b2".to_owned(), earlier: vec!["b1".to_owned()] };
    assert_eq!(after(spec(), [twice, vec![(45, up("b2"))]].concat()), Next::Done(back));
    // The first boot may never have been done.
    let back = Return::Back { boot_id: "b2".to_owned(), earlier: vec!["b1".to_owned()] };
    assert_eq!(after(spec(), vec![(30, booting("b1")), (35, up("b2")), (45, up("b2"))]), Next::Done(back));
}

#[test]
fn a_machine_that_boots_again_and_again_is_in_a_crash_loop() {
    let thrice = vec![(30, up("b1")), (35, up("b2")), (40, up("b3"))];
    assert!(is_back(&after(spec(), [thrice.clone(), vec![(50, up("b3"))]].concat())));
    let wanted = Return::CrashLoop { first: "b3".to_owned(), then: "b4".to_owned() };
    assert_eq!(after(spec(), [thrice, vec![(45, up("b4"))]].concat()), Next::Done(wanted));
}

#[test]
fn a_refused_login_is_an_answer_only_after_a_minute() {
    let refused = || fails(LookFailure::AuthRefused);
    assert!(matches!(after(spec(), vec![(30, refused()), (89, refused())]), Next::LookAgain { .. }));
    assert_eq!(after(spec(), vec![(30, refused()), (90, refused())]), Next::Done(Return::Failed("why")));
}

#[test]
fn another_host_key_ends_it_at_once_and_time_ends_it_at_last() {
    assert_eq!(after(spec(), vec![(30, fails(LookFailure::Final))]), Next::Done(Return::Failed("why")));
    let next = after(spec(), vec![(600, fails(LookFailure::Refused))]);
    assert_eq!(next, Next::Done(Return::TimedOut { last: Some(NotYet::Unseen("why")) }));
}

#[test]
fn every_injected_fault_changes_what_comes_out() {
    use InjectedWatchFault as Fault;
    let slow = vec![(30, up("b1")), (35, fails(LookFailure::CutShort)), (40, up("b1"))];
    let restarted = vec![(30, up("b1")), (35, fails(LookFailure::Refused)), (40, up("b1"))];
    for (fault, looks) in [
        (Fault::SlowLoginRestarts, slow),
        (Fault::SettleNeverRestarts, restarted),
        (Fault::OldBootTaken, vec![(30, up("b0")), (40, up("b0"))]),
        (Fault::SettleIgnored, vec![(30, up("b1"))]),
    ] {
        let run = |injected| {
            let mut watch = ReturnWatch::new(spec()).broken(injected);
            let ends = looks.iter().map(|(at, look)| watch.next(s(*at), s(*at), look.clone()));
            ends.map(|next| is_back(&next)).collect::<Vec<_>>()
        };
        assert_ne!(run(None), run(Some(fault)), "{fault:?}");
    }
}
