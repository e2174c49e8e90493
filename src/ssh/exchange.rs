//! One script's conversation on one channel: sends header, body and payload, reads both streams, and
//! ends at the trailer or at the first bound that is passed.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use ssh2::Channel;

use super::frame::{Framed, KILL_AFTER, Mark, Scanner, deadline_secs, is_ready};
use super::socket::TICK;
use super::wire::{Wire, code, code_of};
use super::{Cancel, Captured, NotRun, OutputSink, Script, Stream, UnknownWhy};

/// The worker ends the script at its deadline by itself; its trailer may take this much longer.
const TRAILER_GRACE: Duration = Duration::from_millis(KILL_AFTER * 1000 + 1500);
/// When the shell around a script was killed, its trailer would be on its way already.
const SIGNAL_GRACE: Duration = Duration::from_secs(1);
/// For the end of standard error, once standard output has ended.
const STDERR_GRACE: Duration = Duration::from_secs(2);
/// So much of what startup files print is kept.
pub(super) const CHATTER: usize = 16 * 1024;
/// One packet of SSH carries at most 32 KiB of data.
const CHUNK: usize = 32 * 1024;

/// Bytes for the script's standard input.
pub(super) struct Payload<'a> {
    pub(super) from: &'a mut dyn Read,
    pub(super) left: u64,
}

/// A channel, and whether what runs on it has said so.
pub(super) struct Opened {
    pub(super) channel: Channel,
    pub(super) ready: bool,
}

/// How a conversation ended.
pub(super) enum End {
    Exited(i32),
    NotRun(NotRun),
    Unknown(UnknownWhy),
}

impl End {
    /// Whether the session can be used for another script.
    pub(super) fn is_clean(&self) -> bool {
        !matches!(self, Self::Unknown(_) | Self::NotRun(NotRun::NoChannel | NotRun::NotExecuted))
    }
}

/// What is being sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sending {
    /// A startup file of the login shell may read what comes too early.
    AwaitReady,
    Header,
    AwaitGo,
    Body,
    AwaitBegin,
    Payload,
    Eof,
    Nothing,
}

/// The conversation.
pub(super) struct Exchange<'a, 'p, 's> {
    wire: &'a Wire,
    channel: Channel,
    framed: &'a Framed,
    script: &'a Script,
    payload: Option<Payload<'p>>,
    sink: Option<OutputSink<'s>>,
    cancel: &'a Cancel,
    scanner: Scanner,
    stderr_scanner: Scanner,
    stderr_ended: bool,
    ended_at: Option<Instant>,
    sending: Sending,
    /// What startup files have printed.
    chatter: Vec<u8>,
    outgoing: Vec<u8>,
    sent: usize,
    group: Option<(u32, u64)>,
    end: Option<End>,
    stdout: Captured,
    stderr: Captured,
    buffer: Vec<u8>,
    heard: Instant,
    signalled: Option<Instant>,
}

impl<'a, 'p, 's> Exchange<'a, 'p, 's> {
    pub(super) fn new(
        wire: &'a Wire,
        opened: Opened,
        framed: &'a Framed,
        script: &'a Script,
        payload: Option<Payload<'p>>,
        sink: Option<OutputSink<'s>>,
        cancel: &'a Cancel,
    ) -> Self {
        let mut exchange = Self {
            wire,
            channel: opened.channel,
            framed,
            script,
            payload,
            sink,
            cancel,
            scanner: Scanner::new(framed),
            stderr_scanner: Scanner::for_stderr(framed),
            stderr_ended: false,
            ended_at: None,
            sending: Sending::AwaitReady,
            chatter: Vec::new(),
            outgoing: Vec::new(),
            sent: 0,
            group: None,
            end: None,
            stdout: Captured::default(),
            stderr: Captured::default(),
            buffer: vec![0; CHUNK],
            heard: Instant::now(),
            signalled: None,
        };
        if opened.ready {
            exchange.begin();
        }
        exchange
    }

    fn begin(&mut self) {
        self.chatter = Vec::new();
        self.outgoing = self.framed.header.clone();
        // With a lock the body waits for it: a script whose sender has gone meanwhile never starts.
        if !self.script.lock {
            self.outgoing.extend_from_slice(&self.framed.body);
        }
        self.sending = if self.script.lock { Sending::Header } else { Sending::Body };
    }

    /// To the trailer, or to the first bound that is passed.
    pub(super) fn run(&mut self) -> End {
        match self.converse() {
            // Nothing was sent, so nothing is unknown.
            End::Unknown(why) if self.sending == Sending::AwaitReady && why != UnknownWhy::Cancelled => {
                let reason = if self.channel.eof() { NotRun::NotExecuted } else { NotRun::NoChannel };
                self.stderr.keep_first(&std::mem::take(&mut self.chatter));
                End::NotRun(reason)
            }
            end => end,
        }
    }

    fn converse(&mut self) -> End {
        let worker_ends_it = Duration::from_secs(deadline_secs(self.script));
        let started = Instant::now();
        let too_late = started.checked_add(worker_ends_it + TRAILER_GRACE);
        self.heard = started;
        loop {
            let wrote = if self.end.is_none() { self.send() } else { Ok(false) };
            let read = self.receive();
            if self.end.is_some() {
                // The two streams are not in step: what the script wrote to stderr may still come.
                let since = *self.ended_at.get_or_insert_with(Instant::now);
                let over = self.stderr_ended || since.elapsed() >= STDERR_GRACE || read.is_err();
                if over && let Some(end) = self.end.take() {
                    return end;
                }
                self.wire.wait(TICK);
                continue;
            }
            let progress = match (wrote, read) {
                (Ok(wrote), Ok(read)) => wrote | read,
                (Err(why), _) | (_, Err(why)) => return self.lost(why),
            };
            let now = Instant::now();
            if self.cancel.is_cancelled() {
                return End::Unknown(UnknownWhy::Cancelled);
            }
            if too_late.is_some_and(|bound| now >= bound) {
                return End::Unknown(UnknownWhy::Deadline(self.script.deadline));
            }
            if progress {
                self.heard = now;
                continue;
            }
            if let Some(silence) = self.script.silence
                && now.duration_since(self.heard) >= silence
            {
                return End::Unknown(UnknownWhy::Silence(silence));
            }
            if let Some(why) = self.ended_without_trailer(now) {
                return self.lost(why);
            }
            self.wire.wait(TICK);
        }
    }

    fn lost(&mut self, why: String) -> End {
        let why = self.wire.flood().unwrap_or(why);
        for (stream, rest) in
            [(Stream::Stdout, self.scanner.rest()), (Stream::Stderr, self.stderr_scanner.rest())]
        {
            let captured = if stream == Stream::Stdout { &mut self.stdout } else { &mut self.stderr };
            keep(captured, &rest, self.script.users_own);
            if let Some(sink) = &mut self.sink
                && !rest.is_empty()
            {
                sink(stream, &rest);
            }
        }
        End::Unknown(UnknownWhy::ConnectionLost(why))
    }

    /// The channel ended, or the shell on it was killed, and no trailer came.
    fn ended_without_trailer(&mut self, now: Instant) -> Option<String> {
        if self.channel.eof() {
            return Some("the shell on the worker ended without a trailer".into());
        }
        // Descendants of a killed shell can hold the channel open for ever.
        let signal = self.channel.exit_signal().ok().and_then(|signal| signal.exit_signal)?;
        let since = *self.signalled.get_or_insert(now);
        (now.duration_since(since) >= SIGNAL_GRACE)
            .then(|| format!("the shell on the worker was killed by SIG{signal}"))
    }

    /// Sends what can be sent now; `true` when something went out.
    fn send(&mut self) -> Result<bool, String> {
        let mut progress = false;
        loop {
            if !self.wire.flush() {
                return Ok(progress);
            }
            if self.sent < self.outgoing.len() {
                match self.channel.write(&self.outgoing[self.sent..]) {
                    Ok(0) => return Ok(progress),
                    Ok(n) => {
                        self.sent += n;
                        progress = true;
                    }
                    Err(error) => return self.blocked(&error).map(|()| progress),
                }
                continue;
            }
            self.outgoing.clear();
            self.sent = 0;
            match self.sending {
                Sending::Header => self.sending = Sending::AwaitGo,
                Sending::Body if self.payload.is_some() => self.sending = Sending::AwaitBegin,
                Sending::Body => self.sending = Sending::Eof,
                Sending::Payload => {
                    if !self.next_of_payload()? {
                        self.sending = Sending::Eof;
                    }
                }
                Sending::Eof => match self.channel.send_eof() {
                    Ok(()) => self.sending = Sending::Nothing,
                    Err(error) if would_block(code_of(&error)) => return Ok(progress),
                    Err(error) => return Err(error.message().to_owned()),
                },
                Sending::AwaitReady | Sending::AwaitGo | Sending::AwaitBegin | Sending::Nothing => {
                    return Ok(progress);
                }
            }
        }
    }

    /// `false` when all of it was handed over.
    fn next_of_payload(&mut self) -> Result<bool, String> {
        let Some(payload) = &mut self.payload else { return Ok(false) };
        if payload.left == 0 {
            return Ok(false);
        }
        let want = usize::try_from(payload.left).unwrap_or(CHUNK).min(CHUNK);
        self.outgoing.resize(want, 0);
        // A stream that ends early must not look whole: no end-of-file is sent for it.
        let got = match payload.from.read(&mut self.outgoing) {
            Ok(0) => Err("it ended early".to_owned()),
            Ok(n) => Ok(n),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(0),
            Err(error) => Err(error.to_string()),
        };
        let got = got.map_err(|why| format!("what was to be sent cannot be read: {why}"))?;
        self.outgoing.truncate(got);
        payload.left -= got as u64;
        Ok(true)
    }

    /// Reads all that is there; `true` when something came.
    fn receive(&mut self) -> Result<bool, String> {
        let mut progress = false;
        for stream in [Stream::Stdout, Stream::Stderr] {
            // A bound per turn, so that a flood on one stream does not starve the rest of the loop.
            for _ in 0..16 {
                let id = if stream == Stream::Stdout { 0 } else { 1 };
                match self.channel.stream(id).read(&mut self.buffer) {
                    Ok(0) => break,
                    Ok(n) => {
                        progress = true;
                        self.wire.delivered(n);
                        self.take(stream, n);
                    }
                    Err(error) => {
                        self.blocked(&error)?;
                        break;
                    }
                }
            }
        }
        Ok(progress)
    }

    fn take(&mut self, stream: Stream, n: usize) {
        let chunk = std::mem::take(&mut self.buffer);
        let (stdout, stderr, sink) = (&mut self.stdout, &mut self.stderr, &mut self.sink);
        let users_own = self.script.users_own;
        let mut pass = |bytes: &[u8]| {
            if bytes.is_empty() {
                return;
            }
            keep(if stream == Stream::Stdout { stdout } else { stderr }, bytes, users_own);
            if let Some(sink) = sink {
                sink(stream, bytes);
            }
        };
        match stream {
            Stream::Stdout if self.sending == Sending::AwaitReady => {
                self.chatter.extend_from_slice(&chunk[..n]);
                if is_ready(&self.chatter) {
                    self.begin();
                }
                let excess = self.chatter.len().saturating_sub(CHATTER);
                self.chatter.drain(..excess);
            }
            Stream::Stdout => {
                for mark in self.scanner.feed(&chunk[..n], &mut pass) {
                    self.heed(mark);
                }
            }
            Stream::Stderr => {
                let marks = self.stderr_scanner.feed(&chunk[..n], &mut pass);
                self.stderr_ended |= !marks.is_empty();
            }
        }
        self.buffer = chunk;
    }

    fn heed(&mut self, mark: Mark) {
        match mark {
            Mark::Go if self.sending == Sending::AwaitGo => {
                self.outgoing = self.framed.body.clone();
                self.sending = Sending::Body;
            }
            Mark::Go => {}
            Mark::Begin { group, started } => {
                self.group = Some((group, started));
                if self.sending == Sending::AwaitBegin {
                    self.sending = Sending::Payload;
                }
            }
            Mark::End { how, code } => {
                let began = self.group.is_some();
                self.end = Some(match how.as_str() {
                    "exit" if began => End::Exited(code),
                    "deadline" => End::Unknown(UnknownWhy::Deadline(self.script.deadline)),
                    how => match NotRun::from_mark(how, code).filter(|_| !began) {
                        Some(reason) => End::NotRun(reason),
                        None => End::Unknown(UnknownWhy::ConnectionLost(format!(
                            "the wrapper on the worker ended early ({how} {code})"
                        ))),
                    },
                });
            }
        }
    }

    fn blocked(&self, error: &std::io::Error) -> Result<(), String> {
        let last = ssh2::Error::last_session_error(&self.wire.session).map_or(0, |error| code_of(&error));
        if error.kind() == ErrorKind::WouldBlock || would_block(last) {
            return Ok(());
        }
        Err(error.to_string())
    }

    /// What is known at the end. The channel is closed where the session lives on.
    pub(super) fn finish(mut self, reusable: bool) -> (Option<(u32, u64)>, Captured, Captured) {
        if reusable {
            // Once and without waiting: what is left behind on the worker may hold its end open.
            let _ = self.channel.close();
            self.wire.flush();
        } else {
            self.wire.shut_down();
        }
        (self.group, self.stdout, self.stderr)
    }
}

/// libssh2 refuses to send one packet while a part of another one is waiting for the socket; that,
/// too, passes by itself.
fn would_block(code: i32) -> bool {
    code == code::EAGAIN || code == code::BAD_USE
}

fn keep(captured: &mut Captured, bytes: &[u8], users_own: bool) {
    if users_own { captured.keep_last(bytes) } else { captured.keep_first(bytes) }
}
