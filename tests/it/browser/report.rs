//! The page of a run in a file: `maand plan report`.

use std::io::Write;

use super::stored::{PLAN, Stored, Wrong, hostile};
use super::{SHOWN, TAB, assert_accessible, assert_only_text};
use crate::support::browser::Browser;

#[test]
fn a_finished_and_a_failed_run_load_nothing_and_are_accessible() {
    let Some(browser) = Browser::start() else { return };
    let failed =
        Wrong { worker: Some((4, "ssh: connect: Connection timed out\n".into())), ..Wrong::default() };
    for (wrong, state) in [(Wrong::default(), "succeeded"), (failed, "halted")] {
        let stored = Stored::new();
        stored.run(PLAN, 30, &wrong);
        let url = stored.report();
        browser.open(&url);
        assert!(browser.text("h1").contains(state), "{}", browser.text("h1"));
        assert_accessible(&browser, state);
        browser.assert_quiet(&url);
    }
}

#[test]
fn it_is_usable_by_keyboard_without_script_and_on_paper() {
    let Some(browser) = Browser::start() else { return };
    let stored = Stored::new();
    let wrong = Wrong { worker: Some((1, "No route to host\n".into())), ..Wrong::default() };
    stored.run(&PLAN.replace("max_failures: 0", "max_failures: 1"), 30, &wrong);
    let url = stored.report();
    // What scrolls smoothly would only be seen later.
    browser.media("screen", &[("prefers-reduced-motion", "reduce")]);
    browser.open(&url);

    // With Tab one comes to everything, each time sees where one is, and is never caught.
    let mut places: Vec<String> = Vec::new();
    loop {
        browser.types(&TAB.to_string());
        let place = browser.ask_later(FOCUSED, &[]);
        let Some(name) = place["name"].as_str() else { break };
        assert_eq!(place["seen"], true, "{name} has the focus, and nothing shows it: {place}");
        places.push(name.to_owned());
        assert!(places.len() < 200, "caught: {places:?}");
    }
    for wanted in ["a.skip", "#find", "#state", "#zoom", "Timeline", "Workers"] {
        assert!(places.iter().any(|place| place.contains(wanted)), "no {wanted}: {places:?}");
    }
    assert!(places[0].contains("a.skip"), "{places:?}");

    // The first Tab and Enter go past all that is in between.
    browser.open(&url);
    browser.types(&format!("{TAB}{ENTER}"));
    let top = browser
        .wait_until("the table of workers", "return location.hash && workers.getBoundingClientRect().top");
    assert!((-1.0..900.0).contains(&top.as_f64().unwrap()), "{top}");

    // Find, by words and by state.
    browser.focus("#find");
    browser.types("WORKER-2");
    // worker-2 and worker-20 to worker-29.
    browser.wait_until("what was found", "return found.textContent === '11 of 30'");
    let shown =
        |both: u32| assert_eq!(browser.ask(SHOWN, &[]), serde_json::json!({"rows": both, "lanes": both}));
    shown(11);
    browser.focus("#state");
    browser.types("failed");
    browser.wait_until("what was found", "return found.textContent === '1 of 30'");
    shown(1);
    browser.types(&HOME.to_string());
    browser.wait_until("what was found", "return found.textContent === '11 of 30'");

    // Zoom makes the picture wider within its own frame, not the page.
    let wide = "return [lanes.getBoundingClientRect().width, document.documentElement.scrollWidth]";
    let before = browser.ask(wide, &[]);
    browser.focus("#zoom");
    browser.types(&RIGHT.to_string().repeat(4));
    browser.wait_until(
        "a wider picture",
        &format!("return lanes.getBoundingClientRect().width > 1.5 * {}", before[0]),
    );
    assert_eq!(browser.ask(wide, &[])[1], before[1]);
    browser.assert_quiet(&url);

    // On paper: everything, dark on white, without what only a screen can use.
    browser.media("print", &[("prefers-color-scheme", "dark")]);
    let colours = browser.ask(
        "const of = getComputedStyle(document.body); return [of.color, of.backgroundColor, getComputedStyle(controls).display]",
        &[],
    );
    assert_eq!(colours, serde_json::json!(["rgb(0, 0, 0)", "rgb(255, 255, 255)", "none"]));
    let pdf = browser.pdf();
    assert!(pdf.starts_with(b"%PDF-") && pdf.len() > 20_000, "{} bytes", pdf.len());

    // Without script all that it does is gone, and all else is there.
    browser.media("screen", &[]);
    browser.cdp("Emulation.setScriptExecutionDisabled", serde_json::json!({"value": true}));
    browser.open(&url);
    let text = browser.text("body");
    assert!(text.contains("worker-30") && !text.contains("Zoom"), "{text}");
    browser.click("#plan ~ details summary, details:has(pre) summary");
    assert!(browser.text("body").contains("concurrency: 10%"), "{}", browser.text("body"));
}

const ENTER: char = '\u{e007}';
const HOME: char = '\u{e011}';
const RIGHT: char = '\u{e014}';

/// What has the focus, and whether something shows it in the next picture.
const FOCUSED: &str = "
    const done = arguments[arguments.length - 1], at = document.activeElement;
    if (!at || at === document.body) return done({});
    requestAnimationFrame(() => requestAnimationFrame(() => {
      const of = getComputedStyle(at), box = at.getBoundingClientRect();
      const seen = of.outlineStyle !== 'none' && parseFloat(of.outlineWidth) >= 1 && box.width > 0 && box.height > 0
        && box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
      const label = at.getAttribute('aria-label') || at.textContent.trim().slice(0, 40);
      done({seen, outline: of.outline, box, name: `${at.localName}${at.className && '.' + at.className}#${at.id} ${label}`});
    }));";

#[test]
fn hostile_text_is_text() {
    let Some(browser) = Browser::start() else { return };
    let stored = Stored::new();
    let (plan, wrong) = hostile();
    stored.run(&plan, 5, &wrong);
    let url = stored.report();
    // A dialog would make the next command fail.
    browser.open(&url);
    assert_eq!(browser.ask("return document.scripts.length", &[]), 1, "the page's own script");
    assert_only_text(&browser, 8);
    browser.focus("#find");
    browser.types("<img src");
    browser.wait_until("the worker with that name", "return found.textContent === '1 of 5'");
    browser.assert_quiet(&url);
}

/// So long may it take from a key to the picture that answers it, and from one picture to the next.
const SMOOTH_MS: f64 = 100.0;
/// On a machine that is busy with other tests everything takes longer, and what is measured by the clock much longer.
const LOADED: f64 = 2.0;
const LOADED_CLOCK: f64 = 10.0;

#[test]
fn a_thousand_workers_open_in_a_second_and_move_without_jank() {
    let Some(browser) = Browser::start() else { return };
    let stored = Stored::new();
    stored.run(&PLAN.replace("10%", "100"), 1000, &Wrong::default());
    let url = stored.report();
    browser.open(&url);
    let opened = browser.wait_until("the page to be painted", OPENED);
    browser.ask(MEASURE, &[]);
    // What each key costs the page's own thread, however busy the machine is.
    browser.cdp("Performance.enable", serde_json::json!({"timeDomain": "threadTicks"}));
    browser.focus("#find");
    let mut keys: Vec<f64> = Vec::new();
    for key in "worker-77".chars().chain([BACKSPACE; 9]) {
        let before = browser.busy_ms();
        browser.types(&key.to_string());
        browser.ask_later("requestAnimationFrame(() => setTimeout(arguments[0]))", &[]);
        keys.push(browser.busy_ms() - before);
    }
    let longest = |times: &[f64]| times.iter().copied().fold(0.0, f64::max);
    let by_clock =
        browser.wait_until("the times of the keys", "return keys.length >= 18 && Math.max(...keys)");
    let before = browser.busy_ms();
    let scrolled = browser.ask_later(SCROLL, &[]);
    let each = (browser.busy_ms() - before) / scrolled["pictures"].as_f64().unwrap();
    let times = serde_json::json!({
        "opened_ms": opened,
        "key_ms": {"cpu": longest(&keys).round(), "clock": by_clock},
        "scroll_ms": {"cpu": each.round(), "clock": scrolled["longest"]},
    });
    let _ = writeln!(
        std::io::stderr().lock(),
        "1,000 workers: {times} (wanted: opened 1000, others {SMOOTH_MS})"
    );
    for (what, limit) in [
        ("/opened_ms", 1000.0 * LOADED_CLOCK),
        ("/key_ms/cpu", SMOOTH_MS * LOADED),
        ("/key_ms/clock", SMOOTH_MS * LOADED_CLOCK),
        ("/scroll_ms/cpu", SMOOTH_MS * LOADED),
        ("/scroll_ms/clock", SMOOTH_MS * LOADED_CLOCK),
    ] {
        assert!(times.pointer(what).unwrap().as_f64().unwrap() < limit, "{what}: {times}");
    }
    browser.assert_quiet(&url);
}

const BACKSPACE: char = '\u{e003}';

/// Milliseconds from the start of the navigation to the end of loading and the first picture, whatever is later.
const OPENED: &str = "
    const [of] = performance.getEntriesByType('navigation'), painted = performance.getEntriesByName('first-contentful-paint')[0];
    return of.loadEventEnd && painted && Math.round(Math.max(of.loadEventEnd, painted.startTime));";

/// Notes from now on how long it takes from each key to the end of the picture that answers it.
const MEASURE: &str = "
    window.keys = [];
    addEventListener('input', (event) => {
      requestAnimationFrame(() => setTimeout(() => keys.push(performance.now() - event.timeStamp)));
    }, true);";

/// Scrolls through the page by wheel-like steps, and notes the longest time between two pictures.
const SCROLL: &str = "
    const done = arguments[arguments.length - 1];
    const times = [], tall = document.documentElement.scrollHeight;
    let last = performance.now();
    const step = (now) => {
      times.push(now - last);
      last = now;
      window.scrollBy({top: 400, behavior: 'instant'});
      if (window.scrollY + window.innerHeight < tall - 1) requestAnimationFrame(step);
      else done({longest: Math.round(Math.max(...times.slice(1))), pictures: times.length, tall});
    };
    requestAnimationFrame(step);";
