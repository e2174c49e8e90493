//! Hashes of what a bucket says: SHA-256 over canonical JSON, in lower-case hex.

use super::fleet::Fleet;
use crate::os::hash::sha256;

impl Fleet {
    /// The snapshot's hash. The same files in any formatting and order of keys have the same hash.
    pub fn content_hash(&self) -> String {
        // All maps of a `Fleet` are sorted and its numbers finite: its JSON is canonical.
        match serde_json::to_vec(self) {
            Ok(json) => sha256(json),
            Err(error) => unreachable!("a fleet always has a JSON form: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bucket::Disabled;

    #[test]
    fn the_hash_is_of_the_content() {
        let mut fleet = Fleet {
            bucket_id: "b".into(),
            workers: Vec::new(),
            jobs: Vec::new(),
            disabled: Disabled::default(),
            synthetic: false,
        };
        let all = fleet.content_hash();
        assert_eq!((all.len(), &all), (64, &fleet.clone().content_hash()));
        fleet.disabled.workers.insert("h".into());
        assert_ne!(fleet.content_hash(), all);
    }
}
