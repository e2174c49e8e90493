//! What other tools know of a fleet, as workers: the inventory of Ansible, the hosts of an ssh config, what a command prints.
//!
//! Text and data in, data out: each of them is either understood or named in the list of what was not taken, with why and
//! what to do. What becomes of `workers.json` by it is `bucket::edited_workers`. This room must not know where an inventory
//! comes from, nor how anything is shown or asked for.

mod ansible;
mod error;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod import;
mod listed;
mod ssh_config;

pub use ansible::{AnsibleOptions, ansible};
pub use import::{Import, NotTaken};
pub use listed::listed;
pub use ssh_config::{LeadsTo, ssh_config};
