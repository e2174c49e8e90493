//! Keeps secrets out of output that comes in pieces: a secret may begin in one piece and end in the next. It must
//! not know whose output it is, nor where it goes.
//!
//! The rule: of a secret of eight bytes or more no piece of eight bytes or more is shown, wherever it begins and
//! ends. So lines of a secret, a beginning of one, several that overlap, and one without its last newline need no
//! rules of their own. A shorter secret is masked as a whole.

use crate::os::quote;
use crate::ssh::visible;

/// What replaces a secret, or a piece of it.
pub(super) const MASK: &str = "****";

/// A piece of so many bytes is masked, wherever in a secret it is from.
const PIECE: usize = 8;

/// A secret shorter than this is not masked in output: it would mask half of every text.
const SHORTEST_MASKED: usize = 4;

/// A power of two, some hundred times as many as a secret has pieces: most bytes of an output are passed by one
/// look at this table.
const FILTER_BITS: usize = 1 << 20;

/// What is to be masked, prepared for searching.
#[derive(Clone, Debug, Default)]
pub(super) struct Secrets {
    /// All pieces of the long ones, sorted.
    pieces: Vec<[u8; PIECE]>,
    /// Whole ones that are shorter than a piece, the longest first.
    short: Vec<Vec<u8>>,
    /// A bit for the hash of each piece.
    filter: Vec<u64>,
}

impl Secrets {
    /// Also as they are written by programs: quoted for a shell, escaped in JSON, and as this program shows them.
    pub(super) fn of<S: AsRef<str>>(secrets: &[S]) -> Self {
        let mut all = Self::default();
        for secret in secrets.iter().map(AsRef::as_ref) {
            let json = serde_json::to_string(secret).unwrap_or_default();
            let forms = [
                secret.to_owned(),
                // What `$(cat file)` and `read` leave of it.
                secret.trim_end_matches(['\r', '\n']).to_owned(),
                json.trim_matches('"').to_owned(),
                format!("{secret:?}").trim_matches('"').to_owned(),
                quote(secret).trim_matches('\'').to_owned(),
                visible(secret.as_bytes()),
            ];
            for form in forms {
                match form.len() {
                    ..SHORTEST_MASKED => {}
                    SHORTEST_MASKED..PIECE => all.short.push(form.into_bytes()),
                    PIECE.. => all.pieces.extend(form.as_bytes().windows(PIECE).filter_map(as_piece)),
                }
            }
        }
        all.pieces.sort_unstable();
        all.pieces.dedup();
        all.short.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        all.short.dedup();
        if !all.pieces.is_empty() {
            all.filter = vec![0; FILTER_BITS / 64];
            for piece in &all.pieces {
                let at = hash(piece);
                all.filter[at / 64] |= 1 << (at % 64);
            }
        }
        all
    }

    fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.short.is_empty()
    }

    /// How many bytes at the beginning of `rest` are to be masked.
    fn matched(&self, rest: &[u8]) -> usize {
        if let Some(piece) = as_piece(rest).filter(|_| !self.filter.is_empty()) {
            let at = hash(&piece);
            if self.filter[at / 64] & (1 << (at % 64)) != 0 && self.pieces.binary_search(&piece).is_ok() {
                return PIECE;
            }
        }
        self.short.iter().find(|secret| rest.starts_with(secret)).map_or(0, Vec::len)
    }

    /// Whether `rest`, which is shorter than a piece, may become something to be masked, or something longer.
    fn may_begin(&self, rest: &[u8]) -> bool {
        let at = self.pieces.partition_point(|piece| &piece[..] < rest);
        self.pieces.get(at).is_some_and(|piece| piece.starts_with(rest))
            || self.short.iter().any(|secret| secret.len() > rest.len() && secret.starts_with(rest))
    }
}

fn as_piece(bytes: &[u8]) -> Option<[u8; PIECE]> {
    bytes.first_chunk::<PIECE>().copied()
}

/// Fibonacci hashing (Knuth, TAOCP 6.4).
fn hash(piece: &[u8; PIECE]) -> usize {
    let spread = u64::from_le_bytes(*piece).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (spread >> (64 - FILTER_BITS.trailing_zeros())) as usize
}

/// `text` without the secrets.
pub(super) fn masked(text: &str, secrets: &Secrets) -> String {
    let mut out = Vec::new();
    let mut stream = MaskedStream::new(secrets);
    stream.push(text.as_bytes(), &mut |bytes| out.extend_from_slice(bytes));
    stream.end(&mut |bytes| out.extend_from_slice(bytes));
    String::from_utf8_lossy(&out).into_owned()
}

/// `text` without these secrets, by the rule of this module.
pub fn without_secrets(text: &str, secrets: &[String]) -> String {
    masked(text, &Secrets::of(secrets))
}

/// One stream of output. What may be the beginning of a secret is held back until more has come.
pub(super) struct MaskedStream<'s> {
    secrets: &'s Secrets,
    held: Vec<u8>,
    /// So many of the bytes that are held are replaced already.
    covered: usize,
    /// The last byte that was replaced is a line end, which is shown: the next line is another one.
    ends_line: bool,
}

impl<'s> MaskedStream<'s> {
    pub(super) fn new(secrets: &'s Secrets) -> Self {
        Self { secrets, held: Vec::new(), covered: 0, ends_line: false }
    }

    /// Takes a piece and gives on what is safe.
    pub(super) fn push(&mut self, piece: &[u8], sink: &mut dyn FnMut(&[u8])) {
        if self.secrets.is_empty() {
            return sink(piece);
        }
        self.held.extend_from_slice(piece);
        self.give(false, sink);
    }

    /// There is no more: what was held back is no secret.
    pub(super) fn end(&mut self, sink: &mut dyn FnMut(&[u8])) {
        self.give(true, sink);
    }

    fn give(&mut self, all: bool, sink: &mut dyn FnMut(&[u8])) {
        let mut out = Vec::with_capacity(self.held.len());
        let mut at = 0;
        while let rest @ [first, ..] = &self.held[at..] {
            if !all && rest.len() < PIECE && self.secrets.may_begin(rest) {
                break;
            }
            let matched = self.secrets.matched(rest);
            if at >= self.covered {
                if std::mem::take(&mut self.ends_line) {
                    out.push(b'\n');
                }
                // Pieces that overlap are one: a longer part of a secret.
                if matched > 0 { out.extend_from_slice(MASK.as_bytes()) } else { out.push(*first) }
            }
            if matched > 0 {
                self.covered = self.covered.max(at + matched);
            }
            if at < self.covered {
                self.ends_line = *first == b'\n';
            }
            at += 1;
        }
        if all && std::mem::take(&mut self.ends_line) {
            out.push(b'\n');
        }
        self.held.drain(..at);
        self.covered = self.covered.saturating_sub(at);
        if !out.is_empty() {
            sink(&out);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes_through(secrets: &Secrets, pieces: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut stream = MaskedStream::new(secrets);
        for piece in pieces {
            stream.push(piece, &mut |bytes| out.extend_from_slice(bytes));
        }
        stream.end(&mut |bytes| out.extend_from_slice(bytes));
        out
    }

    fn through(secrets: &[&str], pieces: &[&str]) -> String {
        let pieces: Vec<&[u8]> = pieces.iter().map(|piece| piece.as_bytes()).collect();
        String::from_utf8(bytes_through(&Secrets::of(secrets), &pieces)).unwrap()
    }

    #[test]
    fn a_secret_is_masked_wherever_the_output_is_cut() {
        let text = "token=hunter2; hunter and hunter2hunter2\n";
        for cut in 0..=text.len() {
            let (a, b) = text.split_at(cut);
            assert_eq!(through(&["hunter2"], &[a, b]), "token=****; hunter and ********\n", "cut at {cut}");
        }
        let letters: Vec<String> = text.chars().map(String::from).collect();
        let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
        assert_eq!(through(&["hunter2"], &letters), "token=****; hunter and ********\n");
    }

    #[test]
    fn one_secret_may_begin_with_another_and_short_ones_are_left() {
        assert_eq!(through(&["pass", "passphrase"], &["x pass", "phrase pass", "ed"]), "x **** ****ed");
        assert_eq!(through(&["abc"], &["abcabc"]), "abcabc");
        assert_eq!(through(&["line1\nline2"], &["line1\n", "line2\n"]), "****\n");
        let secrets = Secrets::of(&["hunter2"]);
        assert_eq!(masked("hunter2", &secrets), MASK);
    }

    #[test]
    fn what_is_held_back_comes_at_the_end() {
        assert_eq!(through(&["hunter2"], &["hunt"]), "hunt");
        assert_eq!(through(&[], &["hunt", "er2"]), "hunter2");
    }

    #[test]
    fn lines_ends_and_escaped_forms_of_a_secret_are_masked() {
        let key = "-----BEGIN KEY-----\r\nMIIEvQIBADANBg\n\nshort\n-----END KEY-----\n";
        assert_eq!(through(&[key], &["key: MIIEvQIBADANBg\n"]), "key: ****\n");
        assert_eq!(through(&[key], &["| -----BEGIN KEY-----\n| short\n"]), "| ****\n| short\n");
        assert_eq!(through(&[key], &[key]), "****\n");
        assert_eq!(through(&[key], &[key.trim_end(), "!"]), "****!");
        assert_eq!(through(&[key], &[&serde_json::to_string(key).unwrap()]), "\"****\"");
        assert_eq!(through(&[key], &[&visible(key.as_bytes())]), "****\n");
        let odd = "it's \"odd\" \x1b[1m";
        assert_eq!(through(&[odd], &[&serde_json::to_string(odd).unwrap()]), "\"****\"");
        assert_eq!(through(&[odd], &[&quote(odd)]), "'****'");
        assert_eq!(through(&[odd], &[&visible(odd.as_bytes())]), "****");
        // As `$(cat file)` leaves it: shorter than a piece.
        assert_eq!(through(&["abcdef\n\n"], &["abcdef!"]), "****!");
    }

    /// Alphabets in which secrets begin alike, overlap, and have line ends and blank lines. (The mask's own sign is
    /// left out: a secret with it could be put together from a piece that is shown, a mask, and another such piece.)
    fn secret() -> impl Strategy<Value = String> {
        prop_oneof!["[ab\n]{0,30}", "[a-z\r\n ]{0,60}", "(line[0-9]\r?\n){1,5}", "[é\u{1b}\"'\\\\x]{0,20}"]
    }

    proptest! {
        #[test]
        fn no_piece_of_a_secret_is_ever_shown(
            secrets in prop::collection::vec(secret(), 1..5),
            parts in prop::collection::vec((0..5_usize, 0..60_usize, 0..60_usize, "[a-z\n]{0,5}"), 0..12),
            cuts in prop::collection::vec(1..20_usize, 0..80),
        ) {
            let mut text = Vec::new();
            for (which, from, length, noise) in parts {
                let secret = secrets[which % secrets.len()].as_bytes();
                let from = from.min(secret.len());
                text.extend_from_slice(&secret[from..secret.len().min(from + length)]);
                text.extend_from_slice(noise.as_bytes());
            }
            let prepared = Secrets::of(&secrets);
            let mut pieces = Vec::new();
            let mut rest = text.as_slice();
            for cut in cuts {
                let (first, others) = rest.split_at(cut.min(rest.len()));
                pieces.push(first);
                rest = others;
            }
            pieces.push(rest);
            let shown = bytes_through(&prepared, &pieces);
            prop_assert_eq!(&shown, &bytes_through(&prepared, &[&text]), "the pieces make no difference");
            for window in shown.windows(PIECE) {
                let leaks = secrets.iter().any(|secret| secret.as_bytes().windows(PIECE).any(|own| own == window));
                prop_assert!(!leaks, "{:?}", String::from_utf8_lossy(window));
            }
            for secret in secrets.iter().filter(|secret| (SHORTEST_MASKED..PIECE).contains(&secret.len())) {
                prop_assert!(!shown.windows(secret.len()).any(|own| own == secret.as_bytes()));
            }
        }

        #[test]
        fn what_has_nothing_of_a_secret_is_shown_as_it_is(text in "[0-9\n]{0,200}") {
            prop_assert_eq!(through(&["abcdefghij", "klmno"], &[&text]), text);
        }
    }
}
