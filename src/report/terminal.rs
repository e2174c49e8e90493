//! The live view: rows at the bottom of a terminal, finished workers scroll by above.

use std::io::Write;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};

use crate::engine::{Fact, GateStanding, Millis, Stamped};

use super::display::{Display, Screen};
use super::keyboard::{Key, Keyboard};
use super::layout::{rows, status};
use super::outlook::Outlook;
use super::row::{Row, Style};
use super::{Hint, PublicRunState, Reporter, RunView, closing, event_of, text, wrapped};

/// Draws at most this often per second.
const HERTZ: Millis = 10;

/// See [`Controls::pause`].
pub type Pause = dyn Fn(&str, bool) -> Result<(), String> + Send + Sync;

/// What keys do besides showing something.
#[derive(Clone)]
pub struct Controls {
    /// Pauses the run of this name (`true`), or lets a paused one continue. It may take a while, and is called from
    /// a thread of its own. The error is shown.
    pub pause: Arc<Pause>,
    /// Does what the first Ctrl-C does.
    pub quit: Arc<dyn Fn() + Send + Sync>,
}

/// Draws the live view on a terminal. Callers use [`super::Plain`] where there is none, or where it understands no
/// control sequences (`TERM=dumb`).
pub struct Terminal {
    display: Display,
    drawn: Millis,
    hint: Option<Hint>,
    bell: bool,
    outlook: Arc<OnceLock<Outlook>>,
    controls: Option<Controls>,
    keys: Option<(Keyboard, Receiver<Key>)>,
    /// What controls have answered.
    said: (Sender<String>, Receiver<String>),
}

impl Terminal {
    /// On standard output.
    pub fn stdout(color: bool) -> Self {
        Self::new(Display::stdout(color))
    }

    /// On something like a terminal, of which `size` says columns and lines.
    pub fn on(
        out: impl Write + Send + 'static,
        size: impl Fn() -> (usize, usize) + Send + 'static,
        color: bool,
    ) -> Self {
        Self::new(Display::new(Screen::new(Box::new(out), Box::new(size)), color))
    }

    fn new(display: Display) -> Self {
        Self {
            display,
            drawn: 0,
            hint: None,
            bell: false,
            outlook: Arc::default(),
            controls: None,
            keys: None,
            said: channel(),
        }
    }

    /// Also says in the closing report what an operator can do next.
    #[must_use]
    pub fn with_hints(self, hint: Option<Hint>) -> Self {
        Self { hint, ..self }
    }

    /// What is to be expected of the run, as soon as it is known.
    #[must_use]
    pub fn with_outlook(self, outlook: Arc<OnceLock<Outlook>>) -> Self {
        Self { outlook, ..self }
    }

    /// Rings the terminal's bell at the end.
    #[must_use]
    pub fn with_bell(self, bell: bool) -> Self {
        Self { bell, ..self }
    }

    /// Takes keys, where standard input is a terminal.
    #[must_use]
    pub fn with_controls(mut self, controls: Controls) -> Self {
        let (sender, keys) = channel();
        self.keys = Keyboard::listen(self.display.modes(), sender).map(|keyboard| (keyboard, keys));
        self.controls = Some(controls);
        self
    }

    fn draw(&mut self, at: Millis, view: &RunView, above: &[Row]) {
        self.drawn = at;
        self.display.show(above, |columns, lines| rows(at, view, self.outlook.get(), columns, lines));
        self.display.announce(view);
    }

    /// What the keys that were pressed since the last time ask for.
    fn answer_keys(&mut self, at: Millis, view: &RunView) -> Vec<Row> {
        let mut above: Vec<Row> = self.said.1.try_iter().flat_map(|said| note(&said)).collect();
        let Some((_, keys)) = &self.keys else { return above };
        for key in keys.try_iter() {
            match (key, &self.controls) {
                (Key::Status, _) => {
                    let columns = self.display.columns();
                    above.extend(status(at, view, self.outlook.get(), columns));
                }
                (Key::Help, _) | (_, None) => above.extend(note(
                    "keys: s or Enter shows where every worker stands, p pauses the run or continues it, q stops it \
                     after the steps in flight (again: at once), h shows this; Ctrl-Z suspends",
                )),
                (Key::Quit, Some(controls)) => (controls.quit)(),
                (Key::Pause, Some(controls)) => {
                    let (pause, said) = (Arc::clone(&controls.pause), self.said.0.clone());
                    let (run, pauses) = (view.run.clone(), !view.is_paused());
                    let ask = move || {
                        if let Err(why) = pause(&run, pauses) {
                            let _ = said.send(why);
                        }
                    };
                    if std::thread::Builder::new().name("control".into()).spawn(ask).is_err() {
                        above.extend(note("this machine has no thread for it: try again"));
                    }
                }
            }
        }
        above
    }
}

/// A message of our own.
fn note(text: &str) -> Vec<Row> {
    text.lines().map(|line| Row::new(line, Style::Warn)).collect()
}

impl Reporter for Terminal {
    fn fact(&mut self, stamped: &Stamped, view: &RunView) {
        let above = scrolls_by(&stamped.fact).then(|| event_of(stamped, view)).flatten().map(|event| {
            let (who, what) = event.describe();
            let what = text::one_line(&what);
            let line = who.map_or(what.clone(), |who| format!("{who}  {what}"));
            Row::new(&line, style_of(&stamped.fact))
        });
        // Computing the rows costs more than a fact: ten times a second is enough for eyes.
        let due = stamped.at - self.drawn >= 1000 / HERTZ || stamped.at < self.drawn;
        match above {
            Some(above) if due => self.draw(stamped.at, view, &[above]),
            Some(above) => self.display.scroll(above),
            None if due => self.draw(stamped.at, view, &[]),
            None => {}
        }
    }

    fn tick(&mut self, at: Millis, view: &RunView) {
        let above = self.answer_keys(at, view);
        self.draw(at, view, &above);
    }

    fn finish(&mut self, at: Millis, view: &RunView) {
        // Not cut: an operator copies from this.
        let text = closing(at, view, self.hint);
        self.display.close(&format!("\n{}", wrapped(&text, self.display.columns())), self.bell);
    }
}

/// What stays readable above the rows: beginnings of waves, ends of workers, and what operators decide.
fn scrolls_by(fact: &Fact) -> bool {
    matches!(
        fact,
        Fact::RunStarted { .. }
            | Fact::Preflight { .. }
            | Fact::WaveStarted { .. }
            | Fact::WaveFinished { .. }
            | Fact::GateClosed { opens: None, .. }
            | Fact::StepIgnored { .. }
            | Fact::InDoubt { .. }
            | Fact::WorkerSucceeded { .. }
            | Fact::WorkerFailed { .. }
            | Fact::RevertStarted { .. }
            | Fact::WorkerReverted { .. }
            | Fact::RevertStuck { .. }
            | Fact::Retried { .. }
            | Fact::Reopened { .. }
            | Fact::Skipped { .. }
            | Fact::GateMeasured { .. }
            | Fact::Paused { .. }
            | Fact::Interrupted { .. }
            | Fact::Resumed { .. }
            | Fact::Halted { .. }
            | Fact::Aborted { .. }
            | Fact::RunFinished { .. }
    )
}

fn style_of(fact: &Fact) -> Style {
    match fact {
        Fact::WorkerSucceeded { .. } => Style::Good,
        Fact::WorkerFailed { .. } | Fact::RevertStuck { .. } | Fact::Halted { .. } => Style::Bad,
        Fact::GateClosed { .. }
        | Fact::GateMeasured { standing: GateStanding::Waiting, .. }
        | Fact::StepIgnored { .. }
        | Fact::InDoubt { .. }
        | Fact::RevertStarted { .. }
        | Fact::WorkerReverted { .. }
        | Fact::Paused { .. }
        | Fact::Interrupted { .. }
        | Fact::Aborted { .. } => Style::Warn,
        Fact::RunFinished { end } => match PublicRunState::from(*end) {
            PublicRunState::Succeeded => Style::Good,
            PublicRunState::Aborted => Style::Warn,
            _ => Style::Bad,
        },
        _ => Style::Plain,
    }
}

#[cfg(test)]
mod tests;
