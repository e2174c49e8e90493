//! Builds the tree from parser events and keeps the limits: depth, nodes, one document, no aliases.

use std::collections::HashMap;
use std::ops::Range;

use serde_saphyr::granit_parser::{ErrorKind, Event, Parser, ScalarStyle, Span, StrInput, Tag, options};

use super::super::{Problem, Problems, Source, code};
use super::node::{Key, Node, Scalar, ScalarKind, Value, shorten};
use super::scalar::resolve_plain;
use super::{syntax, text};

/// Maps and lists inside of each other; a plan that uses everything needs 6.
const MAX_DEPTH: usize = 32;
/// Keys, scalars, lists and maps together.
const MAX_NODES: usize = 10_000;

/// Reads the one document of `source`; problems that do not end the reading go to `problems`.
///
/// `None`: there is no tree, and `problems` says why.
pub(crate) fn read(source: &Source, problems: &mut Problems) -> Option<Node> {
    if let Err(problem) = text::check(source) {
        problems.push(problem);
        return None;
    }
    // The parser's own limits lie a little above ours, so that ours speak, with the right place.
    let limits = options! {
        emit_comments: false,
        flow_nesting_limit: MAX_DEPTH + 8,
        block_nesting_limit: MAX_DEPTH + 8,
    };
    let parser = Parser::new_from_str_with_options(source.text(), limits);
    let mut reader = Reader { source, parser, nodes: 0, problems };
    match reader.document() {
        Ok(node) => Some(node),
        Err(problem) => {
            problems.push(*problem);
            None
        }
    }
}

/// Ends the reading.
type Stop = Box<Problem>;

struct Reader<'s, 'p> {
    source: &'s Source,
    parser: Parser<'s, StrInput<'s>>,
    nodes: usize,
    problems: &'p mut Problems,
}

impl<'s> Reader<'s, '_> {
    fn next(&mut self) -> Result<(Event<'s>, Span), Stop> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) if matches!(error.kind(), ErrorKind::RecursionLimitExceeded) => {
                let at = error.marker().byte_offset().unwrap_or_default();
                Err(self.too_deep(at..at + 1))
            }
            Some(Err(error)) => Err(Box::new(syntax::problem(self.source, &error))),
            None => {
                let end = self.source.text().len();
                Err(Box::new(self.error(code::SYNTAX, "the YAML ends too early", end..end, "here")))
            }
        }
    }

    fn error(&self, code: &'static str, message: &str, span: Range<usize>, label: &str) -> Problem {
        Problem::error(code, message).at(self.source, span, label)
    }

    fn document(&mut self) -> Result<Node, Stop> {
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamStart | Event::DocumentStart(..) => {}
                Event::StreamEnd => return Err(self.empty()),
                event => {
                    let root = self.node(event, span, 1)?;
                    if root.is_null() {
                        return Err(self.empty());
                    }
                    return self.end().map(|()| root);
                }
            }
        }
    }

    fn empty(&self) -> Stop {
        Box::new(
            Problem::error(code::EMPTY, "the plan is empty")
                .in_file(self.source)
                .help("`maand plan new NAME` writes a commented plan to start from"),
        )
    }

    fn end(&mut self) -> Result<(), Stop> {
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(()),
                Event::DocumentStart(..) => {
                    let span = range(&span);
                    let span = span.start..span.end.max(span.start + 3);
                    return Err(Box::new(
                        self.error(
                            code::SEVERAL_DOCUMENTS,
                            "the file holds more than one YAML document",
                            span,
                            "a second document begins here",
                        )
                        .help("one file is one plan: put the second one into a file of its own"),
                    ));
                }
                _ => {}
            }
        }
    }

    fn count(&mut self, span: &Range<usize>) -> Result<(), Stop> {
        self.nodes += 1;
        if self.nodes <= MAX_NODES {
            return Ok(());
        }
        Err(Box::new(
            self.error(
                code::TOO_MANY_NODES,
                &format!("the plan has more than {MAX_NODES} keys, values, lists and maps"),
                span.clone(),
                "the limit is reached here",
            )
            .help(
                "select workers by labels, tags or jobs instead of listing them; put long scripts into files",
            ),
        ))
    }

    fn too_deep(&self, span: Range<usize>) -> Stop {
        let message = format!("lists and maps are nested more than {MAX_DEPTH} deep");
        Box::new(
            self.error(code::TOO_DEEP, &message, span, "here")
                .help("no plan needs more than a handful of levels: look for a bracket too many"),
        )
    }

    fn node(&mut self, event: Event<'s>, span: Span, depth: usize) -> Result<Node, Stop> {
        let place = self.place(&range(&span));
        self.count(&place)?;
        match event {
            Event::Scalar(text, style, _, tag) => {
                let kind = self.scalar_kind(&text, style, tag.as_deref(), &span);
                let value = match kind {
                    Some(kind) => Value::Scalar(Scalar { text: text.into_owned(), kind }),
                    None => Value::Unusable,
                };
                Ok(Node { span: place, value })
            }
            Event::SequenceStart(_, _, tag) => {
                self.collection_tag(tag.as_deref(), "seq", &span);
                self.sequence(place, depth)
            }
            Event::MappingStart(_, _, tag) => {
                self.collection_tag(tag.as_deref(), "map", &span);
                self.mapping(place, depth)
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                let problem = self
                    .error(
                        code::ALIAS,
                        "a plan has no aliases",
                        place.clone(),
                        "this stands for another place",
                    )
                    .help("write the value out, or define it once below `vars:` and use `${name}`");
                self.problems.push(problem);
                Ok(Node { span: place, value: Value::Unusable })
            }
            _ => Err(Box::new(self.error(
                code::SYNTAX,
                "YAML has a value here that no plan has",
                place,
                "here",
            ))),
        }
    }

    fn sequence(&mut self, start: Range<usize>, depth: usize) -> Result<Node, Stop> {
        if depth > MAX_DEPTH {
            return Err(self.too_deep(start));
        }
        let mut items: Vec<Node> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                let end = self.collection_end(&span, items.last().map(|item| item.span.end), &start);
                return Ok(Node { span: start.start..end, value: Value::List(items) });
            }
            items.push(self.node(event, span, depth + 1)?);
        }
    }

    fn mapping(&mut self, start: Range<usize>, depth: usize) -> Result<Node, Stop> {
        if depth > MAX_DEPTH {
            return Err(self.too_deep(start));
        }
        let mut entries: Vec<(Key, Node)> = Vec::new();
        let mut seen: HashMap<String, Range<usize>> = HashMap::new();
        let mut last_end = None;
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                let end = self.collection_end(&span, last_end, &start);
                return Ok(Node { span: start.start..end, value: Value::Map(entries) });
            }
            let plain = matches!(event, Event::Scalar(_, ScalarStyle::Plain, _, None));
            let key = self.node(event, span, depth + 1)?;
            let (event, span) = self.next()?;
            let empty = range(&span).is_empty();
            let mut value = self.node(event, span, depth + 1)?;
            if empty && value.is_null() {
                value.span = key.span.clone();
            }
            last_end = Some(value.span.end.max(key.span.end));
            if let Some(key) = self.key(key, plain, &mut seen) {
                entries.push((key, value));
            }
        }
    }

    /// The key, unless it is reported as one that cannot be.
    fn key(&mut self, node: Node, plain: bool, seen: &mut HashMap<String, Range<usize>>) -> Option<Key> {
        let span = node.span;
        let problem = match node.value {
            Value::Unusable => return None,
            Value::Scalar(scalar) if plain && scalar.text == "<<" => self
                .error(code::MERGE_KEY, "a plan has no merge keys", span, "`<<` is not part of the language")
                .help("write the keys out; what several steps share can go below `defaults:` or `vars:`"),
            Value::Scalar(scalar) if scalar.kind != ScalarKind::Null => match seen.get(&scalar.text) {
                None => {
                    seen.insert(scalar.text.clone(), span.clone());
                    return Some(Key { text: scalar.text, span });
                }
                Some(first) => {
                    let name = shorten(&scalar.text);
                    self.error(
                        code::DUPLICATE_KEY,
                        &format!("the key `{name}` is there twice"),
                        span,
                        "again here",
                    )
                    .at(self.source, first.clone(), "first here")
                    .help("keep one of them; YAML does not say which would win")
                }
            },
            _ => self
                .error(code::KEY_NOT_TEXT, "a key must be text", span, "this cannot be a key")
                .help("write `key: value`; a text that begins with [, {, ? or ~ needs quotes"),
        };
        self.problems.push(problem);
        None
    }

    /// Where a list or map ends: flow ones at their bracket, block ones after their last entry.
    fn collection_end(&self, end: &Span, last: Option<usize>, start: &Range<usize>) -> usize {
        let end = range(end);
        let bracket = self.source.text().get(end.clone()).is_some_and(|text| text == "]" || text == "}");
        match last {
            _ if bracket => end.end,
            Some(last) => last.max(start.end),
            None => end.end.max(start.end),
        }
    }

    fn scalar_kind(
        &mut self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        span: &Span,
    ) -> Option<ScalarKind> {
        let by_style = match style {
            ScalarStyle::Plain => resolve_plain(text),
            _ => ScalarKind::Text,
        };
        let Some(tag) = tag else { return Some(by_style) };
        let kind = match (tag.core_suffix(), resolve_plain(text)) {
            (Some("str"), _) => ScalarKind::Text,
            (Some("null"), kind @ ScalarKind::Null)
            | (Some("bool"), kind @ ScalarKind::Bool(_))
            | (Some("int"), kind @ (ScalarKind::Integer(_) | ScalarKind::Huge))
            | (Some("float"), kind @ (ScalarKind::Float(_) | ScalarKind::Integer(_) | ScalarKind::Huge)) => {
                kind
            }
            _ if tag.original() == "!" => ScalarKind::Text,
            _ => {
                self.bad_tag(tag, span, &format!("`{}` does not fit it", shorten(text)));
                return None;
            }
        };
        Some(kind)
    }

    fn collection_tag(&mut self, tag: Option<&Tag>, expected: &str, span: &Span) {
        match tag {
            Some(tag) if tag.core_suffix() != Some(expected) && tag.original() != "!" => {
                self.bad_tag(
                    tag,
                    span,
                    &format!("a {} follows", if expected == "seq" { "list" } else { "map" }),
                );
            }
            _ => {}
        }
    }

    fn bad_tag(&mut self, tag: &Tag, span: &Span, why: &str) {
        let place = span.tag_span().as_ref().map_or_else(|| range(span), range);
        let name = shorten(&tag.original());
        let known = ["str", "int", "float", "bool", "null", "seq", "map"];
        let label = if tag.core_suffix().is_some_and(|suffix| known.contains(&suffix)) {
            why
        } else {
            "plans know no such type"
        };
        let problem = self
            .error(code::UNKNOWN_TAG, &format!("the YAML tag `{name}` cannot stand here"), place, label)
            .help("leave the tag out; a text that begins with `!` needs quotes");
        self.problems.push(problem);
    }

    /// The bytes of a node without the space after it; of nothing: the end of what stands before.
    fn place(&self, span: &Range<usize>) -> Range<usize> {
        let text = self.source.text();
        let span = span.start.min(text.len())..span.end.min(text.len());
        match text.get(span.clone()) {
            Some(inside) if !inside.trim_end().is_empty() => span.start..span.start + inside.trim_end().len(),
            _ => {
                let before = text.get(..span.start).unwrap_or_default().trim_end();
                let last = before.chars().next_back().map_or(0, char::len_utf8);
                before.len() - last..before.len()
            }
        }
    }
}

fn range(span: &Span) -> Range<usize> {
    let range = span.byte_range().unwrap_or_default();
    range.start..range.end.max(range.start)
}
