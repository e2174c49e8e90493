//! YAML with exact places: text in, a tree of spanned nodes out, within hard limits.
//!
//! Knows YAML 1.2 and nothing of plans. It works on the events of `granit-parser`, the parser that
//! serde-saphyr stands on and re-exports: going through serde would lose the places of keys and stop
//! at the first duplicate.

mod node;
mod reader;
mod scalar;
mod syntax;
mod text;

pub(super) use node::{Key, Node, Scalar, ScalarKind, Value, shorten};
pub(super) use reader::read;
pub(super) use scalar::resolve_plain;
pub(super) use syntax::in_braces;
pub use text::{MAX_BYTES, source_from_bytes};
