use super::*;
use crate::report::testing::{VirtualTerminal, rolled, rolled_with, some_fail};

fn on(screen: &VirtualTerminal) -> Terminal {
    let sized = screen.clone();
    Terminal::on(screen.clone(), move || sized.size(), true)
}

/// Shows a run up to the share `of` of its facts.
fn shown(screen: &VirtualTerminal, workers: usize, k: u64, share: f64) -> (Terminal, RunView, Millis) {
    let (facts, mut view) = rolled_with(workers, k, some_fail);
    let mut terminal = on(screen);
    let end = (facts.len() as f64 * share) as usize;
    for stamped in &facts[..end] {
        view.fold(stamped).unwrap();
        terminal.fact(stamped, &view);
    }
    let at = facts[end - 1].at;
    view.refresh(at);
    terminal.tick(at, &view);
    (terminal, view, at)
}

#[test]
fn after_the_end_only_lines_that_were_meant_to_stay_are_left() {
    for (columns, lines) in [(40, 10), (80, 24), (200, 50)] {
        let screen = VirtualTerminal::new(columns, lines);
        let (mut terminal, view, at) = shown(&screen, 12, 1, 1.0);
        terminal.finish(at, &view);
        drop(terminal);
        let text = screen.text();
        assert!(text.starts_with("plan test started on 12 workers\npreflight: 12 workers"), "{text}");
        assert!(!text.contains("[#") && !text.contains("[."), "a bar was left behind:\n{text}");
        assert!(text.contains("\nw1  succeeded in"), "{text}");
        assert!(text.contains("Run 20261122-2315-ab3f"), "{text}");
    }
}

#[test]
fn a_dropped_terminal_leaves_no_rows() {
    let screen = VirtualTerminal::new(80, 24);
    let (terminal, ..) = shown(&screen, 12, 1, 0.5);
    assert!(screen.text().contains("[#"), "nothing was drawn: {}", screen.text());
    drop(terminal);
    assert!(!screen.text().contains("[#") && !screen.text().contains("[."), "{}", screen.text());
}

#[test]
fn no_row_reaches_the_last_column_and_none_is_padded() {
    for columns in [40, 80, 200] {
        let screen = VirtualTerminal::new(columns, 24);
        let (_terminal, ..) = shown(&screen, 300, 100, 0.5);
        let raw = screen.raw();
        assert!(!raw.contains("  \x1b[0m\r\n") && !raw.contains("  \r\n"), "{raw:?}");
        for line in screen.screen().lines() {
            assert!(unicode_width::UnicodeWidthStr::width(line) < columns, "{line}");
        }
    }
}

#[test]
fn lines_have_the_colour_of_what_they_say() {
    let screen = VirtualTerminal::new(80, 24);
    let (_terminal, ..) = shown(&screen, 12, 1, 1.0);
    let raw = screen.raw();
    assert!(raw.contains("\x1b[32mw1  succeeded in"), "{raw:?}");
    assert!(raw.contains("\x1b[31mw2  FAILED"), "{raw:?}");
    let (facts, mut view) = rolled(3, some_fail);
    let mut plain = Terminal::on(screen.clone(), || (80, 24), false);
    let before = screen.raw().len();
    for stamped in &facts {
        view.fold(stamped).unwrap();
        plain.fact(stamped, &view);
    }
    plain.finish(facts.last().unwrap().at, &view);
    let raw = screen.raw().split_off(before);
    assert!(
        raw.contains("w2  FAILED")
            && !["\x1b[2m", "\x1b[31m", "\x1b[32m", "\x1b[33m"].iter().any(|c| raw.contains(c))
    );
}

#[test]
fn the_bell_rings_once_and_only_when_it_was_asked_for() {
    for bell in [false, true] {
        let screen = VirtualTerminal::new(80, 24);
        let (terminal, view, at) = shown(&screen, 3, 1, 1.0);
        terminal.with_bell(bell).finish(at, &view);
        assert_eq!(screen.raw().matches('\x07').count(), usize::from(bell));
    }
}

#[test]
fn hostile_words_of_a_worker_are_text() {
    let (facts, mut view) = rolled(2, |spec| {
        some_fail(spec).map(|_| crate::engine::Outcome::Failed {
            error: crate::engine::StepError::new(
                crate::engine::ErrorKind::Controller,
                "\x1b]2;owned\x07\x1b[2J",
            ),
        })
    });
    let screen = VirtualTerminal::new(80, 24);
    let mut terminal = on(&screen);
    for stamped in &facts {
        view.fold(stamped).unwrap();
        view.refresh(stamped.at);
        terminal.fact(stamped, &view);
        terminal.tick(stamped.at, &view);
    }
    terminal.finish(facts.last().unwrap().at, &view);
    let raw = screen.raw();
    assert!(!raw.contains("\x1b]2;owned") && !raw.contains("\x1b[2J"), "{raw:?}");
    assert!(screen.text().contains("owned"), "{}", screen.text());
}
