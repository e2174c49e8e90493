//! The framing in which our transport sends scripts, as far as a sandbox must understand it: whose
//! text it is and where it ends. Answers are left to the transport's own bootstrap, which runs another
//! script in the place of one that must not run.
//!
//! The transport's own description is in `src/ssh/frame.rs`; `tests/it/sandbox` holds the two together.

/// What our transport's bootstrap prints first; a command without it is not our transport's.
pub(super) const READY: &str = "maand-ready-1";

/// The three lines in front of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    begin: String,
    /// The bootstrap's own text, up to the line with a dot.
    bootstrap: Vec<u8>,
    /// The three lines, with the second in its words.
    first: String,
    second: Vec<String>,
    state: Vec<u8>,
    /// Asks for the worker's lock, as what changes something there does.
    pub(super) lock: bool,
    /// Bytes of the body that follows.
    pub(super) length: usize,
    /// Text of the user's own.
    pub(super) users_own: bool,
    /// Where the body begins.
    pub(super) size: usize,
}

/// A header is never longer: the bootstrap, tokens, numbers and one path.
pub(super) const HEADER_MAX: usize = 16 * 1024;

/// How a header begins.
const FIRST: &[u8] = b"maand1 ";
/// How the bootstrap in front of it ends.
const DOT: &[u8] = b"\n.\n";
/// The line of a body behind which the script stands.
const BEGIN: &str = "eval \"$1\"; set --\n";

impl Header {
    /// `None`: not all of it is there yet, or it is none (`bytes` is [`HEADER_MAX`] long or ended).
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        // What begins with something else is loaded first.
        let start = match bytes.starts_with(FIRST) {
            true => 0,
            false => bytes.windows(DOT.len()).position(|window| window == DOT)? + DOT.len(),
        };
        let (bootstrap, bytes) = bytes.split_at(start);
        let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
        let first = lines.next()?;
        let second = lines.next()?;
        let state = lines.next().filter(|line| line.ends_with(b"\n"))?;
        let size = start + first.len() + second.len() + state.len();
        let (first_words, second_words) = (words(first)?, words(second)?);
        let (["maand1", _sudo, _end], [begin, _, _shell, lock, _deadline, length, users_own, _ascii]) =
            (first_words.as_slice(), second_words.as_slice())
        else {
            return None;
        };
        Some(Self {
            begin: (*begin).to_owned(),
            bootstrap: bootstrap.to_vec(),
            lock: *lock == "1",
            length: length.parse().ok()?,
            // Whatever is not clearly ours is the user's.
            users_own: *users_own != "0",
            size,
            first: String::from_utf8_lossy(first).into_owned(),
            second: second_words.iter().map(|word| (*word).to_owned()).collect(),
            state: state.to_vec(),
        })
    }

    /// The same header with another script behind it, whole as the bootstrap expects it.
    pub(super) fn with_script(&self, script: &str) -> Vec<u8> {
        let body = format!("{BEGIN}{script}\n#{}\n", self.begin);
        let mut words = self.second.clone();
        // Their places are certain: a header has eight words there.
        words[5] = body.len().to_string();
        words[7] = u8::from(body.is_ascii()).to_string();
        [
            &self.bootstrap,
            self.first.as_bytes(),
            words.join(" ").as_bytes(),
            b"\n",
            &self.state,
            body.as_bytes(),
        ]
        .concat()
    }

    /// What tells the client to send the body of a script that waits for a lock.
    pub(super) fn go(&self) -> String {
        format!("{} go\n", self.begin)
    }

    /// The script within its body: without the exports in front and the proof at the end.
    pub(super) fn script<'a>(&self, body: &'a str) -> &'a str {
        let body = body.strip_suffix('\n').unwrap_or(body);
        let mut text = body.strip_suffix(&format!("\n#{}", self.begin)).unwrap_or(body);
        while let Some(rest) = text.strip_prefix("export ").and_then(after_word) {
            text = rest;
        }
        // In front of that line is the fence, where there is one.
        text.split_once(BEGIN).map_or(text, |(_, script)| script)
    }
}

fn words(line: &[u8]) -> Option<Vec<&str>> {
    Some(std::str::from_utf8(line).ok()?.split_whitespace().collect())
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

    const HEADER: &[u8] = b"maand1 1 EE\nBB EE bash 1 60 123 1 1\n/var/lib/x y\n";

    #[test]
    fn a_header_is_read_once_it_is_whole() {
        let header = Header::read(&[HEADER, b"export A=1\n"].concat()).unwrap();
        assert!(header.lock && header.users_own);
        assert_eq!((header.length, header.size), (123, HEADER.len()));
        for cut in 0..HEADER.len() {
            assert_eq!(Header::read(&HEADER[..cut]), None, "{cut}");
        }
        let loaded = [b"n=1\nset -- x\n.\n".as_slice(), HEADER].concat();
        assert_eq!(Header::read(&loaded).unwrap().size, loaded.len());
        assert_eq!(Header::read(&loaded[..11]), None);
        let ours = Header::read(b"maand1 0 EE\nBB EE sh 0 60 5 0 1\n.maand\n").unwrap();
        assert!(!ours.users_own && !ours.lock);
    }

    #[test]
    fn another_script_takes_the_place_of_one() {
        let sent = Header::read(HEADER).unwrap().with_script("echo hi");
        let text = String::from_utf8(sent.clone()).unwrap();
        assert_eq!(
            text,
            "maand1 1 EE\nBB EE bash 1 60 30 1 1\n/var/lib/x y\neval \"$1\"; set --\necho hi\n#BB\n"
        );
        let header = Header::read(&sent).unwrap();
        assert_eq!(sent.len(), header.size + header.length);
    }

    #[test]
    fn what_is_not_clearly_ours_is_the_users() {
        assert!(Header::read(b"maand1 0 EE\nBB EE sh 0 60 5 x 1\n.maand\n").unwrap().users_own);
        assert_eq!(Header::read(b"maand1 0 EE\nBB EE sh 0 60 5\n.maand\n"), None);
        assert_eq!(Header::read(b"maand2 0 EE\nBB EE sh 0 60 5 0\n.maand\n"), None);
    }

    #[test]
    fn the_script_is_found_behind_its_exports() {
        let header = Header::read(HEADER).unwrap();
        let body = "export A=plain\nexport B='two\nlines it'\\''s; $x'\ndemo-probe api\n#BB";
        assert_eq!(header.script(body), "demo-probe api");
        // The fence and the line that says `begin` are none of it.
        let fenced = format!("export A=1\nif :; then :; fi\n{BEGIN}demo-probe api\n{BEGIN}\n#BB");
        assert_eq!(header.script(&fenced), format!("demo-probe api\n{BEGIN}"));
        // What only looks like an export is part of the script.
        assert_eq!(
            header.script("export A=1; rm x\ndemo-probe api\n#BB"),
            "export A=1; rm x\ndemo-probe api"
        );
    }
}
