//! Text for a terminal that is narrower than its lines. Knows columns, not what the text says.

use textwrap::core::Word;
use textwrap::{Options, WordSeparator, WordSplitter, WrapAlgorithm};
use unicode_width::UnicodeWidthStr;

/// What marks text that is copied into a shell: the terminal wraps it, so that it stays one line.
const COMMAND: &str = "maand ";
/// What follows stands further to the right than what it belongs to.
const HANGING: usize = 2;

/// Breaks lines of more than `columns` between words and indents what follows. Words that are too long stay whole,
/// and so does what [`word_separator`] takes for one.
pub fn wrapped(text: &str, columns: usize) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
        let indent = line.len() - line.trim_start_matches(' ').len();
        if line.width() <= columns || columns < 20 || indent > columns / 2 {
            out.push_str(line);
        } else {
            let (first, next) = (" ".repeat(indent), " ".repeat(indent + HANGING));
            let options = Options::new(columns)
                .initial_indent(&first)
                .subsequent_indent(&next)
                .break_words(false)
                .word_separator(word_separator())
                .word_splitter(WordSplitter::NoHyphenation)
                .wrap_algorithm(WrapAlgorithm::FirstFit);
            out.push_str(&textwrap::fill(line.trim_start_matches(' '), options));
        }
        out.push_str(end);
    }
    out
}

/// Where lines may be broken: at blanks, and at no hyphen, for names have some (`deploy-2`). What stands in backticks
/// is one word, and so is a command from its name to the end of its line.
pub fn word_separator() -> WordSeparator {
    fn separated(line: &str) -> Box<dyn Iterator<Item = Word<'_>> + '_> {
        Box::new(words(line).into_iter())
    }
    WordSeparator::Custom(separated)
}

fn words(line: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let (mut start, mut after_blank, mut quoted) = (0, true, false);
    for (at, c) in line.char_indices() {
        if after_blank && c != ' ' {
            if at > 0 && !line[start..at].trim().is_empty() {
                words.push(Word::from(&line[start..at]));
                start = at;
            }
            let before = line[..at].trim_end();
            if line[at..].starts_with(COMMAND) && (before.is_empty() || before.ends_with(':')) {
                break;
            }
        }
        if c == '`' {
            // One that is never closed quotes nothing.
            quoted = !quoted && line[at + 1..].contains('`');
        }
        after_blank = c == ' ' && !quoted;
    }
    if start < line.len() {
        words.push(Word::from(&line[start..]));
    }
    words
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
        let command = "  maand plan logs 20261123-0217-b706 --worker worker-1\n";
        assert_eq!(wrapped(command, 30), command);
        let after_words = "  more: maand plan logs 20261123-0217-b706 --worker worker-1\n";
        let expected = "  more:\n    maand plan logs 20261123-0217-b706 --worker worker-1\n";
        assert_eq!(wrapped(after_words, 30), expected);
        let word = "a".repeat(50);
        assert_eq!(wrapped(&word, 30), word);
        let line = "never more workers down than allowed";
        assert_eq!(wrapped(line, 80), line);
    }

    #[test]
    fn names_with_a_hyphen_and_commands_in_quotes_are_never_broken() {
        for columns in 20..60 {
            let text = "then deploy-2 waits, and `maand plan abort R` ends it; a ` alone quotes nothing";
            let lines = wrapped(text, columns);
            assert!(
                lines.contains("deploy-2") && lines.contains("`maand plan abort R`"),
                "{columns}: {lines}"
            );
            assert!(lines.lines().all(|line| line.width() <= columns.max(22)), "{columns}: {lines}");
            assert_eq!(lines.split_whitespace().collect::<Vec<_>>().join(" "), text, "{columns}");
        }
    }
}
