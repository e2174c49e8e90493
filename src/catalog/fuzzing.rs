//! What fuzzers call of this room.

use super::builtin;
use super::command;
use super::external;
use super::same_machine;
use crate::fuzzing::choice;

/// What is read of workers and programs for jobs: who a machine is, what a probe answers, what a program prints.
pub(crate) fn catalog(bytes: &[u8]) {
    let (which, bytes) = choice(bytes, 5);
    let text = String::from_utf8_lossy(bytes);
    match which {
        0 => {
            let _ = same_machine::read(&text);
        }
        1 => builtin::fuzzing::probe(bytes),
        2 => builtin::fuzzing::worker_json(&text),
        3 => external::fuzzing::dry_run(&text),
        _ => command::fuzzing::lines(bytes),
    }
}
