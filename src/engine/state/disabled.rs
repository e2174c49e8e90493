//! This run's own entries of one worker in `disabled.json`.

/// What the run put there, or may have put there.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::engine) struct DisabledEntries {
    /// The worker itself (`None`) or jobs on it.
    own: Vec<Option<String>>,
    /// A disable was issued, and its outcome is not known.
    maybe: bool,
}

impl DisabledEntries {
    pub(in crate::engine) fn own(&self) -> &[Option<String>] {
        &self.own
    }

    /// Whether something of this run is left in the file, or may be.
    pub(in crate::engine) fn are_left(&self) -> bool {
        self.maybe || !self.own.is_empty()
    }

    pub(in crate::engine) fn issued(&mut self) {
        self.maybe = true;
    }

    pub(in crate::engine) fn seen(&mut self, own: &[Option<String>]) {
        self.maybe = false;
        for entry in own {
            if !self.own.contains(entry) {
                self.own.push(entry.clone());
            }
        }
    }

    pub(in crate::engine) fn removed(&mut self) {
        *self = Self::default();
    }
}
