//! Who may control runs: the token that is printed once, the sessions that it opens, and the names of operators.
//!
//! The token is the whole authority. It opens a session, whose cookie is another secret; with the cookie goes a second
//! one that is in each form, so that who can make a browser send the cookie still has no form. Secrets are 256 random
//! bits; of token and cookie only keyed hashes are kept. Browsers send a cookie to every port of a host, also to a server of
//! another user of the machine: a session is therefore open to processes of the user alone who has logged in. Time comes
//! in as an argument.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use axum::http::header::{COOKIE, HeaderMap};
use hmac::{Hmac, KeyInit, Mac};
use ring::rand::{SecureRandom, SystemRandom};
use sha2::Sha256;

use crate::plan::visible_line;

/// Bytes of a secret: 256 bits cannot be guessed at any rate.
const SECRET: usize = 32;
/// So many browsers are logged in at the same time; one more ends the session that was not used for longest.
const SESSIONS: usize = 32;
/// A session that was not used for so long has ended.
const IDLE: Duration = Duration::from_secs(12 * 3600);
/// What came of so many requests is kept in each session.
const ANSWERS: usize = 64;
/// So many logins may fail in a row, and then one more each [`PAUSE`].
const FAILURES: u32 = 10;
/// Between two attempts to log in when many have failed.
const PAUSE: Duration = Duration::from_secs(6);
/// The longest name, in characters.
const NAME: usize = 40;

/// The system has no random numbers to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random numbers")]
pub struct NoRandomness;

/// 256 random bits as text.
///
/// # Errors
/// [`NoRandomness`].
pub(super) fn draw_secret() -> Result<String, NoRandomness> {
    let mut bytes = [0; SECRET];
    SystemRandom::new().fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(hex::encode(bytes))
}

/// A secret that is known again and cannot be read back.
#[derive(Clone)]
struct Kept {
    hash: Hmac<Sha256>,
    tag: Vec<u8>,
}

impl Kept {
    /// `key` is one of the process, so that a hash is of use to nobody else.
    fn new(key: &Hmac<Sha256>, secret: &str) -> Self {
        let tag = key.clone().chain_update(secret).finalize().into_bytes().to_vec();
        Self { hash: key.clone(), tag }
    }

    /// Takes the same time whatever differs.
    fn is(&self, presented: &str) -> bool {
        self.hash.clone().chain_update(presented).verify_slice(&self.tag).is_ok()
    }
}

/// The name that an operator gives at the login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WebName(String);

impl WebName {
    /// Takes a name in which nothing can be hidden, and that cannot look like a user of a machine (`ana@host`) or like
    /// what is put behind it.
    ///
    /// # Errors
    /// What a name may be.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let name = text.trim_matches(' ');
        let fits = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '.' | '-' | '_' | '\'');
        let is_name = name.chars().count() <= NAME
            && name.chars().any(char::is_alphanumeric)
            && name.chars().all(fits)
            && !name.contains("  ")
            && visible_line(name) == name;
        if is_name {
            Ok(Self(name.to_owned()))
        } else {
            Err("a name has 1 to 40 letters, digits, single blanks, and any of . - _ '")
        }
    }

    /// As it was given.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// As journals name who asked: never the name of a user of a machine, which has an `@` and no parenthesis.
    /// `served_by` is the user who serves the page, `user@host`.
    pub(super) fn recorded(&self, served_by: &str) -> String {
        format!("{} (web) via {served_by}", self.0)
    }
}

/// Paces those who try to log in.
#[derive(Debug)]
struct Attempts {
    left: u32,
    since: Instant,
}

impl Attempts {
    fn new(now: Instant) -> Self {
        Self { left: FAILURES, since: now }
    }

    /// One attempt. `Err`: none now; how long to wait.
    fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let passed = now.saturating_duration_since(self.since);
        let more = u32::try_from(passed.as_secs() / PAUSE.as_secs()).unwrap_or(u32::MAX);
        if more > 0 {
            self.left = self.left.saturating_add(more).min(FAILURES);
            self.since = now;
        }
        if self.left == 0 {
            return Err(PAUSE.saturating_sub(passed));
        }
        self.left -= 1;
        Ok(())
    }

    fn give_back(&mut self) {
        self.left = (self.left + 1).min(FAILURES);
    }
}

/// Why nobody was logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoLogin {
    /// It is not the token of this process.
    WrongToken,
    /// Too many have failed: nothing was compared.
    TooMany(Duration),
    /// There are no random numbers for a session.
    NoRandomness,
}

/// Who sends a request.
#[derive(Clone, Copy)]
pub(super) struct Sender<'a> {
    /// The request's headers.
    pub(super) headers: &'a HeaderMap,
    /// Finds the user of this machine whose process sends it; `None`: it comes from another machine.
    pub(super) user: &'a dyn Fn() -> Option<u32>,
}

/// One browser that is logged in.
struct Session<A> {
    id: Kept,
    form: String,
    name: WebName,
    /// The user of this machine whose process has logged in, if it is one.
    user: Option<u32>,
    used: Instant,
    answers: VecDeque<(u64, String, Option<A>)>,
}

/// What a page needs to know of the session that asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LoggedIn {
    /// Who it is.
    pub(super) name: WebName,
    /// What each form of this session has to bring along.
    pub(super) form: String,
}

/// What is to be done with a request that a form has sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begun {
    /// It is new: carry it out, and say what came of it with [`Sessions::answer`].
    New(u64),
    /// The same form was sent before, and its answer has this number.
    Again(u64),
}

/// The sessions of a server, with answers `A` to what they asked for.
pub(super) struct Sessions<A> {
    key: Hmac<Sha256>,
    token: Kept,
    cookie: String,
    attempts: Attempts,
    open: Vec<Session<A>>,
    answers: u64,
}

impl<A: Clone> Sessions<A> {
    /// None yet, and the token that opens one, which is not kept. Cookies are not told apart by port, so that the name
    /// of this one has the port in it.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub(super) fn new(port: u16, now: Instant) -> Result<(Self, String), NoRandomness> {
        let (key, token) = (draw_secret()?, draw_secret()?);
        let key = Hmac::<Sha256>::new_from_slice(key.as_bytes()).map_err(|_| NoRandomness)?;
        let sessions = Self {
            token: Kept::new(&key, &token),
            key,
            cookie: format!("maand_{port}"),
            attempts: Attempts::new(now),
            open: Vec::new(),
            answers: 0,
        };
        Ok((sessions, token))
    }

    /// Opens a session for who has the token (a name, and the user whose process it is), and answers with its cookie;
    /// `secure`: the browser reaches this server by TLS.
    ///
    /// # Errors
    /// [`NoLogin`].
    pub(super) fn log_in(
        &mut self,
        token: &str,
        (name, user): (WebName, Option<u32>),
        secure: bool,
        now: Instant,
    ) -> Result<String, NoLogin> {
        self.attempts.take(now).map_err(NoLogin::TooMany)?;
        if !self.token.is(token.trim()) {
            return Err(NoLogin::WrongToken);
        }
        self.attempts.give_back();
        let drawn = draw_secret().and_then(|id| Ok((id, draw_secret()?)));
        let (id, form) = drawn.map_err(|_| NoLogin::NoRandomness)?;
        self.forget_idle(now);
        if self.open.len() >= SESSIONS
            && let Some(oldest) = (0..self.open.len()).min_by_key(|at| self.open[*at].used)
        {
            self.open.remove(oldest);
        }
        let kept = Kept::new(&self.key, &id);
        self.open.push(Session { id: kept, form, name, user, used: now, answers: VecDeque::new() });
        let secure = if secure { "; Secure" } else { "" };
        Ok(format!("{}={id}; Path=/; HttpOnly; SameSite=Strict{secure}", self.cookie))
    }

    /// Ends the session of a request; the cookie that takes it out of the browser.
    pub(super) fn log_out(&mut self, sender: Sender<'_>, now: Instant) -> String {
        if let Some(at) = self.find(sender, now) {
            self.open.remove(at);
        }
        format!("{}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0", self.cookie)
    }

    /// Who sends a request; `None`: nobody who is logged in.
    pub(super) fn of(&mut self, sender: Sender<'_>, now: Instant) -> Option<LoggedIn> {
        let at = self.find(sender, now)?;
        self.open[at].used = now;
        Some(LoggedIn { name: self.open[at].name.clone(), form: self.open[at].form.clone() })
    }

    /// Whether a form was made for the session that sends it.
    pub(super) fn is_own_form(&self, who: &LoggedIn, presented: &str) -> bool {
        Kept::new(&self.key, &who.form).is(presented)
    }

    /// A request of a session, told from others by `what`: a form that is sent twice is carried out once. `None`: the
    /// session has ended.
    pub(super) fn begin(&mut self, who: &LoggedIn, what: &str) -> Option<Begun> {
        let number = self.answers + 1;
        let session = self.session(who)?;
        if let Some((before, ..)) = session.answers.iter().find(|(_, other, _)| other == what) {
            return Some(Begun::Again(*before));
        }
        session.answers.push_back((number, what.to_owned(), None));
        if session.answers.len() > ANSWERS {
            session.answers.pop_front();
        }
        self.answers = number;
        Some(Begun::New(number))
    }

    /// What came of a request.
    pub(super) fn answer(&mut self, who: &LoggedIn, number: u64, answer: A) {
        let answers = self.session(who).map(|session| session.answers.iter_mut());
        if let Some((.., place)) = answers.and_then(|mut all| all.find(|(n, ..)| *n == number)) {
            *place = Some(answer);
        }
    }

    /// What came of a request; `Some(None)`: nothing yet.
    pub(super) fn answered(&mut self, who: &LoggedIn, number: u64) -> Option<Option<A>> {
        let answers = &self.session(who)?.answers;
        answers.iter().find(|(n, ..)| *n == number).map(|(.., answer)| answer.clone())
    }

    fn session(&mut self, who: &LoggedIn) -> Option<&mut Session<A>> {
        self.open.iter_mut().find(|session| session.form == who.form)
    }

    fn find(&mut self, sender: Sender<'_>, now: Instant) -> Option<usize> {
        self.forget_idle(now);
        let id = self.cookie_of(sender.headers)?;
        self.open
            .iter()
            .position(|session| session.id.is(id))
            .filter(|at| self.open[*at].user == (sender.user)())
    }

    fn forget_idle(&mut self, now: Instant) {
        self.open.retain(|session| now.saturating_duration_since(session.used) < IDLE);
    }

    /// The value of our cookie. Servers on other ports of this host can set one of the same name: with two of them
    /// nobody is logged in.
    fn cookie_of<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        let pairs = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let pairs = pairs.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let mut own = pairs.filter(|(name, _)| *name == self.cookie).map(|(_, value)| value);
        let first = own.next()?;
        own.next().is_none().then_some(first)
    }
}

#[cfg(test)]
mod tests;
