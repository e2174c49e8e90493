//! What fuzzers call of this engine.

use super::probe::{Parsed, parse, target};
use super::scripts::{Agreement, compare};
use super::state::WorkerJson;

/// What a job answers to a look at its health: more bytes never change what was said.
pub(crate) fn probe(bytes: &[u8]) {
    let whole = parse(bytes);
    if let Ok(Parsed::Status(status)) = &whole {
        assert!(*status <= 999 && !(102..200).contains(status) && *status != 100, "{status}");
        let said = format!("{status:03}");
        assert!(bytes.windows(3).any(|three| three == said.as_bytes()), "{said} was not said");
    }
    // As it comes, byte by byte: the first answer is the one that counts.
    let first =
        (0..=bytes.len()).map(|end| parse(&bytes[..end])).find(|parsed| !matches!(parsed, Ok(Parsed::More)));
    match (first, whole) {
        (Some(Ok(Parsed::Status(first))), Ok(Parsed::Status(whole))) => assert_eq!(first, whole),
        (Some(Err(_)), Err(_)) | (None, Ok(Parsed::More)) => {}
        _ => panic!("the answer depends on how it comes"),
    }
    let path = target(&String::from_utf8_lossy(bytes));
    assert!(path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic()), "{path}");
}

/// `worker.json` as a worker has it.
pub(crate) fn worker_json(text: &str) {
    let expected = WorkerJson {
        bucket_id: "b".to_owned(),
        worker_id: "w".to_owned(),
        worker_ip: "w1".to_owned(),
        labels: Vec::new(),
        update_seq: 3,
    };
    if compare(text, &expected) == Agreement::Same {
        let found = serde_json::from_str::<WorkerJson>(text).ok();
        assert!(found.is_some_and(|found| found.worker_id == "w" && found.update_seq == 3), "{text}");
    }
}
