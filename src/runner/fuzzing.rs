//! What fuzzers call of this room.

use super::mask::{MaskedStream, Secrets};
use super::{gate, http, preflight, probe, reboot_command, silence_requests, take_over};
use crate::bucket::Host;
use crate::engine::{Check, Fact};
use crate::fuzzing::{choice, is_fit_to_print};
use crate::http::Answer;
use crate::plan::{HttpExpect, StatusRange};

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
    for line in said.lines() {
        let _ = reboot_command::state(line);
    }
    if let Some(pending) = reboot_command::pending(&said) {
        is_fit_to_print(&pending);
        assert!(pending.len() <= 64 * 1024, "{} bytes", pending.len());
    }
}

/// What servers answer over HTTP: a Prometheus, an Alertmanager to questions and about silences, whoever a step has asked.
pub(crate) fn asked(bytes: &[u8]) {
    let (which, bytes) = choice(bytes, 4);
    let text = String::from_utf8_lossy(bytes);
    let answer = |status| Answer::plain(status, bytes.to_vec());
    let tells = |words: &str| {
        is_fit_to_print(words);
        assert!(!words.is_empty() && words.len() < 8192, "{} bytes", words.len());
    };
    match which {
        0 => gate::judged(bytes).iter().for_each(|measured| tells(&measured.words)),
        1 => {
            let at = |pointer: &str, value: &str| (pointer.to_owned(), value.into());
            let json = vec![at("/state", "drained"), at("/servers/0/~0name~1", "w1"), at("", "x")];
            for json in [json.clone(), json[..1].to_vec()] {
                let expect = HttpExpect { status: vec![StatusRange::SUCCESS], json };
                for status in [200, 302, 503] {
                    match http::judged(&answer(status), &expect) {
                        Some(Ok(words) | Err(words)) => tells(&words),
                        None => panic!("nothing is said of it"),
                    }
                }
            }
        }
        2 => silence_requests::heard(&answer(200)).iter().for_each(|why| tells(why)),
        _ => {
            let now = 1_764_000_000_000;
            match silence_requests::clock(&text, now) {
                Ok(skew) => assert!(skew.abs() <= 24 * 3_600_000, "{skew}"),
                Err(why) => tells(&why),
            }
        }
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
