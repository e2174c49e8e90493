//! The bytes of a reviewed plan file: two lines that name the format and the hash of all that follows, then JSON.

use serde::de::DeserializeOwned;

use super::layout;
use super::{Document, Unreadable};
use crate::os::hash::sha256;

/// The format of the files that this program writes.
pub const SCHEMA: &str = "maand/reviewed/v1";

/// A file has at most this many bytes: a fleet of 100,000 workers needs half.
pub const MAX_BYTES: u64 = 64 << 20;

/// What all formats of reviewed plan files begin with.
const FAMILY: &str = "maand/reviewed/";

/// What a document says about itself stands within so many bytes.
const HEAD: usize = 256;

/// What stands before the hash.
fn before_hash() -> String {
    format!("{{\n \"schema\": \"{SCHEMA}\",\n \"sha256\": \"")
}

/// What stands behind the hash; what follows is what the hash is of.
const AFTER_HASH: &str = "\",\n";

/// What every file ends with.
const END: &[u8] = b"\n}\n";

/// The kind that a JSON document names in its `schema`, if it begins with one: `maand/plan-show/v1`.
pub fn document_kind(bytes: &[u8]) -> Option<String> {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(HEAD)]);
    let inside = head.trim_start_matches('\u{feff}').trim_start().strip_prefix('{')?.trim_start();
    let value = inside.strip_prefix("\"schema\"")?.trim_start().strip_prefix(':')?.trim_start();
    let (kind, _) = value.strip_prefix('"')?.split_once('"')?;
    kind.starts_with("maand/").then(|| kind.to_owned())
}

/// Whether this is a reviewed plan file, of whatever version and in whatever state. Its first bytes are enough.
pub fn is_reviewed(bytes: &[u8]) -> bool {
    document_kind(bytes).is_some_and(|kind| kind.starts_with(FAMILY))
}

/// The whole file, and the hash that it names.
pub(super) fn encode(document: &Document) -> Result<(Vec<u8>, String), serde_json::Error> {
    let json = layout::write(document)?;
    // Without its first line, which is the one of the bracket.
    let content = json.strip_prefix(b"{\n").unwrap_or(&json);
    let hash = sha256(content);
    Ok((with_hash(content, &hash), hash))
}

/// The file with this content.
pub(super) fn with_hash(content: &[u8], hash: &str) -> Vec<u8> {
    [before_hash().as_bytes(), hash.as_bytes(), AFTER_HASH.as_bytes(), content].concat()
}

/// The content of a file, and the hash that it names.
pub(super) fn decode<T: DeserializeOwned>(mut bytes: Vec<u8>) -> Result<(T, String), Unreadable> {
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Unreadable::TooLarge);
    }
    match document_kind(&bytes) {
        Some(kind) if kind == SCHEMA => {}
        Some(kind) if kind.starts_with(FAMILY) => return Err(Unreadable::Newer(kind)),
        Some(kind) => return Err(Unreadable::OtherKind(kind)),
        None => return Err(Unreadable::Altered),
    }
    if !bytes.ends_with(END) {
        return Err(Unreadable::Cut);
    }
    let before = before_hash();
    let named = bytes.strip_prefix(before.as_bytes()).and_then(|rest| rest.get(..64)).map(<[u8]>::to_vec);
    let hash = named.and_then(|named| String::from_utf8(named).ok()).ok_or(Unreadable::Altered)?;
    let begin = before.len() + hash.len() + AFTER_HASH.len();
    let content = bytes.get(begin..).ok_or(Unreadable::Altered)?;
    if bytes.get(begin - AFTER_HASH.len()..begin) != Some(AFTER_HASH.as_bytes()) || sha256(content) != hash {
        return Err(Unreadable::Altered);
    }
    // In the place of the newline before it: the content is an object again, and nothing is copied.
    bytes[begin - 1] = b'{';
    let content = serde_json::from_slice(&bytes[begin - 1..]);
    content.map(|content| (content, hash)).map_err(|error| Unreadable::Content(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_known_by_what_they_begin_with() {
        assert!(is_reviewed(b"{\n \"schema\": \"maand/reviewed/v1\",\n"));
        assert!(is_reviewed(b"\xef\xbb\xbf  {\"schema\":\"maand/reviewed/v7\""));
        assert_eq!(
            document_kind(b"{\"schema\": \"maand/plan-show/v1\"}").as_deref(),
            Some("maand/plan-show/v1")
        );
        for none in ["", "{", "version: 1\n", "{version: 1, schema: x}", "{\"schema\": \"else/v1\"}", "\0\0"]
        {
            assert_eq!(document_kind(none.as_bytes()), None, "{none}");
        }
    }
}
