//! A reboot step: compare and swap on the boot id B0, which is read once.

use crate::engine::{Evidence, Millis, PowerCycled, ResetOrdered};

/// What is known of a reboot.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::engine) struct RebootState {
    /// B0.
    boot_id: Option<String>,
    /// The kernel of that boot.
    kernel: Option<String>,
    /// How often the step was entered again because nothing had happened: receipts of lower ones are void.
    generation: u32,
    /// How often it was issued, and when last.
    issues: u32,
    issued_at: Option<Millis>,
    /// The forced reset that was issued because nobody came back. Never taken back.
    power_cycled: Option<PowerCycled>,
    seen: RebootSeen,
}

/// What was seen of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::engine) enum RebootSeen {
    /// Nothing yet.
    #[default]
    Nothing,
    /// `unless` said that none is needed.
    NotNeeded,
    /// The worker went away.
    Departed,
    /// Another boot id than B0.
    Verified,
}

impl RebootState {
    /// B0, once it was read.
    pub(in crate::engine) fn boot_id(&self) -> Option<&str> {
        self.boot_id.as_deref()
    }

    /// The kernel that ran in that boot, where it was read.
    pub(in crate::engine) fn kernel(&self) -> Option<&str> {
        self.kernel.as_deref()
    }

    pub(in crate::engine) fn generation(&self) -> u32 {
        self.generation
    }

    pub(in crate::engine) fn issued_at(&self) -> Option<Millis> {
        self.issued_at
    }

    /// The forced reset that was issued for it.
    pub(in crate::engine) fn power_cycled(&self) -> Option<PowerCycled> {
        self.power_cycled
    }

    pub(in crate::engine) fn power_cycle(&mut self, at: Millis) {
        self.power_cycled = Some(PowerCycled { at, order: ResetOrdered::Unknown });
    }

    /// What was heard of the order.
    pub(in crate::engine) fn reset_known(&mut self, order: ResetOrdered) {
        if let Some(known) = &mut self.power_cycled {
            known.order = order;
        }
    }

    /// It was sent before the attempt that is in flight.
    pub(in crate::engine) fn was_sent_before(&self) -> bool {
        self.issues > 1
    }

    pub(in crate::engine) fn is_needed(&self) -> bool {
        self.seen != RebootSeen::NotNeeded
    }

    /// Issued, and neither verified nor found needless: nothing but waiting may follow.
    pub(in crate::engine) fn is_unverified(&self) -> bool {
        self.issued_at.is_some() && !matches!(self.seen, RebootSeen::NotNeeded | RebootSeen::Verified)
    }

    pub(in crate::engine) fn issued(&mut self, at: Millis) {
        self.issued_at = Some(at);
        self.issues += 1;
    }

    /// What its own attempt saw; `true`: only B0, and the reboot itself is still to be sent.
    pub(in crate::engine) fn saw(&mut self, evidence: &Evidence) -> bool {
        match evidence {
            Evidence::BootId { boot_id, kernel } => {
                self.boot_id = Some(boot_id.clone());
                self.kernel.clone_from(kernel);
                return true;
            }
            Evidence::NotNeeded { .. } => self.seen = RebootSeen::NotNeeded,
            Evidence::Departed => self.seen = RebootSeen::Departed,
            Evidence::Rebooted { .. } => self.seen = RebootSeen::Verified,
            _ => {}
        }
        false
    }

    /// The worker is back with this boot id.
    pub(in crate::engine) fn is_back(&mut self, boot_id: &str) {
        if self.is_unverified() && self.boot_id() != Some(boot_id) {
            self.seen = RebootSeen::Verified;
        }
    }

    /// The receipt of the attempt before is void: else the worker would only say that it is pending.
    pub(in crate::engine) fn next_generation(&mut self) {
        self.generation += 1;
        self.seen = RebootSeen::Nothing;
    }
}
