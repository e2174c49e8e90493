//! The framing in which our transport sends scripts, as far as a sandbox must understand it: whose
//! text it is, where it ends, and how an answer must look to be believed.
//!
//! The transport's own description is in `src/ssh/frame.rs`; `tests/it/sandbox` holds the two together.

/// What our transport's bootstrap prints first; a command without it is not our transport's.
pub(super) const READY: &str = "maand-ready-1";

/// The three lines in front of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) sudo: bool,
    begin: String,
    end: String,
    /// Asks for the worker's lock, as what changes something there does.
    pub(super) lock: bool,
    /// Bytes of the body that follows.
    pub(super) length: usize,
    /// Text of the user's own.
    pub(super) users_own: bool,
    /// Where the body begins.
    pub(super) size: usize,
}

/// A header is never longer: tokens, numbers and one path.
pub(super) const HEADER_MAX: usize = 16 * 1024;

impl Header {
    /// `None`: not all of it is there yet, or it is none (`bytes` is [`HEADER_MAX`] long or ended).
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
        let first = lines.next()?;
        let second = lines.next()?;
        let state = lines.next().filter(|line| line.ends_with(b"\n"))?;
        let size = first.len() + second.len() + state.len();
        let first: Vec<_> = std::str::from_utf8(first).ok()?.split_whitespace().collect();
        let second: Vec<_> = std::str::from_utf8(second).ok()?.split_whitespace().collect();
        let (["maand1", sudo, end], [begin, _, _shell, lock, _deadline, length, users_own]) =
            (first.as_slice(), second.as_slice())
        else {
            return None;
        };
        Some(Self {
            sudo: *sudo == "1",
            begin: (*begin).to_owned(),
            end: (*end).to_owned(),
            lock: *lock == "1",
            length: length.parse().ok()?,
            // Whatever is not clearly ours is the user's.
            users_own: *users_own != "0",
            size,
        })
    }

    /// What tells the client to send the body of a script that waits for a lock.
    pub(super) fn go(&self) -> String {
        format!("{} go\n", self.begin)
    }

    /// An answer as if the script had run, printed `output`, and ended with `code`.
    pub(super) fn answer(&self, output: &str, code: i32) -> String {
        // No process group has that number, so nobody is hit when the client wants to end it.
        format!("{} begin 999999999 1\n{output}\n{} exit {code}\n", self.begin, self.end)
    }

    /// What ends standard error in front of each of the answers.
    pub(super) fn stderr_end(&self) -> String {
        format!("\n{} err 0\n", self.end)
    }

    /// An answer as if sudo had refused.
    pub(super) fn sudo_refused(&self) -> String {
        format!("\n{} sudo 1\n", self.end)
    }

    /// The script within its body: without the exports in front and the proof at the end.
    pub(super) fn script<'a>(&self, body: &'a str) -> &'a str {
        let mut text = body.strip_suffix(&format!("\n#{}", self.begin)).unwrap_or(body);
        while let Some(rest) = text.strip_prefix("export ").and_then(after_word) {
            text = rest;
        }
        text
    }
}

/// What comes after one shell word and the end of its line; `None` when it is not quoted as the
/// transport quotes.
fn after_word(text: &str) -> Option<&str> {
    let mut quoted = false;
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\'' => quoted = !quoted,
            b'\\' if !quoted => {
                bytes.next()?;
            }
            b'\n' if !quoted => return Some(&text[at + 1..]),
            b' ' | b';' | b'&' | b'$' | b'`' | b'"' if !quoted => return None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &[u8] = b"maand1 1 EE\nBB EE bash 1 60 123 1\n/var/lib/x y\n";

    #[test]
    fn a_header_is_read_once_it_is_whole() {
        let header = Header::read(&[HEADER, b"export A=1\n"].concat()).unwrap();
        assert!(header.sudo && header.lock && header.users_own);
        assert_eq!((header.length, header.size), (123, HEADER.len()));
        for cut in 0..HEADER.len() {
            assert_eq!(Header::read(&HEADER[..cut]), None, "{cut}");
        }
        let ours = Header::read(b"maand1 0 EE\nBB EE sh 0 60 5 0\n.maand\n").unwrap();
        assert!(!ours.users_own && !ours.lock && !ours.sudo);
    }

    #[test]
    fn what_is_not_clearly_ours_is_the_users() {
        assert!(Header::read(b"maand1 0 EE\nBB EE sh 0 60 5 x\n.maand\n").unwrap().users_own);
        assert_eq!(Header::read(b"maand1 0 EE\nBB EE sh 0 60 5\n.maand\n"), None);
        assert_eq!(Header::read(b"maand2 0 EE\nBB EE sh 0 60 5 0\n.maand\n"), None);
    }

    #[test]
    fn the_script_is_found_behind_its_exports() {
        let header = Header::read(HEADER).unwrap();
        let body = "export A=plain\nexport B='two\nlines it'\\''s; $x'\ndemo-probe api\n#BB";
        assert_eq!(header.script(body), "demo-probe api");
        // What only looks like an export is part of the script.
        assert_eq!(
            header.script("export A=1; rm x\ndemo-probe api\n#BB"),
            "export A=1; rm x\ndemo-probe api"
        );
    }
}
