//! What fuzzers call of `run_command`.

use super::lines::Lines;
use super::reboot_intent::{RebootIntent, reboot_intent};
use crate::fuzzing::choice;

/// Nothing is lost or made up, wherever the stream is cut.
pub(crate) fn lines(bytes: &[u8]) {
    let (cut, bytes) = choice(bytes, 64);
    let taken = |cut: usize| {
        let (mut lines, mut all) = (Lines::default(), String::new());
        let mut take = |text: &str| {
            all.push_str(text);
            all.push('\n');
        };
        for piece in bytes.chunks(cut) {
            lines.take(piece, &mut take);
        }
        lines.finish(&mut take);
        all
    };
    let text = String::from_utf8_lossy(bytes).into_owned();
    if reboot_intent(&text) == RebootIntent::Certain {
        let lower = text.to_ascii_lowercase();
        let words = ["reboot", "shutdown", "poweroff", "halt", "kexec", "init"];
        assert!(words.iter().any(|word| lower.contains(word)), "{text:?} reboots nothing");
    }
    // A carriage return at the end of a piece may be that of a line end.
    if bytes.len() < 16 * 1024 && !text.contains('\r') {
        let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        for cut in [1, usize::from(cut) + 1, bytes.len().max(1)] {
            assert_eq!(taken(cut), format!("{text}{end}"), "in pieces of {cut}");
        }
    }
}
