//! Text for a terminal that is narrower than its lines. Knows columns, not what the text says.

use textwrap::{Options, WordSplitter, WrapAlgorithm};
use unicode_width::UnicodeWidthStr;

/// What marks a line that is copied into a shell: the terminal wraps it, so that it stays one line.
const COMMAND: &str = "maand ";
/// What follows stands further to the right than what it belongs to.
const HANGING: usize = 2;

/// Breaks lines of more than `columns` between words and indents what follows. Lines with a command in
/// them stay whole, and so do words that are too long.
pub fn wrapped(text: &str, columns: usize) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
        let indent = line.len() - line.trim_start_matches(' ').len();
        if line.width() <= columns || line.contains(COMMAND) || columns < 20 || indent > columns / 2 {
            out.push_str(line);
        } else {
            let (first, next) = (" ".repeat(indent), " ".repeat(indent + HANGING));
            let options = Options::new(columns)
                .initial_indent(&first)
                .subsequent_indent(&next)
                .break_words(false)
                .word_splitter(WordSplitter::NoHyphenation)
                .wrap_algorithm(WrapAlgorithm::FirstFit);
            out.push_str(&textwrap::fill(line.trim_start_matches(' '), options));
        }
        out.push_str(end);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_break_between_words_and_keep_their_indent() {
        let text = "short\n  held    never more workers down than allowed\n\nend";
        assert_eq!(wrapped(text, 30), "short\n  held    never more workers\n    down than allowed\n\nend");
        assert_eq!(wrapped("日本語 日本語 日本語 日本語", 21), "日本語 日本語 日本語\n  日本語");
    }

    #[test]
    fn commands_long_words_and_wide_terminals_are_left_alone() {
        let command = "  more: maand plan logs 20261123-0217-b706 --worker worker-1\n";
        assert_eq!(wrapped(command, 30), command);
        let word = "a".repeat(50);
        assert_eq!(wrapped(&word, 30), word);
        let line = "never more workers down than allowed";
        assert_eq!(wrapped(line, 80), line);
    }
}
