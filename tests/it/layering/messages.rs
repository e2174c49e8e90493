//! What a message must not show: what is meant for debugging (`{:?}`). Read with `syn`, as the rest of this test.

use syn::buffer::{Cursor, TokenBuffer};
use syn::visit::{self, Visit};

use super::syntax::{attributes, is_of_tests};

/// Their text is for developers: it ends the program, or goes to its log.
const FOR_DEVELOPERS: &[&str] = &[
    "assert",
    "assert_eq",
    "assert_ne",
    "debug",
    "debug_assert",
    "debug_assert_eq",
    "error",
    "info",
    "panic",
    "trace",
    "unreachable",
    "warn",
];

/// Places in which it is no message.
const ELSEWHERE: &[&str] = &[
    // What is hashed is shown to nobody.
    "src/graph/hash.rs",
    // A secret as a Rust program would print it.
    "src/runner/mask.rs",
    // Tells developers of a run that broke a rule.
    "src/sim/",
];

/// Whether `file` may format for debugging.
pub(super) fn is_elsewhere(file: &str) -> bool {
    ELSEWHERE.iter().any(|place| file.starts_with(place))
}

/// The format strings of a file, tests left out, that show Rust's debug output.
pub(super) fn debug_formats(source: &str) -> Vec<String> {
    let mut formats = Formats::default();
    formats.visit_file(&syn::parse_file(source).expect("a source file that compiles"));
    formats.0
}

#[derive(Default)]
struct Formats(Vec<String>);

impl Formats {
    fn look(&mut self, mut cursor: Cursor<'_>) {
        while !cursor.eof() {
            if let Some((literal, next)) = cursor.literal() {
                let text = literal.to_string();
                // `{name:?}`, `{0:#?}`, `{:>5?}`: the last sign of a placeholder.
                let is_debug = |spec: &str| {
                    spec.split_once(':').is_some_and(|(_, how)| how.ends_with('?') && !how.contains(' '))
                };
                let mut specs = text.split('{').skip(1).filter_map(|rest| rest.split_once('}'));
                if text.contains('"') && specs.any(|(spec, _)| is_debug(spec)) {
                    self.0.push(text);
                }
                cursor = next;
            } else if let Some((ident, next)) = cursor.ident() {
                // `panic!(..)` inside of another macro.
                let called = next.punct().filter(|(punct, _)| punct.as_char() == '!');
                let group = called.and_then(|(_, next)| next.any_group());
                cursor = match group.filter(|_| FOR_DEVELOPERS.contains(&ident.to_string().as_str())) {
                    Some((_, _, _, after)) => after,
                    None => next,
                };
            } else if let Some((inner, _, _, next)) = cursor.any_group() {
                self.look(inner);
                cursor = next;
            } else if let Some((_, next)) = cursor.token_tree() {
                cursor = next;
            }
        }
    }
}

impl<'ast> Visit<'ast> for Formats {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_of_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_of_tests(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        let name = called.path.segments.last().map(|segment| segment.ident.to_string());
        if !name.is_some_and(|name| FOR_DEVELOPERS.contains(&name.as_str())) {
            self.look(TokenBuffer::new2(called.tokens.clone()).begin());
        }
    }

    /// The text of an error: `#[error("..")]`.
    fn visit_meta_list(&mut self, list: &'ast syn::MetaList) {
        self.look(TokenBuffer::new2(list.tokens.clone()).begin());
    }
}
