//! What is shown in a browser, looked at with a real one: `tests/support/browser.rs`.

mod control;
mod report;
mod served;
pub(crate) mod stored;

use std::fs;
use std::process::Child;

use serde_json::json;

use crate::support::browser::Browser;

/// A page on which everything is wrong that the other tests look for: they could not fail otherwise.
#[test]
fn faults_of_a_page_are_seen() {
    let Some(browser) = Browser::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page.html");
    fs::write(
        &page,
        "<!doctype html><meta http-equiv=Content-Security-Policy content=\"script-src 'unsafe-inline'\">
         <img src=http://elsewhere.invalid/x.png>
         <p style='color: #aaa; background: #bbb'>pale</p><input>
         <script>console.error('wrong'); try { eval('1') } catch {}</script>",
    )
    .unwrap();
    browser.open(&format!("file://{}", page.display()));
    let console = browser.console().join("\n");
    assert!(console.contains("wrong") && console.contains("ERR_NAME_NOT_RESOLVED"), "{console}");
    assert!(browser.requests().contains(&"http://elsewhere.invalid/x.png".to_owned()));
    let violations = browser.ask("return window.violations", &[]);
    assert!(violations[0].as_str().unwrap().starts_with("script-src eval"), "{violations}");
    let found = browser.accessibility().join("\n");
    for rule in ["color-contrast", "image-alt", "label", "document-title", "html-has-lang"] {
        assert!(found.contains(&format!("{rule} (")), "{rule}: {found}");
    }
    // Both were read: they are not told twice.
    assert_eq!((browser.console().len(), browser.requests().len()), (0, 0));
    assert_eq!(listens_at(browser.driver_port()), json!(["127.0.0.1", "::1"]));
}

/// The addresses at which a port is open, as the kernel says.
fn listens_at(port: u16) -> serde_json::Value {
    let mut addresses = Vec::new();
    for file in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let table = fs::read_to_string(file).unwrap();
        for line in table.lines().skip(1) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let Some((address, _)) = words[1].rsplit_once(&format!(":{port:04X}")) else { continue };
            if words[3] == "0A" {
                addresses.push(match address {
                    "0100007F" => "127.0.0.1",
                    "00000000000000000000000001000000" => "::1",
                    other => panic!("it listens on {other}"),
                });
            }
        }
    }
    json!(addresses)
}

/// How it is looked at: the medium, what the reader prefers, and the width of the window; the narrow one is a telephone's.
type Look = (&'static str, &'static [(&'static str, &'static str)], u32);
const LOOKS: [Look; 4] = [
    ("screen", &[("prefers-color-scheme", "light")], 1280),
    ("screen", &[("prefers-color-scheme", "dark"), ("prefers-reduced-motion", "reduce")], 390),
    ("screen", &[("forced-colors", "active")], 390),
    ("print", &[("prefers-color-scheme", "dark")], 1280),
];

/// axe-core finds nothing, whatever the look, and nothing makes the page wider than its window.
#[track_caller]
fn assert_accessible(browser: &Browser, what: &str) {
    let mut found = Vec::new();
    for (medium, features, width) in LOOKS {
        browser.size(width, 900);
        browser.media(medium, features);
        let here = browser.accessibility();
        found.extend(here.into_iter().map(|line| format!("{medium} {features:?} {width}: {line}")));
        let wide = browser.ask("return document.documentElement.scrollWidth", &[]);
        if wide.as_u64() > Some(width.into()) {
            found.push(format!("{medium} {width}: the page scrolls sideways, it is {wide} wide"));
        }
    }
    browser.size(1280, 900);
    browser.media("screen", &[]);
    assert!(found.is_empty(), "{what}: {} in all:\n{}", found.len(), found[..found.len().min(12)].join("\n"));
}

/// Nothing of [`stored::HOSTILE`] has become an element, and it is there to be read so many times at least.
#[track_caller]
fn assert_only_text(browser: &Browser, times: usize) {
    let elements = "img, #hacked, [onerror], [onload], a[href^=javascript], head title ~ title, body style";
    assert_eq!(browser.ask("return document.querySelectorAll(arguments[0]).length", &[elements.into()]), 0);
    let shown = browser.ask("return document.body.textContent", &[]);
    let found = shown.as_str().unwrap().matches("<img src=x onerror=alert(1)>").count();
    assert!(found >= times, "{found}: {shown}");
}

/// How many workers are shown in the table and in the picture.
const SHOWN: &str = "
    const shown = (css) => Array.from(document.querySelectorAll(css)).filter((of) => of.getClientRects().length).length;
    return {rows: shown('#table tbody tr'), lanes: shown('#lanes > .lane[data-state]')};";

const TAB: char = '\u{e004}';

/// A process that a test which fails does not leave behind.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
