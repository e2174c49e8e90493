//! The thread that watches one run for all who look at it: it reads what is new, and tells what is another on the page.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::StatusCode;

use super::answer::{Trouble, Words};
use super::frames::Frames;
use super::watchers::{Ask, Watchers};
use crate::journal::RunId;
use crate::page::{Changes, LivePage, RunPage, Served, links};
use crate::run::{FollowedRun, News, RunError};
use crate::runner::now;

/// Looks at a run follow one another in this time at least.
const LOOK: Duration = Duration::from_millis(250);
/// And in this time at most while it is under way.
const LOOK_AT_MOST: Duration = Duration::from_millis(750);
/// A look is not repeated before so many times what it has cost.
const REST: u32 = 20;
/// Looks at a run that is over: an operator may reopen it.
const LOOK_WHEN_OVER: Duration = Duration::from_secs(2);
/// What is large on the page is told no more often,
const HEAVY: Duration = Duration::from_secs(3);
/// and takes no more bytes in a second of each browser's connection.
const HEAVY_RATE: u64 = 16 << 10;
/// What depends on the time, without a fact.
const TELL: Duration = Duration::from_secs(5);
/// Whether the controller is still there.
const CONTROLLER: Duration = Duration::from_secs(1);
/// Browsers hear from us this often.
const BEAT: Duration = Duration::from_secs(10);
/// A page is given to several if it is no older.
const PAGE: Duration = Duration::from_secs(1);
/// Nobody has looked for so long: it ends.
const LINGER: Duration = Duration::from_secs(20);

/// Watches a run until nobody looks at it any more.
pub(super) fn watch(watchers: &Watchers, run: &RunId, asked: &Receiver<Ask>) {
    let ended = Watcher::open(watchers, run).and_then(|mut watcher| {
        let ended = watcher.serve(watchers, run, asked);
        // Of other troubles browsers hear when they come again, and they go on trying.
        if let Err(trouble) = &ended
            && trouble.status == StatusCode::NOT_FOUND
        {
            watcher.frames.gone(&trouble.what);
        }
        ended
    });
    if let Err(trouble) = ended {
        // Who has asked may have given up.
        for ask in watchers.leave(run, asked) {
            match ask {
                Ask::Page(to) => drop(to.send(Err(trouble.clone()))),
                Ask::Decisions(to) => drop(to.send(Err(trouble.clone()))),
                Ask::Listen { to, .. } => drop(to.send(Err(trouble.clone()))),
            }
        }
    }
}

struct Watcher {
    run: FollowedRun,
    path: String,
    page: LivePage,
    frames: Frames,
    /// The last document, the number of its version, and when it was made.
    document: Option<(Bytes, u64, Instant)>,
    words: Words,
    told: Instant,
    /// When what is large may be told next.
    heavy: Instant,
    /// Something large may have changed since it was told.
    is_heavy_due: bool,
    controller: Instant,
    beat: Instant,
    /// How long looks rest.
    rest: Duration,
}

impl Watcher {
    fn open(watchers: &Watchers, id: &RunId) -> Result<Self, Trouble> {
        let at = now();
        let words = watchers.words();
        let run = FollowedRun::open(watchers.bucket(), Some(id.as_str()), watchers.hint(), at)
            .map_err(|error| Trouble::of(error, words))?;
        let path = links::run(id.as_str());
        let page = LivePage::new(&served(&run, &path, ""));
        let moment = Instant::now();
        Ok(Self {
            run,
            words,
            path,
            page,
            frames: Frames::new(at),
            document: None,
            told: moment,
            heavy: moment + HEAVY,
            is_heavy_due: false,
            controller: moment,
            beat: moment,
            rest: LOOK,
        })
    }

    fn serve(&mut self, watchers: &Watchers, id: &RunId, asked: &Receiver<Ask>) -> Result<(), Trouble> {
        let mut wanted = Instant::now();
        let mut next = wanted + self.rest;
        loop {
            match asked.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(ask) => {
                    wanted = Instant::now();
                    self.answer(ask)?;
                    continue;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            self.look()?;
            if self.frames.listeners() > 0 {
                wanted = Instant::now();
            } else if wanted.elapsed() > LINGER {
                match watchers.leave_if_idle(id, asked) {
                    None => return Ok(()),
                    Some(ask) => self.answer(ask)?,
                }
            }
            next = Instant::now() + self.rest;
        }
    }

    fn answer(&mut self, ask: Ask) -> Result<(), Trouble> {
        // Who has asked may have given up.
        match ask {
            Ask::Page(to) => {
                let page = self.document();
                let ended = page.as_ref().err().cloned();
                let _ = to.send(page);
                ended.map_or(Ok(()), Err)
            }
            Ask::Decisions(to) => {
                // As of now, and not of the last look: what was just asked for is in it.
                let looked = self.look();
                let decisions = || self.run.view().decisions(self.run.is_carried_out());
                let _ = to.send(looked.as_ref().map(|()| decisions()).map_err(Clone::clone));
                looked
            }
            Ask::Listen { since, to } => {
                let _ = to.send(Ok(self.frames.listen(&since, now())));
                Ok(())
            }
        }
    }

    /// The document of now, or of a moment ago, which can catch up.
    fn document(&mut self) -> Result<Bytes, Trouble> {
        if let Some((page, version, made)) = &self.document
            && (*version == self.frames.newest() || made.elapsed() < PAGE)
            && self.frames.reaches(*version)
        {
            return Ok(page.clone());
        }
        self.look()?;
        let version = self.frames.version();
        let page = Bytes::from(self.page.document(&served(&self.run, &self.path, &version)));
        self.document = Some((page.clone(), self.frames.newest(), Instant::now()));
        Ok(page)
    }

    /// Reads what is new, and tells it.
    fn look(&mut self) -> Result<(), Trouble> {
        let began = Instant::now();
        let words = self.words;
        let trouble = |error| Trouble::of(error, words);
        let news = self.run.look().map_err(trouble)?;
        if news == News::OtherRecord {
            // Another watcher reads it from its beginning.
            self.frames.reload();
            return Err(Trouble::busy("the journal has other facts of this run than before"));
        }
        let is_over = self.run.view().state.is_final();
        let controller = !is_over && self.controller.elapsed() > CONTROLLER && {
            self.controller = began;
            self.run.is_carried_out() != self.run.reader().seen_controller().is_some()
        };
        let heavy = self.heavy <= began;
        let due = !is_over && self.told.elapsed() > TELL;
        if news == News::Facts || controller || due || (heavy && self.is_heavy_due) {
            self.tell(heavy).map_err(trouble)?;
        }
        if self.beat.elapsed() > BEAT {
            self.beat = began;
            self.frames.beat(now());
        }
        self.rest = match self.run.view().state.is_final() {
            true => LOOK_WHEN_OVER,
            false => (began.elapsed() * REST).clamp(LOOK, LOOK_AT_MOST),
        };
        Ok(())
    }

    /// Tells what is another. What is large is told as often as a budget allows.
    fn tell(&mut self, heavy: bool) -> Result<(), RunError> {
        let at = now();
        self.run.tell(at)?;
        self.told = Instant::now();
        self.is_heavy_due = !heavy;
        let page = served(&self.run, &self.path, "");
        let mut elements = match self.page.changes(&page) {
            Changes::Page => {
                self.frames.reload();
                return Ok(());
            }
            Changes::Elements(elements) => elements,
        };
        if heavy {
            let large = self.page.heavy_changes(&page);
            let bytes: usize = large.iter().map(|element| element.html.len()).sum();
            let rest = Duration::from_millis(bytes as u64 * 1000 / HEAVY_RATE);
            self.heavy = self.told + rest.max(HEAVY);
            elements.extend(large);
        }
        if !elements.is_empty() {
            self.frames.change(at, &elements);
        }
        Ok(())
    }
}

fn served<'a>(run: &'a FollowedRun, path: &'a str, version: &'a str) -> RunPage<'a> {
    RunPage { served: Some(Served { path, version }), ..run.page() }
}
