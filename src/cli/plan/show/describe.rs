//! Pieces of text about a plan that several commands share.

use crate::plan::{
    CannotTell, ExpectedBoot, ExpectedKernel, OnNoReturn, RebootUnless, StepKind, duration, visible_line,
};

/// `halts at the 2nd failure (max_failures: 1)`; `how` says the number as the plan does.
pub(in crate::cli::plan) fn describe_halt(max_failures: u32, how: &str) -> String {
    format!("halts at the {} failure (max_failures: {how})", ordinal(u64::from(max_failures) + 1))
}

/// `1st`, `2nd`, `3rd`, `4th`, `11th`, `21st`.
fn ordinal(n: u64) -> String {
    let ending = match (n % 10, n % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{n}{ending}")
}

/// What a step of this kind is about to do, where the kind alone does not say it.
pub(super) fn details(kind: &StepKind) -> String {
    let jobs = |jobs: &Option<Vec<crate::plan::Located<String>>>| {
        jobs.as_ref().map_or_else(String::new, |jobs| {
            jobs.iter().map(|job| job.value.as_str()).collect::<Vec<_>>().join(", ")
        })
    };
    match kind {
        StepKind::Disable { jobs: of }
        | StepKind::Deploy { jobs: of, .. }
        | StepKind::Job { jobs: of, .. } => jobs(of),
        StepKind::Health { jobs: of, wait, scope } => {
            let mut parts = vec![jobs(of)];
            if *scope == crate::plan::HealthScope::Fleet {
                parts.push("of the whole fleet".to_owned());
            }
            if *wait {
                parts.push("waits until well".to_owned());
            }
            parts.retain(|part| !part.is_empty());
            parts.join(", ")
        }
        StepKind::Reboot { command, unless, expect, .. } => {
            let unless = match unless {
                Some(RebootUnless::Command(unless)) => format!(" unless {}", first_line(unless)),
                Some(RebootUnless::NotRequired { cannot_tell: CannotTell::Fail }) => {
                    " unless it is not required".to_owned()
                }
                Some(RebootUnless::NotRequired { cannot_tell: CannotTell::Reboot }) => {
                    " unless it is not required (or cannot be told)".to_owned()
                }
                None => String::new(),
            };
            let expect = expect.as_ref().map(|expect| format!("; expects {}", expected_boot(expect)));
            format!("{}{unless}{}", first_line(command), expect.unwrap_or_default())
        }
        StepKind::WaitForSsh { settle, on_no_return, .. } => {
            let resets = match on_no_return {
                OnNoReturn::Fail => "",
                OnNoReturn::PowerCycle => "; resets by its BMC, once, what is not back",
            };
            format!("settles for {}{resets}", duration(*settle))
        }
        StepKind::Run(command) | StepKind::Local(command) => match &command.action {
            crate::plan::CommandSource::Command(text) => first_line(text),
            crate::plan::CommandSource::Script(path) => format!("script {}", path.value),
        },
        StepKind::Http(step) => {
            let request = first_line(&format!("{} {}", step.request.method.as_str(), step.request.url));
            format!("{request}{}", if step.idempotent { "" } else { ", never sent twice" })
        }
        StepKind::Gate(gate) => {
            format!("{}: {}; {}", first_line(&gate.title()), gate.measure.limit(), gate.rhythm())
        }
        StepKind::Pause { duration: of } => duration(*of),
        StepKind::Approve { message } => message.as_deref().map(first_line).unwrap_or_default(),
        StepKind::SyncCheck { repair } => if *repair { "repairs" } else { "" }.to_owned(),
        StepKind::Enable | StepKind::Build => String::new(),
    }
}

/// `the newest kernel, nosmt on its command line`.
fn expected_boot(expect: &ExpectedBoot) -> String {
    let kernel = expect.kernel.as_ref().map(|kernel| match kernel {
        ExpectedKernel::Newest => "the newest kernel".to_owned(),
        ExpectedKernel::Like(pattern) => format!("kernel {}", first_line(pattern)),
    });
    let words = (!expect.cmdline.is_empty())
        .then(|| format!("{} on its command line", first_line(&expect.cmdline.join(" "))));
    kernel.into_iter().chain(words).collect::<Vec<_>>().join(", ")
}

/// The first line, cut to what fits beside the other columns, without control characters.
fn first_line(text: &str) -> String {
    const SHOWN: usize = 48;
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = lines.next().unwrap_or_default();
    let cut = line.chars().count() > SHOWN || lines.next().is_some();
    let shown = visible_line(&line.chars().take(SHOWN).collect::<String>());
    if cut { format!("{shown}...") } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_in_english() {
        assert_eq!(describe_halt(1, "1"), "halts at the 2nd failure (max_failures: 1)");
        let ordinals = [1, 3, 4, 11, 12, 13, 21, 22, 111, 101].map(ordinal);
        assert_eq!(ordinals, ["1st", "3rd", "4th", "11th", "12th", "13th", "21st", "22nd", "111th", "101st"]);
    }
}
