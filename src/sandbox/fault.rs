//! Faults: what goes wrong on a sandbox worker, on which and when, and how that is written.
//!
//! The kinds are those that a rollout meets on real workers. This module only names them; the
//! worker's machine and its stand-ins make them happen.

use std::fmt;

use crate::bucket::Host;
use crate::plan::Problem;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultKind {
    /// The next reboot takes it down for good.
    NeverReturns,
    /// The next reboot takes eight times as long.
    ReturnsLate,
    /// Some time after the next reboot it reboots again by itself.
    RebootsTwice,
    /// It boots by itself once, as a panic or a power cut makes it: with a step in the middle of a command of that step,
    /// without one as soon as the run has begun any step.
    RebootsItself,
    /// It boots by itself once it has ended well.
    RebootsWhenDone,
    /// The reboot command is at work for longer than the plan gives it, and then the worker goes down.
    RebootsLate,
    /// What stands before it (a NAT, a jump host, a load balancer) keeps connections up while the machine is gone, and
    /// takes new ones that nobody answers.
    KeepsConnections,
    /// Each login takes longer than a first look.
    SlowLogins,
    /// The reboot command says yes and nothing happens.
    AcceptsAndNeverReboots,
    /// The reboot command fails.
    RebootFails,
    /// Its port is closed until the fault is taken away; its processes live on.
    Refuses,
    /// The connection is cut before the command has begun. Without a step: the one that reboots.
    CutsBeforeCommand,
    /// The command runs to its end, and the connection is cut before the answer. Without a step: the
    /// one that reboots.
    CutsAfterCommand,
    /// The command is never begun and never answered. Without a step: the one that reboots.
    Hangs,
    /// It shows another host key: after the next reboot, or from the step on.
    ChangesHostKey,
    /// After the next reboot, or from the step on, logins are refused for three boot times.
    Nologin,
    /// Every second look at its health is bad.
    HealthFlaps,
    /// Its health is never good.
    HealthNeverWell,
    /// `make` fails.
    DeployFails,
    /// `sudo` wants a password.
    SudoPassword,
}

impl FaultKind {
    /// All of them with their names, in the order in which help shows them.
    pub const ALL: &'static [(FaultKind, &'static str)] = &[
        (Self::NeverReturns, "never_returns"),
        (Self::ReturnsLate, "returns_late"),
        (Self::RebootsTwice, "reboots_twice"),
        (Self::RebootsItself, "reboots_itself"),
        (Self::RebootsWhenDone, "reboots_when_done"),
        (Self::RebootsLate, "reboots_late"),
        (Self::KeepsConnections, "keeps_connections"),
        (Self::SlowLogins, "slow_logins"),
        (Self::AcceptsAndNeverReboots, "accepts_and_never_reboots"),
        (Self::RebootFails, "reboot_fails"),
        (Self::Refuses, "refuses"),
        (Self::CutsBeforeCommand, "cuts_before_command"),
        (Self::CutsAfterCommand, "cuts_after_command"),
        (Self::Hangs, "hangs"),
        (Self::ChangesHostKey, "changes_host_key"),
        (Self::Nologin, "nologin"),
        (Self::HealthFlaps, "health_flaps"),
        (Self::HealthNeverWell, "health_never_well"),
        (Self::DeployFails, "deploy_fails"),
        (Self::SudoPassword, "sudo_password"),
    ];

    /// As it is written.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or("?", |(_, name)| name)
    }

    /// Whether it is spent once it has happened.
    pub(super) fn happens_once(self) -> bool {
        !matches!(
            self,
            Self::Refuses
                | Self::RebootsLate
                | Self::KeepsConnections
                | Self::SlowLogins
                | Self::RebootFails
                | Self::AcceptsAndNeverReboots
                | Self::HealthFlaps
                | Self::HealthNeverWell
                | Self::DeployFails
                | Self::SudoPassword
        )
    }

    /// What happens, in one sentence.
    pub fn describe(self) -> &'static str {
        match self {
            Self::NeverReturns => "The next reboot takes the worker down for good.",
            Self::ReturnsLate => "The next reboot takes eight times as long.",
            Self::RebootsTwice => "Some time after the next reboot it reboots again by itself.",
            Self::RebootsItself => {
                "It reboots by itself: in the middle of a command of the step, or once the run has begun any step."
            }
            Self::RebootsWhenDone => "It reboots by itself once it has succeeded.",
            Self::RebootsLate => "The reboot command is at work for longer than `down_within`.",
            Self::KeepsConnections => {
                "Connections stay up while the machine is gone, as behind a NAT or a jump host."
            }
            Self::SlowLogins => "Each login takes three seconds.",
            Self::AcceptsAndNeverReboots => "The reboot command succeeds, and nothing happens.",
            Self::RebootFails => "The reboot command fails.",
            Self::Refuses => "Its port is closed.",
            Self::CutsBeforeCommand => "The connection is cut before a command has begun.",
            Self::CutsAfterCommand => "A command is executed, and the connection is cut before its answer.",
            Self::Hangs => "A command is neither begun nor answered.",
            Self::ChangesHostKey => "It shows another host key.",
            Self::Nologin => "It lets nobody log in for three times as long as a boot takes.",
            Self::HealthFlaps => "Every second look at its health is bad.",
            Self::HealthNeverWell => "Its health is never good.",
            Self::DeployFails => "`make` fails.",
            Self::SudoPassword => "`sudo` wants a password.",
        }
    }

    /// Whether only a run can say when it happens.
    pub fn waits_for_run(self) -> bool {
        matches!(self, Self::RebootsItself | Self::RebootsWhenDone)
    }

    /// Whether it is a file that the stand-ins on the worker look for.
    pub(super) fn is_flag(self) -> bool {
        matches!(
            self,
            Self::RebootFails
                | Self::RebootsLate
                | Self::HealthFlaps
                | Self::HealthNeverWell
                | Self::DeployFails
                | Self::SudoPassword
        )
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A fault that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The worker that it happens to.
    pub host: Host,
    /// What goes wrong there.
    pub kind: FaultKind,
    /// Not before this step of the plan begins on the worker
    /// ([`Sandbox::step_begins`](super::Sandbox::step_begins)); `None`: at once.
    pub at_step: Option<String>,
}

impl Fault {
    /// Reads `HOST:KIND[@STEP]`; the host may contain colons. A plain number is the Nth of `hosts`,
    /// counted from 1; hyphens in the kind are underscores.
    ///
    /// # Errors
    /// `maand::sandbox::fault` when the shape, the host or the kind is wrong, with the nearest name.
    pub fn parse(text: &str, hosts: &[Host]) -> Result<Self, Problem> {
        let wrong =
            |message: String, help: String| Problem::error("maand::sandbox::fault", message).help(help);
        let shape = "write HOST:KIND or HOST:KIND@STEP, such as 10.0.0.2:never_returns@reboot";
        let (place, step) = match text.split_once('@') {
            Some((_, "")) => {
                return Err(wrong(format!("fault `{text}` has no step after `@`"), shape.into()));
            }
            Some((place, step)) => (place, Some(step.to_owned())),
            None => (text, None),
        };
        let Some((host, kind)) = place.rsplit_once(':') else {
            return Err(wrong(
                format!("fault `{text}` has no `:` between the worker and the kind"),
                shape.into(),
            ));
        };
        let kind_name = kind.trim().to_ascii_lowercase().replace('-', "_");
        let names = FaultKind::ALL.iter().map(|(_, name)| *name);
        let Some((kind, _)) = FaultKind::ALL.iter().find(|(_, name)| *name == kind_name) else {
            let all = names.clone().collect::<Vec<_>>().join(", ");
            let help = nearest(&kind_name, names).map_or_else(
                || format!("the kinds are {all}"),
                |near| format!("did you mean `{near}`? the kinds are {all}"),
            );
            return Err(wrong(format!("`{kind}` is not a kind of fault"), help));
        };
        let known = hosts.iter().find(|known| known.as_str() == host.trim());
        let counted = || host.trim().parse::<usize>().ok().and_then(|n| hosts.get(n.checked_sub(1)?));
        let Some(host) = known.or_else(counted) else {
            let names = hosts.iter().map(Host::as_str);
            let some = names.clone().take(8).collect::<Vec<_>>().join(", ");
            let more = if hosts.len() > 8 { ", ..." } else { "" };
            let help = nearest(host, names).map_or_else(
                || format!("the workers are {some}{more}"),
                |near| format!("did you mean `{near}`? the workers are {some}{more}"),
            );
            return Err(wrong(format!("there is no worker `{host}` for the fault `{text}`"), help));
        };
        Ok(Self { host: host.clone(), kind: *kind, at_step: step })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.kind)?;
        match &self.at_step {
            Some(step) => write!(f, "@{step}"),
            None => Ok(()),
        }
    }
}

/// The candidate that differs least, if it differs by at most a third of its length.
fn nearest<'a>(wanted: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| (distance(wanted, candidate), candidate))
        .min()
        .filter(|(distance, candidate)| *distance * 3 <= candidate.len().max(3))
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance in bytes, of the first 64.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (&a.as_bytes()[..a.len().min(64)], &b.as_bytes()[..b.len().min(64)]);
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let next = (diagonal + usize::from(x != y)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = std::mem::replace(&mut row[j + 1], next);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hosts() -> Vec<Host> {
        ["10.0.0.1", "10.0.0.2", "fe80::1"].iter().map(|text| Host::parse(text).unwrap()).collect()
    }

    #[test]
    fn a_fault_is_read_with_and_without_a_step() {
        let fault = Fault::parse("10.0.0.2:never-returns@reboot", &hosts()).unwrap();
        assert_eq!(fault.to_string(), "10.0.0.2:never_returns@reboot");
        assert_eq!(Fault::parse("fe80::1:hangs", &hosts()).unwrap().to_string(), "fe80::1:hangs");
        assert_eq!(Fault::parse("2:hangs", &hosts()).unwrap().host.as_str(), "10.0.0.2");
    }

    #[test]
    fn a_wrong_one_says_what_was_meant() {
        let help = |text: &str| Fault::parse(text, &hosts()).unwrap_err().help.unwrap();
        assert!(help("10.0.0.1:never_return").starts_with("did you mean `never_returns`?"));
        assert!(help("10.0.0.9:hangs").starts_with("did you mean `10.0.0."));
        assert!(help("hangs").starts_with("write HOST:KIND"));
        assert!(help("10.0.0.1:hangs@").starts_with("write HOST:KIND"));
        assert!(help("10.0.0.1:zzzzzz").starts_with("the kinds are"));
        assert!(help("0:hangs").contains("the workers are"));
    }

    proptest! {
        #[test]
        fn any_text_is_a_fault_or_a_problem(text in ".{0,80}") {
            let _ = Fault::parse(&text, &hosts());
        }

        #[test]
        fn what_is_printed_is_read_back(at in 0..FaultKind::ALL.len(), step in "[a-z_-]{1,9}") {
            let fault = Fault { host: hosts()[2].clone(), kind: FaultKind::ALL[at].0, at_step: Some(step) };
            prop_assert_eq!(Fault::parse(&fault.to_string(), &hosts()).unwrap(), fault);
        }
    }
}
