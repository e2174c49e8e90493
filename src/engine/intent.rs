//! What an attempt is for, with everything that a repeat must do alike. It is part of a fact, and stored before the attempt is
//! handed out.

use serde::{Deserialize, Serialize};

use super::Millis;
use crate::graph::StepIx;

/// What an attempt is for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "purpose", rename_all = "snake_case")]
pub enum Intent {
    /// Read the boot id that a reboot step will be compared with.
    ReadBootId,
    /// Do the step.
    Do {
        /// An earlier attempt may have done some of it.
        repeat: bool,
    },
    /// Compare-and-reboot.
    Reboot {
        /// B0: reboot only while the worker has this boot id.
        boot_id: String,
        /// Counts how often the step was entered again because the reboot did not happen; receipts
        /// of lower ones are void.
        generation: u32,
    },
    /// Wait until the worker is back.
    AwaitBoot {
        /// It must have another boot id than this; `None`: any boot will do.
        not: Option<String>,
        /// The reboot step that is waited for.
        reboot_step: Option<StepIx>,
        /// When that step's last attempt was issued.
        reboot_issued: Option<Millis>,
        /// The kernel that ran before that step, where it could be read.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kernel: Option<String>,
        /// The forced reset of the worker that was issued before; `None`: none was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        power_cycled: Option<PowerCycled>,
    },
    /// Order a forced reset of a worker that is not back in time. Issued at most once for a reboot step, and never
    /// again, whatever becomes of it.
    PowerCycle {
        /// B0 of the reboot that is waited for.
        boot_id: String,
    },
    /// Undo: remove this run's entries of the worker from `disabled.json`.
    UndoEnable,
    /// Undo: deploy the worker.
    UndoDeploy,
    /// Undo: start what a `stop` step had stopped.
    UndoStop,
    /// Undo: the command that the step names.
    UndoCommand,
}

/// A forced reset that was issued for a worker. It counts as made whatever is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PowerCycled {
    /// When it was issued.
    pub at: Millis,
    /// What is known of it.
    pub order: ResetOrdered,
}

/// What is known of an order to reset a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResetOrdered {
    /// Whether it was sent, and what came of it, nobody knows.
    Unknown,
    /// The BMC has taken it.
    Taken,
    /// It was not sent.
    NotSent,
}

impl Intent {
    /// Whether it belongs to a revert.
    pub fn is_undo(&self) -> bool {
        matches!(self, Self::UndoEnable | Self::UndoDeploy | Self::UndoStop | Self::UndoCommand)
    }
}
