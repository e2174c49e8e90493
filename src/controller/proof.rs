//! What a worker has booted, held against what the plan expects, as the outcome of the wait for it.

use crate::boot::{KernelAnswer, fits};
use crate::engine::{BootedKernel, ErrorKind, Evidence, Outcome, StepError};
use crate::plan::{ExpectedBoot, ExpectedKernel};

/// The outcome of a wait that has seen `host` settled in a new boot. `before`: the kernel that ran before the reboot.
/// `seen`: what the worker says of its kernels, or why it says nothing. Without `expect` nothing of it is a failure;
/// with one, what cannot be told is not taken for so.
pub fn proven_outcome(
    host: &str,
    boot_id: String,
    before: Option<String>,
    seen: Result<&KernelAnswer, &str>,
    expect: Option<&ExpectedBoot>,
) -> Outcome {
    let kernel = seen.ok().and_then(|answer| {
        let own = |name: &str| name.to_owned();
        Some(BootedKernel {
            running: answer.running().map(own)?,
            before,
            newer: answer.newer().map(own),
            default: answer.would_boot().map(own),
        })
    });
    let unmet = expect.map(|expect| unmet(seen, kernel.as_ref(), expect)).unwrap_or_default();
    if unmet.is_empty() {
        return Outcome::Ok { evidence: Evidence::Back { boot_id, kernel } };
    }
    let before =
        match kernel.as_ref().and_then(|kernel| kernel.before.as_deref().map(|before| (kernel, before))) {
            Some((kernel, before)) if before == kernel.running => format!(" ({before} ran before, too)"),
            Some((_, before)) => format!(" ({before} ran before)"),
            None => String::new(),
        };
    let message = format!(
        "{host} has rebooted and is not as expected: {}{before}; it is not rebooted again: put that right there, reboot \
         it by hand where that takes one, and retry, which only looks again",
        unmet.join("; ")
    );
    Outcome::Unexpected { boot_id, kernel, error: StepError::new(ErrorKind::UnexpectedBoot, message) }
}

/// What of an expectation is not so, or not known to be.
fn unmet(
    seen: Result<&KernelAnswer, &str>,
    kernel: Option<&BootedKernel>,
    expect: &ExpectedBoot,
) -> Vec<String> {
    let answer = match seen {
        Ok(answer) => answer,
        Err(why) => return vec![format!("what it has booted cannot be told ({why})")],
    };
    let mut unmet = Vec::new();
    match (&expect.kernel, kernel) {
        (None, _) => {}
        (Some(_), None) => unmet.push("which kernel it runs cannot be told".to_owned()),
        (Some(ExpectedKernel::Like(pattern)), Some(kernel)) => {
            if !fits(pattern, &kernel.running) {
                unmet.push(format!("it came back on {}, and {pattern} was expected", kernel.running));
            }
        }
        (Some(ExpectedKernel::Newest), Some(kernel)) => match (answer.newest(), kernel.notice()) {
            (_, Some(notice)) => unmet.push(format!("it {notice}")),
            (Some(newest), None) if newest == kernel.running => {}
            (Some(newest), None) => unmet.push(format!(
                "it came back on {}, which is not installed any more ({newest} is)",
                kernel.running
            )),
            (None, None) => unmet.push(format!(
                "whether {} is the newest kernel cannot be told: no installed one was found",
                kernel.running
            )),
        },
    }
    let cmdline: Vec<&str> = answer.cmdline().unwrap_or_default().split_whitespace().collect();
    let lacks: Vec<&str> = expect
        .cmdline
        .iter()
        .map(String::as_str)
        .filter(|word| !cmdline.iter().any(|is| fits(word, is)))
        .collect();
    if answer.cmdline().is_none() && !lacks.is_empty() {
        unmet.push("its kernel's command line cannot be told".to_owned());
    } else if !lacks.is_empty() {
        unmet.push(format!("its kernel's command line lacks {}", lacks.join(" ")));
    }
    unmet
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(running: &str, installed: &[&str], default: &str) -> KernelAnswer {
        let files: String = installed.iter().map(|name| format!("file /boot/vmlinuz-{name}\n")).collect();
        let text = format!(
            "maand-boot 1\nrunning {running}\nos debian\ncmdline BOOT_IMAGE=/vmlinuz root=/dev/vda1 ro hugepages=64\n\
             {files}default grub /vmlinuz-{default}\nend\n"
        );
        KernelAnswer::read(text.as_bytes())
    }

    const OLD: &str = "6.1.0-52-amd64";
    const NEW: &str = "6.1.0-57-amd64";

    fn outcome(answer: &KernelAnswer, expect: Option<&ExpectedBoot>) -> Outcome {
        proven_outcome("w1", "new".to_owned(), Some(OLD.to_owned()), Ok(answer), expect)
    }

    fn expect(kernel: &str, cmdline: &[&str]) -> ExpectedBoot {
        let kernel = match kernel {
            "" => None,
            "newest" => Some(ExpectedKernel::Newest),
            pattern => Some(ExpectedKernel::Like(pattern.to_owned())),
        };
        ExpectedBoot { kernel, cmdline: cmdline.iter().map(|word| (*word).to_owned()).collect() }
    }

    #[track_caller]
    fn is_unmet(outcome: Outcome, words: &str) {
        match outcome {
            Outcome::Unexpected { boot_id, error, .. } => {
                assert_eq!((boot_id.as_str(), error.kind), ("new", ErrorKind::UnexpectedBoot));
                assert!(error.message.contains(words), "no `{words}` in {}", error.message);
                assert!(error.message.starts_with("w1 has rebooted"), "{}", error.message);
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_old_kernel_is_said_and_is_a_failure_only_where_a_plan_says_so() {
        let old = answer(OLD, &[OLD, NEW], OLD);
        let Outcome::Ok { evidence: Evidence::Back { kernel: Some(kernel), .. } } = outcome(&old, None)
        else {
            panic!("{old:?}")
        };
        assert_eq!(
            kernel.notice().unwrap(),
            "came back on 6.1.0-52-amd64, though 6.1.0-57-amd64 is installed; 6.1.0-52-amd64 is what its boot loader \
             starts"
        );
        is_unmet(outcome(&old, Some(&expect("newest", &[]))), "though 6.1.0-57-amd64 is installed");
        is_unmet(
            outcome(&old, Some(&expect("6.1.0-57*", &[]))),
            "came back on 6.1.0-52-amd64, and 6.1.0-57* was",
        );
        is_unmet(outcome(&old, Some(&expect("newest", &[]))), "(6.1.0-52-amd64 ran before, too)");
        let new = answer(NEW, &[OLD, NEW], NEW);
        for expect in [None, Some(&expect("newest", &["ro", "hugepages=*"])), Some(&expect("6.1.*", &[]))] {
            let outcome = outcome(&new, expect);
            let Outcome::Ok { evidence: Evidence::Back { kernel: Some(kernel), .. } } = outcome else {
                panic!("{outcome:?}")
            };
            assert_eq!((kernel.notice(), kernel.before.as_deref()), (None, Some(OLD)));
        }
    }

    #[test]
    fn what_cannot_be_told_is_not_as_expected() {
        let unknown = answer(OLD, &[], "x");
        is_unmet(
            outcome(&unknown, Some(&expect("newest", &[]))),
            "cannot be told: no installed one was found",
        );
        is_unmet(
            outcome(&answer("6.1.0-60-amd64", &[NEW], NEW), Some(&expect("newest", &[]))),
            "not installed any more",
        );
        let nothing = KernelAnswer::default();
        is_unmet(outcome(&nothing, Some(&expect("6.1.*", &[]))), "which kernel it runs cannot be told");
        is_unmet(outcome(&nothing, Some(&expect("", &["ro"]))), "command line cannot be told");
        let lost = |expect: Option<&ExpectedBoot>| {
            proven_outcome("w1", "new".to_owned(), None, Err("timed out"), expect)
        };
        is_unmet(lost(Some(&expect("", &["ro"]))), "cannot be told (timed out)");
        assert_eq!(
            lost(None),
            Outcome::Ok { evidence: Evidence::Back { boot_id: "new".to_owned(), kernel: None } }
        );
        // With nothing expected nothing is a failure.
        assert!(matches!(outcome(&nothing, None), Outcome::Ok { .. }));
    }

    #[test]
    fn words_of_the_command_line_are_whole() {
        let seen = answer(NEW, &[NEW], NEW);
        is_unmet(
            outcome(&seen, Some(&expect("", &["nosmt", "hugepages=128", "r?"]))),
            "lacks nosmt hugepages=128",
        );
        is_unmet(outcome(&seen, Some(&expect("", &["root"]))), "lacks root");
    }
}
