//! Which kernel a worker runs, which it could, and whether it needs a reboot: the script that asks, its answer, and
//! what that means.

mod answer;
mod need;
mod pattern;
mod version;

pub use answer::{KERNEL_LOOK, KernelAnswer};
pub use need::{Need, RebootNeed};
pub use pattern::fits;
pub use version::{VersionOrder, same_flavour};
