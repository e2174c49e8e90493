//! Cutting a stream of bytes into whole lines as they come.

/// A longer line is handed on in parts, so that output without line feeds needs no memory.
const LONGEST: usize = 16 * 1024;

/// What has come of the current line.
#[derive(Debug, Default)]
pub(super) struct Lines(Vec<u8>);

impl Lines {
    /// Takes more bytes, and hands on all lines that are whole by now: one text, without the end of the
    /// last one.
    pub(super) fn take(&mut self, bytes: &[u8], mut each: impl FnMut(&str)) {
        match bytes.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => {
                self.0.extend_from_slice(&bytes[..end]);
                self.flush(&mut each);
                self.0.extend_from_slice(&bytes[end + 1..]);
            }
            None => self.0.extend_from_slice(bytes),
        }
        if self.0.len() >= LONGEST {
            self.flush(&mut each);
        }
    }

    /// Hands on what is left, if anything is.
    pub(super) fn finish(&mut self, mut each: impl FnMut(&str)) {
        if !self.0.is_empty() {
            self.flush(&mut each);
        }
    }

    fn flush(&mut self, each: &mut impl FnMut(&str)) {
        let text = String::from_utf8_lossy(&self.0);
        let text = text.trim_end_matches('\r');
        if text.contains("\r\n") {
            each(&text.replace("\r\n", "\n"))
        } else {
            each(text)
        }
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_whatever_the_pieces() {
        let mut got = Vec::new();
        let mut lines = Lines::default();
        for piece in [&b"a"[..], b"b\r\n\nc", "\u{e4}".as_bytes(), b"\nd\r\ne\nrest"] {
            lines.take(piece, |text| got.push(text.to_owned()));
        }
        lines.finish(|text| got.push(text.to_owned()));
        lines.finish(|_| panic!("nothing is left"));
        assert_eq!(got, ["ab\r\n".trim_end().to_owned() + "\n", "c\u{e4}\nd\ne".into(), "rest".into()]);
    }

    #[test]
    fn a_line_without_end_is_handed_on_in_parts() {
        let (mut lines, mut total, mut longest) = (Lines::default(), 0, 0);
        for _ in 0..100 {
            lines.take(&[b'x'; 5000], |text| {
                total += text.len();
                longest = longest.max(text.len());
            });
        }
        lines.finish(|text| total += text.len());
        assert_eq!(total, 500_000);
        assert!(longest <= 2 * LONGEST);
    }
}
