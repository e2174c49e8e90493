//! Cutting a stream of bytes into lines as they come.

/// A longer line is handed on in parts, so that output without line feeds needs no memory.
const LONGEST: usize = 16 * 1024;

/// What has come of the current line.
#[derive(Debug, Default)]
pub(super) struct Lines(Vec<u8>);

impl Lines {
    /// Takes more bytes, and hands on each line that is whole, without its end.
    pub(super) fn take(&mut self, mut bytes: &[u8], mut each: impl FnMut(&str)) {
        while let Some(at) = bytes.iter().position(|byte| *byte == b'\n') {
            self.0.extend_from_slice(&bytes[..at]);
            self.flush(&mut each);
            bytes = &bytes[at + 1..];
        }
        for part in bytes.chunks(LONGEST) {
            self.0.extend_from_slice(part);
            if self.0.len() >= LONGEST {
                self.flush(&mut each);
            }
        }
    }

    /// Hands on what is left, if anything is.
    pub(super) fn finish(&mut self, mut each: impl FnMut(&str)) {
        if !self.0.is_empty() {
            self.flush(&mut each);
        }
    }

    fn flush(&mut self, each: &mut impl FnMut(&str)) {
        let line = String::from_utf8_lossy(&self.0);
        each(line.trim_end_matches('\r'));
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
        for piece in [&b"a"[..], b"b\r\n\nc", "\u{e4}".as_bytes(), b"\nrest"] {
            lines.take(piece, |line| got.push(line.to_owned()));
        }
        lines.finish(|line| got.push(line.to_owned()));
        lines.finish(|_| panic!("nothing is left"));
        assert_eq!(got, ["ab", "", "cä", "rest"]);
    }

    #[test]
    fn a_line_without_end_is_handed_on_in_parts() {
        let (mut lines, mut total, mut longest) = (Lines::default(), 0, 0);
        for _ in 0..100 {
            lines.take(&[b'x'; 5000], |line| {
                total += line.len();
                longest = longest.max(line.len());
            });
        }
        lines.finish(|line| total += line.len());
        assert_eq!(total, 500_000);
        assert!(longest <= 2 * LONGEST);
    }
}
