//! What is said on a channel: the fixed command that is executed, the bootstrap, header and body on standard
//! input, and the marks on standard output.
//!
//! Values never go into shell text: the bootstrap is the same for every script. The order is
//!
//! ```text
//! worker:  maand-ready-1                                      (nothing is said before: a login script may read)
//! we:      the bootstrap's text, up to a line with a dot
//!          maand1 <sudo 0|1> <end token>
//!          <begin token> <end token> <sh|bash> <lock 0|1> <deadline s> <bytes of body> <user's own 0|1>
//!          <ASCII 0|1>, all in one line
//!          <state folder>
//! worker:  <begin token> go                                   (with a lock: it is held)
//! we:      the body: exports, with a lock the fence, a line that says `begin`, the script, and a line
//!          `#<begin token>` as proof that all of it came
//! worker:  <begin token> begin <process group> <start time of its leader>
//! we:      the payload, if any
//! worker:  the script's output, then on a line of its own
//!          <end token> <exit|deadline|...> <code>
//!          and just before it `<end token> err 0` on standard error, so that both are read to their end
//! ```
//!
//! So it is always known whose exit code one is: after `begin` the script's, whatever its number, and before it ours.
//!
//! What comes before `begin` (a login script's chatter) is not the script's output. The last mark is led in
//! by a record separator (0x1e) and a newline of its own, so that output without a final newline comes back
//! as it was, and a line that ends is handed on at once.

use super::bootstrap::bootstrap;
use super::group::FENCE;
use super::quote;
use super::{HostProfile, Script, Shell};

/// Printed as soon as what we asked for is executed: the login has worked.
const READY: &[u8] = b"maand-ready-1\n";

/// Whether that was said, after whatever startup files have printed.
pub(super) fn is_ready(said: &[u8]) -> bool {
    before_ready(said).is_some()
}

/// What startup files have printed before it; `None`: it was not said.
pub(super) fn before_ready(said: &[u8]) -> Option<&[u8]> {
    find(said, READY).map(|at| &said[..at])
}

/// The line between what is ours and the script; it says `begin`. The runner has left in `$1` how.
const BEGIN: &str = "eval \"$1\"; set --\n";

/// After a script's deadline the worker sends SIGTERM to its group, and SIGKILL this many seconds
/// later.
pub(super) const KILL_AFTER: u64 = 2;

/// Why a script cannot be sent at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadScript {
    #[error("`{0}` is not the name of an environment variable")]
    Variable(String),
    #[error("the value of {0} contains a NUL byte")]
    NulInValue(String),
    #[error("the script contains a NUL byte")]
    NulInText,
    #[error("the path of the state folder is not text")]
    StateFolder,
}

/// The two parts that are sent for a script, and what to look for in the answer.
#[derive(Debug)]
pub(super) struct Framed {
    pub(super) header: Vec<u8>,
    pub(super) body: Vec<u8>,
    pub(super) begin: String,
    pub(super) end: String,
}

/// Whole seconds that the worker's watchdog waits: it knows no fractions.
pub(super) fn deadline_secs(script: &Script) -> u64 {
    let whole = script.deadline.as_secs() + u64::from(script.deadline.subsec_nanos() > 0);
    // `sleep` takes any number, but a year is as good as for ever.
    whole.clamp(1, 365 * 24 * 3600)
}

fn watchdog_secs(script: &Script) -> u64 {
    if script.lock || script.watchdog { deadline_secs(script) } else { 0 }
}

/// The two parts of `script` for a worker with this profile.
pub(super) fn frame(script: &Script, profile: &HostProfile) -> Result<Framed, BadScript> {
    let token = || uuid::Uuid::new_v4().simple().to_string();
    let (begin, end) = (token(), token());
    let mut body = String::new();
    for (name, value) in &script.env {
        let mut bytes = name.bytes();
        let head = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
        if !head || !bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(BadScript::Variable(name.clone()));
        }
        if value.contains('\0') {
            return Err(BadScript::NulInValue(name.clone()));
        }
        body.push_str(&format!("export {name}={}\n", quote(value)));
    }
    if script.text.contains('\0') {
        return Err(BadScript::NulInText);
    }
    if script.lock {
        body.push_str(FENCE);
    }
    body.push_str(BEGIN);
    body.push_str(&script.text);
    body.push_str(&format!("\n#{begin}\n"));
    let sudo = script.sudo && profile.use_sudo;
    let state = if sudo { &profile.state_dir } else { &profile.state_dir_in_home };
    let state = state.to_str().filter(|path| !path.contains(['\n', '\0']));
    let state = state.ok_or(BadScript::StateFolder)?;
    let shell = match script.shell {
        Shell::Sh => "sh",
        Shell::Bash => "bash",
    };
    let header = format!(
        "{}maand1 {} {end}\n{begin} {end} {shell} {} {} {} {} {}\n{state}\n",
        bootstrap(),
        u8::from(sudo),
        u8::from(script.lock),
        watchdog_secs(script),
        body.len(),
        u8::from(script.users_own),
        u8::from(body.is_ascii()),
    );
    Ok(Framed { header: header.into_bytes(), body: body.into_bytes(), begin, end })
}

/// A mark that the worker set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Go,
    Begin { group: u32, started: u64 },
    End { how: String, code: i32 },
}

/// Finds the marks in standard output, wherever the chunks are cut.
#[derive(Debug)]
pub(super) struct Scanner {
    begin: Vec<u8>,
    end: Vec<u8>,
    held: Vec<u8>,
    begun: bool,
    ended: bool,
}

/// A mark is never longer, its token and the end of its line included; also so much of the chatter before `begin` is
/// looked at.
const MARK_MAX: usize = 256;

impl Scanner {
    pub(super) fn new(framed: &Framed) -> Self {
        Self {
            begin: format!("{} ", framed.begin).into_bytes(),
            end: format!("\x1e\n{} ", framed.end).into_bytes(),
            held: Vec::new(),
            begun: false,
            ended: false,
        }
    }

    /// For standard error, where everything is output up to the end mark.
    pub(super) fn for_stderr(framed: &Framed) -> Self {
        Self { begun: true, ..Self::new(framed) }
    }

    /// Takes the next chunk; hands out output as soon as it cannot be part of a mark.
    pub(super) fn feed(&mut self, chunk: &[u8], output: &mut dyn FnMut(&[u8])) -> Vec<Mark> {
        let mut marks = Vec::new();
        self.held.extend_from_slice(chunk);
        while !self.ended && self.take(&mut marks, output) {}
        if self.ended {
            self.held = Vec::new();
        } else if !self.begun {
            let excess = self.held.len().saturating_sub(MARK_MAX);
            self.held.drain(..excess);
        } else {
            let keep = self.possible_mark();
            let done = self.held.len() - keep;
            output(&self.held[..done]);
            self.held.drain(..done);
        }
        marks
    }

    /// Where the first token is in what is held, and whether it is the one of the end. What comes first counts, so that
    /// it does not matter whether what follows has come yet.
    fn first_token(&self) -> Option<(usize, bool)> {
        let begin = if self.begun { None } else { find(&self.held, &self.begin) };
        let end = find(&self.held, &self.end);
        [begin.map(|at| (at, false)), end.map(|at| (at, true))].into_iter().flatten().min()
    }

    /// Takes one whole mark out of what is held; output before it is handed out.
    fn take(&mut self, marks: &mut Vec<Mark>, output: &mut dyn FnMut(&[u8])) -> bool {
        let Some((at, end)) = self.first_token() else { return false };
        let after = at + if end { self.end.len() } else { self.begin.len() };
        let most = self.held.len().min(at + MARK_MAX);
        let length = self.held[after.min(most)..most].iter().position(|b| *b == b'\n');
        if length.is_none() && self.held.len() - at < MARK_MAX {
            return false;
        }
        let line = length.map(|length| String::from_utf8_lossy(&self.held[after..after + length]));
        let mark = line.and_then(|line| parse_mark(&line, end));
        let (Some(length), Some(mark)) = (length, mark) else {
            // Not ours after all; let it pass, so that it is not found again.
            if self.begun {
                output(&self.held[..after]);
            }
            self.held.drain(..after);
            return true;
        };
        if self.begun {
            output(&self.held[..at]);
        }
        self.held.drain(..=after + length);
        self.begun |= matches!(mark, Mark::Begin { .. });
        self.ended |= end;
        marks.push(mark);
        true
    }

    /// How many of the last bytes may be the start of the end mark.
    fn possible_mark(&self) -> usize {
        if let Some(at) = find(&self.held, &self.end) {
            return self.held.len() - at;
        }
        let longest = self.held.len().min(self.end.len());
        (1..=longest).rev().find(|n| self.end.starts_with(&self.held[self.held.len() - n..])).unwrap_or(0)
    }

    /// What is still held when the stream ended without its mark.
    pub(super) fn rest(&mut self) -> Vec<u8> {
        if self.begun { std::mem::take(&mut self.held) } else { Vec::new() }
    }
}

fn parse_mark(line: &str, end: bool) -> Option<Mark> {
    let mut words = line.split(' ');
    let mark = match (words.next()?, end) {
        ("go", false) => Mark::Go,
        ("begin", false) => {
            Mark::Begin { group: words.next()?.parse().ok()?, started: words.next()?.parse().ok()? }
        }
        (how, true) => Mark::End { how: how.to_owned(), code: words.next()?.parse().ok()? },
        _ => return None,
    };
    words.next().is_none().then_some(mark)
}

/// Horspool's search: the needle is long and rare, and a gigabyte may pass.
fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let last = needle.len().checked_sub(1)?;
    let mut skip = [needle.len(); 256];
    for (at, byte) in needle[..last].iter().enumerate() {
        skip[usize::from(*byte)] = last - at;
    }
    let mut at = 0;
    while at + last < haystack.len() {
        let tail = haystack[at + last];
        if tail == needle[last] && &haystack[at..=at + last] == needle {
            return Some(at);
        }
        at += skip[usize::from(tail)];
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn framed() -> Framed {
        Framed { header: Vec::new(), body: Vec::new(), begin: "b".repeat(32), end: "e".repeat(32) }
    }

    fn read_back(scanner: &mut Scanner, stream: &[u8], cut: usize) -> (Vec<u8>, Vec<Mark>) {
        let (mut output, mut marks) = (Vec::new(), Vec::new());
        for chunk in stream.chunks(cut) {
            marks.extend(scanner.feed(chunk, &mut |bytes| output.extend_from_slice(bytes)));
        }
        (output, marks)
    }

    proptest! {
        /// Whatever is printed, in whatever pieces it comes: the output is exact and the marks are found.
        #[test]
        fn output_and_marks_are_told_apart(
            noise in prop::collection::vec(any::<u8>(), 0..400),
            output in prop::collection::vec(prop_oneof![any::<u8>(), Just(0x1e), Just(b'\n'), Just(b'e')], 0..400),
            cut in 1usize..80,
            code in 0i32..256,
        ) {
            let framed = framed();
            let mut stream = noise;
            stream.extend(format!("{} begin 12 345\n", framed.begin).bytes());
            stream.extend(&output);
            stream.extend(format!("\x1e\n{} exit {code}\n", framed.end).bytes());
            stream.extend(b"what a daemon says later");
            let (seen, marks) = read_back(&mut Scanner::new(&framed), &stream, cut);
            prop_assert_eq!(seen, output);
            let end = Mark::End { how: "exit".into(), code };
            prop_assert_eq!(marks, vec![Mark::Begin { group: 12, started: 345 }, end]);
        }
    }

    #[test]
    fn what_ends_without_a_trailer_is_handed_out_whole() {
        let framed = framed();
        let mut scanner = Scanner::for_stderr(&framed);
        let half = format!("x\x1e\n{} exi", framed.end);
        let (mut seen, marks) = read_back(&mut scanner, half.as_bytes(), 7);
        seen.extend(scanner.rest());
        assert_eq!((seen, marks.len()), (half.into_bytes(), 0));
    }

    /// Found by the target `frames` of `fuzz/`: what a worker says that breaks the rules was told differently, as it came.
    #[test]
    fn where_a_stream_is_cut_decides_nothing() {
        let framed = framed();
        let (begin, end) = (&framed.begin, &framed.end);
        let long = "0".repeat(300);
        for stream in [
            format!("{begin} begin {long}1 2\nout\x1e\n{end} exit 0\n"),
            format!("{begin} begin 1 2\nout\x1e\n{end} exit {long}1\nmore\x1e\n{end} exit 2\n"),
            format!("\x1e\n{end} exit 3\n{begin} begin 1 2\nout\n"),
            format!("{begin} begin 1 2\nout\x1e\n{end} {long}{long}"),
        ] {
            let told = |cut| {
                let mut scanner = Scanner::new(&framed);
                let (mut output, marks) = read_back(&mut scanner, stream.as_bytes(), cut);
                output.extend(scanner.rest());
                (String::from_utf8(output).unwrap(), marks)
            };
            for cut in [1, 7, 64, 255, 256] {
                assert_eq!(told(cut), told(stream.len()), "in pieces of {cut}: {stream:?}");
            }
        }
    }

    #[test]
    fn a_line_is_handed_on_at_once() {
        let mut scanner = Scanner::for_stderr(&framed());
        assert_eq!(read_back(&mut scanner, b"done\n", 64).0, b"done\n");
    }

    #[test]
    fn a_lookalike_is_output() {
        let framed = framed();
        let text = format!("\x1e\n{} exit many\nrest", framed.end);
        assert_eq!(read_back(&mut Scanner::for_stderr(&framed), text.as_bytes(), 64).0, text.as_bytes());
    }
}
