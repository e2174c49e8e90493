//! What one login leaves for the next ones of this process.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::settings::AskPassphrase;

/// What is remembered of logins.
#[derive(Default)]
pub(super) struct Passphrases {
    /// Those that the operator has given, so that each is asked for once.
    given: Mutex<HashMap<PathBuf, Option<String>>>,
    /// After how many refused keys an address hung up.
    hung_up: Mutex<HashMap<String, usize>>,
}

impl Passphrases {
    /// Asks for it, unless that was done.
    pub(super) fn of(&self, key: &Path, ask: Option<&AskPassphrase>) -> Option<String> {
        // The lock is held while the operator types: one question, all threads wait for the one answer.
        let mut known = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(key.to_owned()).or_insert_with(|| ask.and_then(|ask| ask(key))).clone()
    }

    /// The one that was given already.
    pub(super) fn given(&self, key: &Path) -> Option<String> {
        let known = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(key).cloned().flatten()
    }

    /// Whether it has hung up after as many refused keys before: then it is not by chance.
    pub(super) fn hangs_up_again(&self, address: &str, after: usize) -> bool {
        let mut known = self.hung_up.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(address.to_owned(), after) == Some(after)
    }
}
