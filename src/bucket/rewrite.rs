//! A JSON text in which some values are others: what is not touched, its order and its formatting stay byte for byte.

use std::ops::Range;

use super::json::{Json, Member, Node, quoted};

/// The members of an object; none of anything else.
pub(super) fn members(node: Option<&Node>) -> &[Member] {
    match node.map(|node| &node.value) {
        Some(Json::Object(members)) => members,
        _ => &[],
    }
}

/// What is in a list; nothing of anything else.
pub(super) fn items(node: Option<&Node>) -> &[Node] {
    match node.map(|node| &node.value) {
        Some(Json::Array(items)) => items,
        _ => &[],
    }
}

/// The value of a key of an object.
pub(super) fn get<'n>(node: Option<&'n Node>, key: &str) -> Option<&'n Node> {
    members(node).iter().find(|member| &*member.key == key).map(|member| &member.value)
}

/// A text that was read, and from which others are made.
pub(super) struct Rewrite<'t> {
    pub(super) text: &'t str,
    /// The outermost value.
    pub(super) root: &'t Node,
}

impl Rewrite<'_> {
    /// The whole text with another outermost value.
    pub(super) fn with_root(&self, root: &str) -> String {
        format!("{}{root}{}", &self.text[..self.root.span.start], &self.text[self.root.span.end..])
    }

    /// An object with the values of some keys replaced, or (`None`) removed; new keys at its end.
    pub(super) fn object(&self, node: &Node, mut wishes: Vec<(&str, Option<String>)>) -> String {
        let all = members(Some(node));
        let mut spans = Vec::new();
        let mut keep = Vec::new();
        for member in all {
            spans.push(member.key_span.start..member.value.span.end);
            let wish = wishes.iter().position(|(key, _)| *key == &*member.key).map(|at| wishes.remove(at).1);
            keep.push(match wish {
                None => Some(None),
                Some(None) => None,
                Some(Some(value)) => {
                    let key = &self.text[member.key_span.start..member.value.span.start];
                    Some(Some(format!("{key}{value}")))
                }
            });
        }
        let added = wishes
            .into_iter()
            .filter_map(|(key, value)| Some(format!("{}: {}", quoted(key), value?)))
            .collect();
        self.rebuild(&node.span, &spans, keep, added)
    }

    /// A list or object again: each child as it is (`Some(None)`), replaced, or (`None`) left out, each
    /// with the white space that stood before it, and further children in the manner of the others.
    pub(super) fn rebuild(
        &self,
        span: &Range<usize>,
        children: &[Range<usize>],
        keep: Vec<Option<Option<String>>>,
        added: Vec<String>,
    ) -> String {
        let (open, close) = (span.start + 1, span.end - 1);
        let mut leads = Vec::new();
        let mut end = open;
        for child in children {
            leads.push(self.text[end..child.start].replacen(',', "", 1));
            end = child.end;
        }
        let outermost = span == &self.root.span;
        let (first, tail) = match leads.first() {
            Some(first) => (first.clone(), &self.text[end..close]),
            None if outermost => ("\n  ".to_owned(), "\n"),
            None => (String::new(), ""),
        };
        // How a further child is set off: as the second is, else as the first on its own line, else
        // by a space.
        let next = match leads.get(1) {
            Some(second) => second.clone(),
            None if first.contains('\n') => first.clone(),
            None => " ".to_owned(),
        };
        let mut out = String::from(&self.text[span.start..open]);
        let mut count = 0;
        let mut push = |lead: &str, child: &str| {
            if count > 0 {
                out.push(',');
            }
            out.push_str(if count == 0 { &first } else { lead });
            out.push_str(child);
            count += 1;
        };
        for (at, kept) in keep.into_iter().enumerate() {
            match kept {
                Some(Some(text)) => push(&leads[at], &text),
                Some(None) => push(&leads[at], &self.text[children[at].clone()]),
                None => {}
            }
        }
        added.iter().for_each(|child| push(&next, child));
        if count > 0 {
            out.push_str(tail);
        }
        out.push_str(&self.text[close..span.end]);
        out
    }
}
