//! What a worker's answer means: findings, and how each layer behind the login is. It asks nobody anything.

mod places;

use std::collections::BTreeMap;

use super::answer::Answer;
use super::finding::{Finding, State};
use crate::boot::{Need, RebootNeed};
use crate::os::quote;
use crate::plan::{duration, visible_within};
use crate::ssh::{Cause, Layer, missing_tools, sudo_cause};

/// A clock that is off by more is worth a word: logs of two machines cannot be put side by side.
const SKEW_TOLD: i64 = 5;
/// By more: certificates and tickets (Kerberos, TLS) are refused, and `make` builds what it need not.
const SKEW_BAD: i64 = 300;
/// So much of the reasons for a reboot is shown.
const REASONS: usize = 600;
/// Before this a clock has not been set (1 January 2020).
const UNSET: i64 = 1_577_836_800;

/// What is known of a worker besides its answer.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// As `workers.json` has it.
    pub host: &'a str,
    /// The user that was logged in as.
    pub user: &'a str,
    /// Whether root is used where it is needed.
    pub use_sudo: bool,
    /// Programs that scripts need there.
    pub tools: &'a [&'a str],
    /// Seconds since 1970 here when the script was sent, and when its clock came.
    pub asked: (i64, i64),
    /// It is a sandbox's worker: its clock, disks and kernel are this machine's.
    pub is_sandbox: bool,
}

/// Findings, and a state for each layer from sudo on.
pub fn judge(answer: &Answer, facts: &Facts<'_>) -> (Vec<Finding>, BTreeMap<Layer, State>) {
    let mut case = Case { answer, facts, found: Vec::new(), unknown: Vec::new() };
    case.sudo();
    case.tools();
    case.folders();
    case.home();
    case.disks();
    case.clock();
    case.boot();
    case.unreadable();
    let mut states = BTreeMap::new();
    for layer in Layer::ALL.into_iter().filter(|layer| *layer >= Layer::Sudo) {
        let worst =
            case.found.iter().filter(|found| found.cause.layer == layer).map(|found| found.severity).max();
        let state = match worst {
            Some(super::Severity::Problem) if case.unknown.contains(&layer) => State::Unknown,
            Some(super::Severity::Problem) => State::Problem,
            Some(super::Severity::Warning) => State::Warning,
            Some(super::Severity::Note) | None => State::Ok,
        };
        states.insert(layer, state);
    }
    if case.sudo_failed() {
        states.insert(Layer::Folders, State::NotLookedAt(Layer::Sudo));
    }
    (case.found, states)
}

struct Case<'a> {
    answer: &'a Answer,
    facts: &'a Facts<'a>,
    found: Vec<Finding>,
    unknown: Vec<Layer>,
}

impl Case<'_> {
    fn needs_sudo(&self) -> bool {
        self.facts.use_sudo && self.answer.user.as_ref().is_none_or(|(uid, _)| *uid != 0)
    }

    fn sudo_failed(&self) -> bool {
        self.needs_sudo() && self.answer.sudo != Some(0)
    }

    fn sudo(&mut self) {
        let (user, host) = (self.facts.user, self.facts.host);
        match self.answer.sudo {
            _ if !self.needs_sudo() => {}
            Some(0) if self.answer.looked_as == Some(0) || self.facts.is_sandbox => {}
            // It says yes, and whoever carries things out then is not root.
            Some(0) => self.unknown.push(Layer::Sudo),
            Some(_) => self.found.push(Finding::problem(sudo_cause(user, host, &self.answer.sudo_said))),
            None => self.unknown.push(Layer::Sudo),
        }
    }

    fn tools(&mut self) {
        let known = &self.answer.tools;
        let lacks: Vec<&str> =
            self.facts.tools.iter().copied().filter(|tool| known.get(*tool) == Some(&false)).collect();
        if !lacks.is_empty() {
            self.found.push(Finding::problem(missing_tools(self.facts.host, &lacks)));
        }
        if self.facts.tools.iter().any(|tool| !known.contains_key(*tool)) {
            self.unknown.push(Layer::Tools);
        }
    }

    fn clock(&mut self) {
        let Some(clock) = self.answer.clock else {
            self.unknown.push(Layer::Clock);
            return;
        };
        let remedy = format!(
            "on {}: `sudo timedatectl set-ntp true`, then `timedatectl` has to say that the clock is synchronized",
            self.facts.host
        );
        let skew = certain_skew(clock, self.facts.asked);
        let detail = match skew {
            skew if skew > 0 => format!("{} ahead of this machine", humane(skew)),
            skew => format!("{} behind this machine", humane(skew)),
        };
        let cause =
            |code, what: &str| Cause::new(code, Layer::Clock, what, remedy.clone()).detail(detail.clone());
        if clock < UNSET && self.facts.asked.0 >= UNSET {
            self.found.push(Finding::problem(cause("clock_unset", "the clock was never set")));
        } else if skew.abs() >= SKEW_BAD {
            let what = "the clock is off by 5 minutes or more";
            self.found.push(Finding::problem(cause("clock_wrong", what)));
        } else if skew.abs() >= SKEW_TOLD {
            self.found.push(Finding::warning(cause("clock_off", "the clock is off by some seconds or more")));
        }
    }

    fn boot(&mut self) {
        let host = self.facts.host;
        let cause = |code, what: String, remedy: String| Cause::new(code, Layer::Boot, what, remedy);
        match (&self.answer.boot_id, self.answer.valid_boot_id()) {
            (_, Some(_)) => {}
            (Some(read), None) => {
                let remedy = format!(
                    "on {host}: `cat /proc/sys/kernel/random/boot_id` has to print a UUID (mount /proc)"
                );
                let what = "the boot id cannot be read, by which a reboot is known".to_owned();
                self.found.push(Finding::problem(cause("boot_id", what, remedy).detail(read.clone())));
            }
            (None, None) => self.unknown.push(Layer::Boot),
        }
        if !self.answer.nologin.is_empty() {
            let remedy =
                format!("wait until {host} is up; then, there: `sudo rm -f /run/nologin /etc/nologin`");
            let what = "logins are off for others than root (nologin)".to_owned();
            self.found.push(Finding::warning(cause("nologin", what, remedy)));
        }
        if let Some(scheduled) = &self.answer.scheduled {
            let remedy = format!("on {host}: wait for it, or `sudo shutdown -c`");
            let what = "a reboot or shutdown is scheduled".to_owned();
            self.found
                .push(Finding::problem(cause("shutdown_scheduled", what, remedy).detail(scheduled.clone())));
        }
        if let Some(claim) = &self.answer.claim {
            let field = |name: &str| {
                let claim: Option<serde_json::Value> = serde_json::from_str(claim).ok();
                claim.and_then(|claim| Some(claim.get(name)?.as_str()?.to_owned()))
            };
            let whose = match (field("run"), field("who"), field("since")) {
                (Some(run), Some(who), Some(since)) => format!("run {run} of {who} since {since}"),
                _ => "a run that cannot be read".to_owned(),
            };
            let remedy = format!(
                "wait for that run (`maand plan status`); if it is over or lost: `maand plan release --worker {host}`"
            );
            self.found.push(Finding::warning(cause("claimed", format!("it is claimed by {whose}"), remedy)));
        }
    }

    /// What was asked and not answered so that it can be read.
    fn unreadable(&mut self) {
        if !self.answer.is_whole && self.unknown.is_empty() {
            self.unknown.push(Layer::Boot);
        }
        self.unknown.sort();
        self.unknown.dedup();
        if self.unknown.is_empty() {
            return;
        }
        let names: Vec<&str> = self.unknown.iter().map(|layer| layer.name()).collect();
        let (host, user) = (self.facts.host, self.facts.user);
        let what = format!("what it answers cannot be read: {} unknown", names.join(", "));
        let remedy = format!(
            "look by hand: `ssh {} 'id; date; df -P; sudo -n id'`; it may be overloaded, or no ordinary Linux",
            quote(&format!("{user}@{host}"))
        );
        for layer in self.unknown.clone() {
            self.found.push(Finding::problem(Cause::new("unknown", layer, what.clone(), remedy.clone())));
        }
    }
}

/// What is said of a worker that needs a reboot, or cannot tell.
pub(super) fn judge_reboot(need: &RebootNeed) -> Option<Finding> {
    let cause = |code, what: &str, remedy: &str| {
        Cause::new(code, Layer::Boot, what, remedy).detail(visible_within(&need.reasons(), REASONS))
    };
    match need.need {
        Need::NotRequired => None,
        Need::Required => {
            let remedy = "a plan brings it: `maand plan new rolling-reboot`";
            Some(Finding::note(cause("reboot_required", "it needs a reboot", remedy)))
        }
        Need::CannotTell => {
            let what = "whether it needs a reboot cannot be told";
            let remedy = "where that matters: `unless: not_required` of a reboot stops there, and with `cannot_tell: \
                          reboot` reboots it";
            Some(Finding::note(cause("reboot_unclear", what, remedy)))
        }
    }
}

fn detailed(finding: Finding, detail: &str) -> Finding {
    Finding { cause: finding.cause.detail(detail), ..finding }
}

/// By how many seconds a clock is ahead for certain: it was read at some time between the two.
fn certain_skew(clock: i64, (sent, heard): (i64, i64)) -> i64 {
    let (least, most) =
        (clock.saturating_sub(heard).saturating_sub(1), clock.saturating_sub(sent).saturating_add(1));
    if least > 0 {
        least
    } else if most < 0 {
        most
    } else {
        0
    }
}

fn humane(seconds: i64) -> String {
    let seconds = seconds.unsigned_abs();
    match seconds {
        0..3600 => duration(std::time::Duration::from_secs(seconds)),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Severity;

    const GOOD: &str = include_str!("../../tests/data/doctor-answer-v1.txt");
    const NOW: i64 = 1_796_016_176;

    fn judged(text: &str) -> (Vec<Finding>, BTreeMap<Layer, State>) {
        let facts = Facts {
            host: "w1",
            user: "agent",
            use_sudo: true,
            tools: &["bash", "make", "tar", "flock"],
            asked: (NOW, NOW),
            is_sandbox: false,
        };
        judge(&Answer::read(text.as_bytes()), &facts)
    }

    /// The codes that come when one line of a good answer is another one, besides those of the good one.
    fn with(line: &str, other: &str) -> Vec<(&'static str, Severity)> {
        assert!(GOOD.contains(line), "{line}");
        let codes = |text: &str| -> Vec<_> {
            judged(text).0.into_iter().map(|found| (found.cause.code, found.severity)).collect()
        };
        let good = codes(&GOOD.replace("lacks make", "has make"));
        let mut found = codes(&GOOD.replace("lacks make", "has make").replace(line, other));
        found.retain(|one| !good.contains(one));
        found
    }

    #[test]
    fn what_is_wrong_is_said_with_what_to_type() {
        let (found, states) = judged(GOOD);
        let codes: Vec<_> = found.iter().map(|found| found.cause.code).collect();
        assert_eq!(codes, ["tools_missing"]);
        assert!(found[0].cause.remedy.contains("apt-get install make"), "{:?}", found[0]);
        assert_eq!((states[&Layer::Tools], states[&Layer::Boot]), (State::Problem, State::Ok));
    }

    #[test]
    fn a_reboot_is_a_note_with_its_reasons_and_not_knowing_is_another() {
        let need = |need| RebootNeed { need, why: vec!["a".to_owned(), "b\u{1b}".to_owned()] };
        let code = |of| {
            judge_reboot(&need(of))
                .map(|found| (found.severity, found.cause.code, found.cause.detail.unwrap()))
        };
        assert_eq!(code(Need::NotRequired), None);
        for (of, code_) in [(Need::Required, "reboot_required"), (Need::CannotTell, "reboot_unclear")] {
            let (severity, code, detail) = code(of).unwrap();
            assert_eq!((severity, code), (Severity::Note, code_));
            assert!(detail.starts_with("a; b") && !detail.contains('\u{1b}'), "{detail}");
        }
    }

    #[test]
    fn each_kind_of_trouble() {
        use Severity::{Problem, Warning};
        for (line, other, code, severity) in [
            ("sudo 0", "sudo 1", "sudo_refuses", Problem),
            ("mount worker ext4 rw,relatime", "mount worker ext4 ro,relatime", "read_only", Problem),
            ("mount worker ext4 rw,relatime", "mount worker ext4 rw,noexec,relatime", "noexec", Warning),
            ("place worker folder yes /opt", "place worker other no /opt", "folder_in_the_way", Problem),
            ("place worker folder yes /opt", "place worker folder no /opt", "not_writable", Problem),
            ("39124936 59% /", "900 100% /", "disk_full", Problem),
            ("39124936 59% /", "90000 99% /", "disk_low", Warning),
            ("16245251 4% /", "3 100% /", "inodes_full", Problem),
            ("16245251 4% /", "1500 99% /", "inodes_low", Warning),
            ("clock 1796016176", "clock 86400", "clock_unset", Problem),
            ("clock 1796016176", "clock 1796019776", "clock_wrong", Problem),
            ("clock 1796016176", "clock 1796016136", "clock_off", Warning),
            ("boot_id e3f91abd", "boot_id cat: Permission denied", "boot_id", Problem),
            ("kernel 6.8.0-44-generic", "nologin /run/nologin", "nologin", Warning),
            ("kernel 6.8.0-44-generic", "scheduled USEC=1 MODE=reboot", "shutdown_scheduled", Problem),
            ("seen", "claim {\"run\":\"r7\",\"who\":\"ann@desk\",\"since\":\"then\"}", "claimed", Warning),
            ("tmp yes", "tmp no", "tmp", Warning),
            ("home writable", "home missing", "home_missing", Warning),
        ] {
            assert_eq!(with(line, other), [(code, severity)], "{other}");
        }
        assert_eq!(with("tmp yes tmpfs", "tmp yes tmpfs"), []);
    }

    #[test]
    fn what_is_not_answered_is_unknown_and_never_ok() {
        for (line, layer) in [
            ("sudo 0", Layer::Sudo),
            ("has tar", Layer::Tools),
            ("place state folder yes /var/lib", Layer::Folders),
            ("space worker /dev/vda 264212084 56160952 39124936 59% /", Layer::Disk),
            ("clock 1796016176", Layer::Clock),
            ("boot_id e3f91abd-d7f8-491b-9341-9dc60150451a", Layer::Boot),
            ("as 0", Layer::Sudo),
        ] {
            for other in ["", "x", "\u{1b}[31mclock ok"] {
                let (found, states) = judged(&GOOD.replace("lacks make", "has make").replace(line, other));
                assert!(
                    matches!(states[&layer], State::Unknown | State::NotLookedAt(_)),
                    "{line}: {states:?}"
                );
                assert!(found.iter().any(|found| found.severity == Severity::Problem), "{line}: {found:?}");
            }
        }
        let (found, states) = judged("");
        assert!(
            states.values().all(|state| matches!(state, State::Unknown | State::NotLookedAt(_))),
            "{states:?}"
        );
        assert!(!found.is_empty());
    }

    #[test]
    fn a_clock_is_off_by_what_is_certain() {
        assert_eq!(certain_skew(100, (100, 100)), 0);
        assert_eq!(certain_skew(120, (100, 125)), 0, "it was read at some time in between");
        assert_eq!(certain_skew(140, (100, 110)), 29);
        assert_eq!(certain_skew(50, (100, 110)), -49);
        assert_eq!(certain_skew(i64::MAX, (-1, 0)), i64::MAX - 1);
    }
}
