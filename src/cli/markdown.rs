//! Documents for a comment at a pull request or for the summary of a CI job: Markdown in which foreign text is never
//! markup.
//!
//! What plans and workers say goes into HTML elements, with every character that means something in HTML or in Markdown
//! as a reference (`&#64;`), and always inside of `<code>` or `<pre>`: GitHub and GitLab make no mentions, no links and
//! no references to issues of what is in these. Every line of a document is part of an HTML block, where Markdown itself
//! is not looked at: a block begins with one of our tags, and no foreign text can end it, as none has a line feed
//! outside of `<pre>`, and there no line is empty.
//!
//! A document has a limit. Sections share it, and each says how much it leaves out.

use std::fmt::Write as _;

use crate::compare::{Line, line_diff};
use crate::plan::{counted, visible, visible_line};

/// Bytes of a document. GitHub takes 65,536 characters in a comment, GitLab 1,000,000; a CI job's summary may be larger
/// than both.
pub(super) const LIMIT: usize = 60_000;

/// What the words around the items of one section may take: its heading, its end, and how much is left out.
const FRAME: usize = 600;

/// Bytes of one text in a table or a sentence.
const INLINE: usize = 300;

/// Bytes of one block of lines.
const BLOCK: usize = 6_000;

/// Foreign text as what it says: no character of it means anything but itself.
fn escape(text: &str, shown: &mut String) {
    for c in text.chars() {
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | ' ' | '-' | '.' | ',' | '/' | '=' | '%' | '+' => {
                shown.push(c)
            }
            c if c.is_ascii() => {
                let _ = write!(shown, "&#{};", u32::from(c));
            }
            c => shown.push(c),
        }
    }
}

/// Foreign text in a sentence or in a cell, on one line.
pub(super) fn code(text: &str) -> String {
    let line = visible_line(text);
    let (cut, left) = within(&line, INLINE);
    let mut shown = "<code>".to_owned();
    escape(if cut.is_empty() { " " } else { cut }, &mut shown);
    shown += "</code>";
    if left > 0 {
        let _ = write!(shown, " (and {left} more bytes)");
    }
    shown
}

/// The beginning of a text, at most so many bytes, and the number of the others.
fn within(text: &str, most: usize) -> (&str, usize) {
    let end = (0..=most.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    (&text[..end], text.len() - end)
}

/// What a section is a list of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frame {
    /// Sentences.
    List,
    /// Rows of cells.
    Table,
    /// Blocks of lines, each with a title.
    Blocks,
}

/// A part of a document that can be folded.
pub(super) struct Section {
    title: String,
    open: bool,
    frame: Frame,
    /// What stands before the items.
    head: String,
    /// HTML; nothing foreign that is not escaped.
    items: Vec<String>,
}

impl Section {
    /// Sentences. Titles are our own words.
    pub(super) fn list(title: &str) -> Self {
        Self {
            title: title.to_owned(),
            open: false,
            frame: Frame::List,
            head: String::new(),
            items: Vec::new(),
        }
    }

    /// A table with these headings, which are our own words.
    pub(super) fn table(title: &str, headings: &[&str]) -> Self {
        let cells: String = headings.iter().map(|heading| format!("<th>{heading}</th>")).collect();
        Self { frame: Frame::Table, head: format!("<tr>{cells}</tr>\n"), ..Self::list(title) }
    }

    /// Texts of several lines.
    pub(super) fn blocks(title: &str) -> Self {
        Self { frame: Frame::Blocks, ..Self::list(title) }
    }

    /// Not folded.
    pub(super) fn opened(self) -> Self {
        Self { open: true, ..self }
    }

    /// Adds a sentence; what is foreign in it has gone through [`code`].
    pub(super) fn item(&mut self, html: &str) {
        self.items.push(format!("<li>{html}</li>\n"));
    }

    /// Adds a row; as [`Self::item`].
    pub(super) fn row(&mut self, cells: &[String]) {
        let cells: String = cells.iter().map(|cell| format!("<td>{cell}</td>")).collect();
        self.items.push(format!("<tr>{cells}</tr>\n"));
    }

    /// Adds lines, foreign as they are, below a title that is as in [`Self::item`].
    pub(super) fn block<'t>(
        &mut self,
        title: &str,
        lines: impl IntoIterator<Item = (&'static str, &'t str)>,
    ) {
        let mut shown = format!("<p>{title}</p>\n\n<pre>");
        let (start, mut left) = (shown.len(), 0);
        for (mark, line) in lines {
            if shown.len() - start > BLOCK {
                left += 1;
                continue;
            }
            let line = visible_line(line);
            let (cut, more) = within(&line, BLOCK / 2);
            shown.push('\n');
            escape(mark, &mut shown);
            if mark.is_empty() && cut.is_empty() {
                // An empty line would end the block for some readers of Markdown.
                shown += "&#32;";
            }
            escape(cut, &mut shown);
            if more > 0 {
                let _ = write!(shown, " (and {more} more bytes)");
            }
        }
        if left > 0 {
            let _ = write!(shown, "\n(and {})", counted(left, "more line"));
        }
        shown += "\n</pre>\n\n";
        self.items.push(shown);
    }

    /// Adds a text of several lines as it is.
    pub(super) fn text(&mut self, title: &str, text: &str) {
        let shown = visible(text.as_bytes());
        self.block(title, shown.lines().map(|line| ("", line)));
    }

    /// Adds what is not the same between two texts.
    pub(super) fn changed_text(&mut self, title: &str, old: &str, new: &str) {
        let (old, new) = (visible(old.as_bytes()), visible(new.as_bytes()));
        let lines = line_diff(&old, &new);
        let left_out = |line: &Line<'_>| match line {
            Line::LeftOut(lines) => format!("({})", counted(*lines, "line")),
            _ => String::new(),
        };
        let gaps: Vec<String> = lines.iter().map(left_out).collect();
        self.block(
            title,
            lines.iter().zip(&gaps).map(|(line, gap)| match line {
                Line::Same(line) => (" ", *line),
                Line::Old(line) => ("-", *line),
                Line::New(line) => ("+", *line),
                Line::LeftOut(_) => (" ", gap.as_str()),
            }),
        );
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Writes it with as many items as fit into `most` bytes.
    fn write(&self, most: usize, more: &str, document: &mut String) {
        let (open, close) = match self.frame {
            Frame::List => ("<ul>\n", "</ul>\n"),
            Frame::Table => ("<table>\n", "</table>\n"),
            Frame::Blocks => ("", ""),
        };
        let unfolded = if self.open { " open" } else { "" };
        let _ =
            write!(document, "<details{unfolded}><summary>{}</summary>\n\n{open}{}", self.title, self.head);
        let mut room = most.saturating_sub(self.head.len());
        let mut shown = 0;
        for item in &self.items {
            if item.len() > room {
                break;
            }
            room -= item.len();
            document.push_str(item);
            shown += 1;
        }
        document.push_str(close);
        let left = self.items.len() - shown;
        if left > 0 {
            let _ = writeln!(document, "<p>{left} more: {more}</p>");
        }
        document.push_str("\n</details>\n\n");
    }

    /// Bytes of all items.
    fn length(&self) -> usize {
        self.head.len() + self.items.iter().map(String::len).sum::<usize>()
    }
}

/// A document: what it begins with, and sections in the order of their weight. `more` says where to see what is left
/// out; both are HTML in which nothing foreign is unescaped.
pub(super) fn document(head: &str, sections: &[Section], more: &str) -> String {
    let mut text = format!("{head}\n");
    let sections: Vec<&Section> = sections.iter().filter(|section| !section.is_empty()).collect();
    let mut room = LIMIT.saturating_sub(text.len() + sections.len() * FRAME);
    for (at, section) in sections.iter().enumerate() {
        // What one does not need is for the others.
        let most = section.length().min(room / (sections.len() - at));
        section.write(most, more, &mut text);
        room -= most;
    }
    text
}

#[cfg(test)]
pub(in crate::cli) mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const TAGS: [&str; 15] = [
        "h3",
        "p",
        "ul",
        "li",
        "b",
        "br",
        "code",
        "pre",
        "details",
        "summary",
        "table",
        "tr",
        "th",
        "td",
        "details open",
    ];

    /// The tags in their order; panics at anything that could be markup and is none of them.
    pub(in crate::cli) fn skeleton(document: &str) -> Vec<String> {
        for block in
            document.split("\n\n").map(|block| block.trim_matches('\n')).filter(|block| !block.is_empty())
        {
            assert!(block.starts_with('<'), "a block that Markdown looks at: {block:?}");
        }
        let mut tags = Vec::new();
        let mut parts = document.split('<');
        let mut text = parts.next().unwrap().to_owned();
        for part in parts {
            let (tag, after) = part.split_once('>').unwrap_or_else(|| panic!("a bare `<`: {part:?}"));
            assert!(TAGS.contains(&tag.trim_start_matches('/')), "<{tag}>");
            tags.push(tag.to_owned());
            text += after;
        }
        for c in ['@', '`', '[', ']', '|', '*', '\\', '>', '"', '\r'] {
            assert!(!text.contains(c), "{c:?} in {text:?}");
        }
        for reference in text.split('&').skip(1) {
            let number = reference.split_once(';').and_then(|(number, _)| number.strip_prefix('#'));
            assert!(number.is_some_and(|number| number.parse::<u32>().is_ok()), "&{reference}");
        }
        assert_eq!(text.replace("&#", "").matches('#').count(), 0, "{text:?}");
        tags
    }

    /// What a browser shows.
    fn decoded(html: &str) -> String {
        let mut parts = html.split("&#");
        let mut text = parts.next().unwrap().to_owned();
        for part in parts {
            let (number, after) = part.split_once(';').unwrap();
            text.push(char::from_u32(number.parse().unwrap()).unwrap());
            text += after;
        }
        text
    }

    /// Everything that a document can have, with this text in every place.
    fn everything(text: &str) -> String {
        let mut list = Section::list("List");
        list.item(&format!("a {} b", code(text)));
        let mut table = Section::table("Table", &["a", "b"]).opened();
        table.row(&[code(text), code(text)]);
        let mut blocks = Section::blocks("Blocks");
        blocks.text(&code(text), text);
        blocks.changed_text(&code(text), text, &format!("{text}\n{text}\nx\n\ny"));
        document(&format!("<h3>Head {}</h3>\n", code(text)), &[list, table, blocks], "elsewhere")
    }

    #[test]
    fn foreign_text_is_never_markup() {
        let plain = skeleton(&everything("x"));
        assert!(plain.len() > 40, "{plain:?}");
        for text in [
            "",
            "@team",
            "a@b.example",
            "<script>alert(1)</script>",
            "</code></pre></details>",
            "`` ` ```",
            "```\n@team",
            "[x](http://evil.example)",
            "![x](http://evil.example/x.png)",
            "www.evil.example",
            "https://evil.example",
            "a|b",
            "\n\n# heading\n\n- item",
            "#1 GH-1 !1 &amp; &lt; &#60; &#x3c;",
            "\r\n\r\n<b>",
            "\u{202e}\u{200b}@team",
            "</pre\n>\n\n<img src=x>",
            "<!-- -->",
            "$x$ :smile: ~~x~~ **x** __x__",
        ] {
            assert_eq!(skeleton(&everything(text)), plain, "{text:?}");
        }
        assert_eq!(code("a@b<c"), "<code>a&#64;b&#60;c</code>");
    }

    proptest! {
        #[test]
        fn no_text_is_markup(text in "(\\PC|[<>&@`|\\[\\]()!#*_~\n\r \\t-])*") {
            prop_assert_eq!(skeleton(&everything(&text)), skeleton(&everything("x")));
            let shown = code(&text);
            let inner = shown.strip_prefix("<code>").unwrap().split("</code>").next().unwrap();
            let line = visible_line(&text);
            prop_assert!(line.starts_with(decoded(inner).trim_end()) || inner.trim().is_empty());
        }
    }

    #[test]
    fn a_document_is_never_longer_than_a_comment_may_be_and_says_what_is_left_out() {
        let mut sections = Vec::new();
        for kind in 0..8 {
            let mut section = match kind % 3 {
                0 => Section::list("List"),
                1 => Section::table("Table", &["a"]),
                _ => Section::blocks("Blocks"),
            };
            for at in 0..400 {
                let text = "@".repeat(at % 700);
                match kind % 3 {
                    0 => section.item(&code(&text)),
                    1 => section.row(&[code(&text)]),
                    _ => section.text("t", &format!("{text}\n").repeat(at % 30)),
                }
            }
            sections.push(section);
        }
        let mut small = Section::list("Small");
        small.item("the last one");
        sections.push(small);
        let text = document("<h3>x</h3>\n", &sections, "elsewhere");
        assert!(text.len() <= LIMIT && text.len() > LIMIT / 2, "{}", text.len());
        assert_eq!(text.matches(" more: elsewhere").count(), 8);
        assert!(text.contains("the last one"), "what comes last has its share");
        let tags: BTreeSet<_> = skeleton(&text).into_iter().collect();
        assert!(tags.contains("/details"));
    }
}
