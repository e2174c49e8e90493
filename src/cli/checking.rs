//! The look at every worker before a run, as it is shown: how many have answered, and which are waited for.

use std::io::{IsTerminal, Write, stderr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Context, out};
use crate::plan::{counted, visible_line};
use crate::run::Looked;

/// A terminal's line is drawn this often.
const DRAWN_EVERY: Duration = Duration::from_millis(200);
/// Without a terminal there is a line after so long, and again after as long.
const SAID_EVERY: Duration = Duration::from_secs(10);
/// At most this many workers are named.
const NAMED: usize = 3;

/// How far the look has come.
#[derive(Debug, Default)]
struct Looking {
    workers: usize,
    /// Who has not answered yet.
    waiting: Vec<String>,
}

impl Looking {
    /// `checking 30 workers: 27 answered; waiting for w3, w7, w9`; `None`: there is nothing to wait for.
    fn describe(&self) -> Option<String> {
        let names = self.waiting.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = match self.waiting.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        (!self.waiting.is_empty()).then(|| {
            let answered = self.workers - self.waiting.len();
            format!(
                "checking {}: {answered} answered; waiting for {names}{more}",
                counted(self.workers, "worker")
            )
        })
    }
}

/// Shows it on standard error until it is dropped: a line that is drawn again and again on a terminal, else a line now
/// and then.
#[derive(Debug)]
pub(super) struct Checking {
    looking: Arc<Mutex<Looking>>,
    over: Arc<AtomicBool>,
    shows: Option<JoinHandle<()>>,
}

impl Checking {
    pub(super) fn new(context: &Context) -> Self {
        let (looking, over) = (Arc::<Mutex<Looking>>::default(), Arc::<AtomicBool>::default());
        let (seen, until) = (Arc::clone(&looking), Arc::clone(&over));
        let show = move || {
            if stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb") {
                draw(&seen, &until);
            } else {
                say(&seen, &until);
            }
        };
        // Without a thread for it nothing is shown; the look itself does not need it.
        let shows = (!context.quiet)
            .then(|| std::thread::Builder::new().name("checking".into()).spawn(show).ok())
            .flatten();
        Self { looking, over, shows }
    }

    /// Takes how far the look has come.
    pub(super) fn tell(&self, looked: Looked<'_>) {
        match looked {
            Looked::Begins(hosts) => self.begins(hosts.iter().map(|host| (*host).to_owned()).collect()),
            Looked::Ends(host, _) => self.ends(host),
        }
    }

    /// These are looked at.
    pub(super) fn begins(&self, hosts: Vec<String>) {
        let mut looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        looking.workers = hosts.len();
        looking.waiting = hosts;
    }

    /// This one was looked at.
    pub(super) fn ends(&self, host: &str) {
        let mut looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        looking.waiting.retain(|waiting| waiting != host);
    }
}

impl Drop for Checking {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(shows) = self.shows.take() {
            shows.thread().unpark();
            // It draws its last line: what comes next stands below it.
            let _ = shows.join();
        }
    }
}

fn described(looking: &Mutex<Looking>) -> Option<String> {
    looking.lock().unwrap_or_else(PoisonError::into_inner).describe()
}

/// On a terminal: one line, which goes at the end.
fn draw(looking: &Mutex<Looking>, over: &AtomicBool) {
    let mut drawn = false;
    while !over.load(Ordering::Relaxed) {
        std::thread::park_timeout(DRAWN_EVERY);
        let Some(line) = described(looking).filter(|_| !over.load(Ordering::Relaxed)) else { continue };
        // One column stays free; a line that wraps could not be cleared.
        let width = out::terminal_columns().saturating_sub(1);
        let line: String = visible_line(&line).chars().take(width).collect();
        let _ = write!(stderr().lock(), "\r\x1b[2K{line}");
        drawn = true;
    }
    if drawn {
        let _ = write!(stderr().lock(), "\r\x1b[2K");
    }
}

/// Elsewhere: a line when it takes long.
fn say(looking: &Mutex<Looking>, over: &AtomicBool) {
    let mut due = Instant::now() + SAID_EVERY;
    while !over.load(Ordering::Relaxed) {
        std::thread::park_timeout(due.saturating_duration_since(Instant::now()));
        if Instant::now() >= due && !over.load(Ordering::Relaxed) {
            due += SAID_EVERY;
            if let Some(line) = described(looking) {
                out::note(&line);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Check;

    #[test]
    fn it_says_how_many_have_answered_and_who_is_waited_for() {
        let context_free = Checking { looking: Arc::default(), over: Arc::default(), shows: None };
        let said = || described(&context_free.looking);
        assert_eq!(said(), None, "it has not begun");
        let hosts = ["w1", "w2", "w3", "w4", "w5"];
        context_free.tell(Looked::Begins(&hosts));
        let expected = "checking 5 workers: 0 answered; waiting for w1, w2, w3 and 2 more";
        assert_eq!(said().as_deref(), Some(expected));
        let check = Check::LeftAlone { reason: String::new() };
        for host in ["w2", "w5", "w1"] {
            context_free.tell(Looked::Ends(host, &check));
        }
        assert_eq!(said().as_deref(), Some("checking 5 workers: 3 answered; waiting for w3, w4"));
        context_free.tell(Looked::Ends("w3", &check));
        context_free.tell(Looked::Ends("w4", &check));
        assert_eq!(said(), None);
    }
}
