//! A throwaway fleet: real SSH servers on loopback, one per worker, that can "reboot".
//!
//! Everything runs as an ordinary user in one folder, which is all that is left when the program is
//! killed. This room knows processes, SSH servers and the files of a bucket; it must not know plans,
//! runs or how a client connects.
//!
//! # What is executed
//! Text of our own and the demo jobs, as local processes whose root is played by
//! `<dir>/hosts/<host>`; nothing outside of it is written. **Text of the user's own (a plan's
//! commands, Makefiles, probes) is never executed** unless [`SandboxOptions::execute`] says so: it is
//! recorded in the worker's log and answered with success.
//! - The transport's framing (`src/ssh/frame.rs`) says of each script whether it is the user's own.
//!   The transport's bootstrap itself runs as it is; a command that is none (a plain `ssh`)
//!   counts as the user's.
//! - The stand-in for `make` runs the machine's make only where the Makefile is [`DEMO_MAKEFILE`].
//! - The demo probe is text of the user's kind that is known by heart, and is executed.
//!
//! # Contracts with the transport and the runner
//! The bucket's `maand.conf` says `sandbox = true` and `host_root = "<dir>/hosts/{host}"`. Below that
//! root are the usual paths (`opt/worker`, `var/lib/maand`, `run/nologin`,
//! `proc/sys/kernel/random/boot_id`). [`SSH_CONFIG`] in the bucket says where the workers are and is
//! read in place of the user's own ssh config: a mirrored worker keeps its name, which is not its
//! address.
//!
//! `<host_root>/bin` is first on a worker's PATH. `sandbox-reboot` in it asks for a reboot, whatever
//! its arguments, which are only recorded: where a profile says `sandbox`, the script that reboots
//! calls it in place of the plan's reboot command. `sudo`, `systemctl`, `shutdown`, `reboot`,
//! `poweroff` and `halt` are stand-ins, too.
//!
//! # A reboot
//! The port is closed, connections are cut, all processes of the worker end; after the boot time
//! (3 s at speed 1) `run/` and `tmp/` are empty, the boot id is a new one and the port is open. Jobs
//! that were started and not stopped are started again, as a host's enabled units are.

mod bucket;
mod error;
mod exec;
mod fault;
mod files;
mod frame;
mod guard;
mod keys;
mod machine;
mod mirror;
mod options;
mod server;
mod spawner;
mod start;
mod worker;

pub use bucket::SSH_CONFIG;
pub use error::SandboxError;
pub use fault::{Fault, FaultKind};
pub use files::{DEMO_MAKEFILE, demo_probe};
pub use guard::{GUARD_COMMAND, guard_main};
pub use mirror::Blueprint;
pub use options::{BOOT_TIME, SandboxOptions, WORKERS_MAX};
pub use start::Sandbox;
pub use worker::{Boot, Event, ITSELF, LogEntry, Scout};
