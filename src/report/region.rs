//! Rows at the bottom of a terminal that are drawn again and again, while lines scroll by above: the control sequences
//! of one frame, as text. Nothing is padded, no row is wider than the terminal, and the cursor rests at the beginning
//! of the line below, so that a prompt or a message of another program stands on a line of its own.
//!
//! A terminal that gets narrower breaks the rows that are too long for it (as all of today do but xterm), and what has
//! to be erased is as many lines as they take then.

use unicode_width::UnicodeWidthStr;

use super::row::Row;

/// Nothing is shown between these two: one frame is one picture (a private mode that others ignore).
const BEGIN: &str = "\x1b[?2026h";
const END: &str = "\x1b[?2026l";

/// What stands on the terminal now.
#[derive(Debug, Default)]
pub(super) struct Region {
    /// The width of each row.
    drawn: Vec<usize>,
}

impl Region {
    /// What replaces the rows by `above`, which stays, and `rows` below it.
    pub(super) fn frame(&mut self, columns: usize, above: &[Row], rows: &[Row], color: bool) -> String {
        if above.is_empty() && rows.is_empty() && self.drawn.is_empty() {
            return String::new();
        }
        let mut text = format!("{BEGIN}{}", self.erase(columns));
        for row in above.iter().chain(rows) {
            text.push_str(&row.painted(color));
            // The terminal may be in a mode in which a line feed alone does not go back to the first column.
            text.push_str("\r\n");
        }
        self.drawn = rows.iter().map(|row| row.text.width()).collect();
        text.push_str(END);
        text
    }

    /// Whatever stands there is not ours any more.
    pub(super) fn forget(&mut self) {
        self.drawn.clear();
    }

    fn erase(&self, columns: usize) -> String {
        let lines: usize = self.drawn.iter().map(|width| width.div_ceil(columns.max(1)).max(1)).sum();
        match lines {
            0 => String::new(),
            up => format!("\r\x1b[{up}A\x1b[J"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::VirtualTerminal;
    use super::*;

    fn plain(texts: &[&str]) -> Vec<Row> {
        texts.iter().map(|text| Row::plain((*text).to_owned())).collect()
    }

    #[test]
    fn rows_are_replaced_and_lines_above_stay() {
        let (mut region, mut terminal) = (Region::default(), VirtualTerminal::new(20, 10));
        terminal.feed("$ maand\r\n");
        terminal.feed(&region.frame(20, &plain(&["begins"]), &plain(&["w1 reboots", "[..]"]), false));
        assert_eq!(terminal.text(), "$ maand\nbegins\nw1 reboots\n[..]");
        terminal.feed(&region.frame(20, &plain(&["w1 done"]), &plain(&["[##]"]), false));
        assert_eq!(terminal.text(), "$ maand\nbegins\nw1 done\n[##]");
        terminal.feed(&region.frame(20, &[], &[], false));
        assert_eq!(terminal.text(), "$ maand\nbegins\nw1 done");
        assert_eq!(region.frame(20, &[], &[], false), "", "nothing to say");
    }

    #[test]
    fn a_terminal_that_breaks_the_rows_when_it_gets_narrower_stays_clean() {
        let rows = ["w1  wait_for_ssh  down for 12 s", "[########] 1/3  about 2m left"];
        for (from, to) in [(40, 12), (40, 15), (12, 40), (40, 31), (40, 5)] {
            let (mut region, mut terminal) = (Region::default(), VirtualTerminal::new(from, 24));
            let cut: Vec<Row> =
                rows.iter().map(|row| Row::plain(row.chars().take(from - 1).collect())).collect();
            terminal.feed(&region.frame(from, &plain(&["above"]), &cut, false));
            let mut terminal = terminal.resized(to);
            let short = plain(&["x", "y"]);
            terminal.feed(&region.frame(to, &[], &short, false));
            let text = terminal.text().replace('\n', "");
            assert_eq!(text, "abovexy", "from {from} to {to}");
        }
    }

    #[test]
    fn many_lines_scroll_and_the_rows_stay_at_the_bottom() {
        let (mut region, mut terminal) = (Region::default(), VirtualTerminal::new(30, 5));
        for n in 0..50 {
            let above = plain(&[&format!("line {n}")]);
            terminal.feed(&region.frame(30, &above, &plain(&["row", "bar"]), false));
        }
        assert_eq!(terminal.screen(), "line 48\nline 49\nrow\nbar");
        let all = terminal.text();
        assert_eq!(all.lines().filter(|line| *line == "bar").count(), 1, "{all}");
        assert!((0..50).all(|n| all.contains(&format!("line {n}\n"))), "{all}");
    }
}
