//! What fuzzers call of this room.

use super::mask::{MaskedStream, Secrets};
use super::{gate, preflight, probe, reboot_command, take_over};
use crate::bucket::Host;
use crate::engine::{Check, Fact};
use crate::fuzzing::{choice, is_fit_to_print};

/// What workers answer to the small scripts of a run: boot ids, claims, what they have heard of, what their reboot
/// command does.
pub(crate) fn answers(bytes: &[u8]) {
    let said = String::from_utf8_lossy(bytes);
    if let Some(seen) = probe::read(&said) {
        assert!(probe::is_boot_id(&seen.boot_id));
        assert!(seen.up_for.is_none_or(|up| up.as_secs_f64().is_finite()));
    }
    if let Some(host) = Host::parse("w1") {
        let (check, _) = preflight::read(&host, "/var/lib/maand", &said);
        match &check {
            Check::Ready { boot_id, .. } => assert!(probe::is_boot_id(boot_id)),
            Check::Unreachable { error } => {
                is_fit_to_print(&error.message);
                assert!(!error.message.is_empty());
            }
            Check::LeftAlone { .. } => panic!("a worker that was asked is not left alone"),
        }
        // What is kept of it is read again.
        let fact = Fact::Preflight { checks: vec![check] };
        let kept = serde_json::to_string(&fact).unwrap_or_default();
        assert_eq!(serde_json::from_str::<Fact>(&kept).ok().as_ref(), Some(&fact), "{kept}");
    }
    let remembered = take_over::read(&said);
    if let Some(heard) = remembered.heard() {
        assert!(!heard.run.is_empty() && heard.epoch < 1 << 53);
    }
    for measured in gate::judged(bytes) {
        is_fit_to_print(&measured.words);
        assert!(!measured.words.is_empty() && measured.words.len() < 4096);
    }
    for line in said.lines() {
        let _ = reboot_command::state(line);
    }
    if let Some(pending) = reboot_command::pending(&said) {
        is_fit_to_print(&pending);
        assert!(pending.len() <= 64 * 1024, "{} bytes", pending.len());
    }
}

/// Output that comes in pieces: nothing of a secret is shown, wherever it is cut, and the pieces decide nothing.
pub(crate) fn masks(bytes: &[u8]) {
    let (cut, bytes) = choice(bytes, 32);
    let text = String::from_utf8_lossy(bytes);
    let (secrets, output) = text.split_once('\0').unwrap_or((&text, ""));
    let secrets: Vec<&str> = secrets.split('\u{1}').take(4).collect();
    let prepared = Secrets::of(&secrets);
    let whole = through(&prepared, output.as_bytes(), output.len().max(1));
    for cut in [1, usize::from(cut) + 1] {
        assert_eq!(through(&prepared, output.as_bytes(), cut), whole, "in pieces of {cut}");
    }
    for secret in secrets {
        // The mask itself is no piece of a secret's.
        let pieces =
            secret.as_bytes().windows(8).filter(|piece| !piece.contains(&b'*') && !piece.contains(&b'\n'));
        for piece in pieces.filter(|piece| output.as_bytes().windows(8).any(|shown| shown == *piece)) {
            assert!(
                !whole.windows(8).any(|shown| shown == piece),
                "{:?} is shown",
                String::from_utf8_lossy(piece)
            );
        }
    }
}

fn through(secrets: &Secrets, output: &[u8], cut: usize) -> Vec<u8> {
    let mut shown = Vec::new();
    let mut stream = MaskedStream::new(secrets);
    for piece in output.chunks(cut) {
        stream.push(piece, &mut |bytes| shown.extend_from_slice(bytes));
    }
    stream.end(&mut |bytes| shown.extend_from_slice(bytes));
    shown
}
