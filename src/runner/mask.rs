//! Keeps secrets out of output that comes in pieces: a secret may begin in one piece and end in the
//! next. It must not know whose output it is, nor where it goes.

/// What replaces a secret.
pub(super) const MASK: &str = "****";

/// A secret shorter than this is not masked in output: it would mask half of every text.
const SHORTEST_MASKED: usize = 4;

/// `text` without the secrets.
pub(super) fn masked(text: &str, secrets: &[String]) -> String {
    let mut out = Vec::new();
    let mut stream = MaskedStream::new(secrets);
    stream.push(text.as_bytes(), &mut |bytes| out.extend_from_slice(bytes));
    stream.end(&mut |bytes| out.extend_from_slice(bytes));
    String::from_utf8_lossy(&out).into_owned()
}

/// One stream of output. What may be the beginning of a secret is held back until more has come.
pub(super) struct MaskedStream<'s> {
    /// The longest first: one may begin with another.
    secrets: Vec<&'s [u8]>,
    held: Vec<u8>,
}

impl<'s> MaskedStream<'s> {
    pub(super) fn new(secrets: &'s [String]) -> Self {
        let long = secrets.iter().filter(|secret| secret.len() >= SHORTEST_MASKED);
        let mut secrets: Vec<&[u8]> = long.map(String::as_bytes).collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self { secrets, held: Vec::new() }
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
            let is_begun = |secret: &&&[u8]| secret.len() > rest.len() && secret.starts_with(rest);
            if !all && self.secrets.iter().any(|secret| is_begun(&secret)) {
                break;
            }
            match self.secrets.iter().find(|secret| rest.starts_with(secret)) {
                Some(secret) => {
                    out.extend_from_slice(MASK.as_bytes());
                    at += secret.len();
                }
                None => {
                    out.push(*first);
                    at += 1;
                }
            }
        }
        self.held.drain(..at);
        if !out.is_empty() {
            sink(&out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(secrets: &[&str], pieces: &[&str]) -> String {
        let secrets: Vec<String> = secrets.iter().map(|&secret| secret.to_owned()).collect();
        let mut out = Vec::new();
        let mut stream = MaskedStream::new(&secrets);
        for piece in pieces {
            stream.push(piece.as_bytes(), &mut |bytes| out.extend_from_slice(bytes));
        }
        stream.end(&mut |bytes| out.extend_from_slice(bytes));
        String::from_utf8(out).unwrap()
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
        assert_eq!(masked("hunter2", &["hunter2".to_owned()]), MASK);
    }

    #[test]
    fn what_is_held_back_comes_at_the_end() {
        assert_eq!(through(&["hunter2"], &["hunt"]), "hunt");
        assert_eq!(through(&[], &["hunt", "er2"]), "hunter2");
    }
}
