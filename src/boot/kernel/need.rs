//! Whether a worker needs a reboot, and by what that is known. "Cannot tell" is an answer of its own and never "no".

use super::answer::KernelAnswer;
use super::version::same_flavour;

/// Whether a worker needs a reboot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Something there says so.
    Required,
    /// Somebody who would know says that it does not, and nobody else says that it does.
    NotRequired,
    /// Nobody who would know has answered.
    CannotTell,
}

impl Need {
    /// As JSON has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::NotRequired => "not_required",
            Self::CannotTell => "cannot_tell",
        }
    }
}

/// An answer with its reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RebootNeed {
    /// The answer.
    pub need: Need,
    /// What it is known by, or what is missing for one; never empty.
    pub why: Vec<String>,
}

impl RebootNeed {
    /// The reasons in one line.
    pub fn reasons(&self) -> String {
        self.why.join("; ")
    }

    /// It was not even asked.
    pub fn unanswered(why: impl Into<String>) -> Self {
        Self { need: Need::CannotTell, why: vec![why.into()] }
    }
}

/// The packages of `dnf needs-restarting -r`, in one line: `  * kernel   * glibc`.
fn packages_of_dnf(said: &str) -> String {
    let names = said.split(" * ").skip(1).filter_map(|part| part.split_whitespace().next());
    names.take(12).collect::<Vec<_>>().join(", ")
}

/// What one source has said.
enum Said {
    Required(String),
    NotRequired(String),
    /// It was asked, and has not answered.
    Unclear(String),
    /// It has nothing to go by.
    Blind(String),
    /// It is not there, or has no such command.
    Nothing,
}

impl KernelAnswer {
    /// Whether a reboot is needed. One reason for it is enough, whoever else says no; without one, it takes somebody
    /// who would know, and nobody who was asked and has not answered.
    pub fn need(&self) -> RebootNeed {
        let (mut yes, mut no, mut unclear) = (Vec::new(), Vec::new(), Vec::new());
        self.by_flags(&mut yes, &mut no);
        // That no kernel was found to compare with is no reason to doubt who does know.
        let mut blind = None;
        let mut knows = false;
        let said = [self.by_needrestart(), self.by_microcode(), self.by_dnf(), self.by_zypper()];
        for said in [self.by_kernels()].into_iter().chain(said) {
            match said {
                Said::Required(why) => yes.push(why),
                Said::NotRequired(why) => {
                    knows = true;
                    no.push(why);
                }
                Said::Blind(why) => blind = Some(why),
                Said::Unclear(why) => unclear.push(why),
                Said::Nothing => {}
            }
        }
        if !self.is_whole {
            unclear.push("its answer is not whole".to_owned());
        }
        if !yes.is_empty() {
            return RebootNeed { need: Need::Required, why: yes };
        }
        if knows && unclear.is_empty() {
            return RebootNeed { need: Need::NotRequired, why: no };
        }
        unclear.extend(blind.filter(|_| !knows));
        RebootNeed { need: Need::CannotTell, why: unclear }
    }

    /// Files that packages leave. That there is none says little: on many systems nobody writes it.
    fn by_flags(&self, yes: &mut Vec<String>, no: &mut Vec<String>) {
        for flag in &self.flags {
            yes.push(match &self.packages {
                Some(packages) if flag.ends_with("reboot-required") => format!("{flag} ({packages})"),
                _ => flag.clone(),
            });
        }
        if self.flags.is_empty() && self.writer {
            no.push("there is no /run/reboot-required".to_owned());
        }
    }

    fn by_kernels(&self) -> Said {
        let Some(running) = &self.running else {
            return Said::Blind("it does not say which kernel runs".to_owned());
        };
        if self.is_container {
            return Said::Blind("it is a container, and its kernel is another machine's".to_owned());
        }
        if let Some(newer) = self.newer() {
            return Said::Required(format!("{newer} is installed, and {running} runs"));
        }
        let Some(newest) = self.newest() else {
            let unread = match self.unread.as_slice() {
                [] => String::new(),
                folders => format!(" ({} cannot be read)", folders.join(" and ")),
            };
            return Said::Blind(format!("no installed kernel was found to compare {running} with{unread}"));
        };
        if !self.installed.contains(running) {
            return Said::Required(format!("{running} runs, and is not installed any more ({newest} is)"));
        }
        match (&self.build, &self.image) {
            (Some(build), Some(image))
                if image.starts_with(running.as_str())
                    && image.contains('#')
                    && !image.contains(build.trim()) =>
            {
                Said::Required(format!("another build of {running} is installed than the one that runs"))
            }
            _ => Said::NotRequired(format!("{running} is the newest kernel installed")),
        }
    }

    fn by_needrestart(&self) -> Said {
        let Some(said) = &self.needrestart else { return Said::Nothing };
        // It compares kernels of all flavours with one another.
        let is_update = match (&said.runs, &said.expects) {
            (Some(runs), Some(expects)) => same_flavour(runs, expects),
            _ => true,
        };
        match (said.kernel, &said.expects) {
            (Some(1), _) => Said::NotRequired("needrestart: no kernel is pending".to_owned()),
            (Some(2), _) => Said::Required("needrestart: another build of the kernel is pending".to_owned()),
            (Some(3), Some(expects)) if is_update => {
                Said::Required(format!("needrestart: kernel {expects} is pending"))
            }
            (Some(3), None) => Said::Required("needrestart: another kernel is pending".to_owned()),
            (Some(0 | 3), _) => Said::Nothing,
            _ => Said::Unclear("needrestart has not answered".to_owned()),
        }
    }

    /// That no microcode is pending says nothing of the rest.
    fn by_microcode(&self) -> Said {
        match self.needrestart.as_ref().and_then(|said| said.microcode) {
            Some(2) => Said::Required("needrestart: the processor's microcode is obsolete".to_owned()),
            _ => Said::Nothing,
        }
    }

    /// Exit code 1 is "required" and any error alike, in dnf 4 and 5: the words tell which.
    fn by_dnf(&self) -> Said {
        let Some(code) = self.dnf else { return Said::Nothing };
        let said = self.dnf_said.as_str();
        let has = |words: &str| said.contains(words);
        if code == 1 && has("Reboot is required") {
            let packages = packages_of_dnf(said);
            let packages = if packages.is_empty() { String::new() } else { format!(" ({packages})") };
            return Said::Required(format!("dnf needs-restarting{packages}"));
        }
        if code == 0 && has("Reboot should not be necessary") {
            return Said::NotRequired("dnf needs-restarting: not necessary".to_owned());
        }
        if has("No such command") || has("nknown argument \"needs-restarting\"") {
            return Said::Nothing;
        }
        let why = match code {
            124 | 137 => "in time".to_owned(),
            code => format!("(exit code {code})"),
        };
        Said::Unclear(format!("dnf needs-restarting has not answered {why}"))
    }

    /// zypper(8): 102 is ZYPPER_EXIT_INF_REBOOT_NEEDED; 1 and 2 are a bug and wrong usage, as of one that does not
    /// know the command.
    fn by_zypper(&self) -> Said {
        match self.zypper {
            None | Some(1 | 2) => Said::Nothing,
            Some(102) => Said::Required("zypper needs-rebooting".to_owned()),
            Some(0) => Said::NotRequired("zypper needs-rebooting: not needed".to_owned()),
            Some(124 | 137) => Said::Unclear("zypper needs-rebooting has not answered in time".to_owned()),
            Some(code) => {
                Said::Unclear(format!("zypper needs-rebooting has not answered (exit code {code})"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CURRENT: &str = "running 6.1.0-57-amd64\nos debian\nfile /boot/vmlinuz-6.1.0-52-amd64\nfile \
                           /boot/vmlinuz-6.1.0-57-amd64\n";
    const BEHIND: &str = "running 6.1.0-52-amd64\nos debian\nfile /boot/vmlinuz-6.1.0-52-amd64\nfile \
                          /boot/vmlinuz-6.1.0-57-amd64\n";
    const UNKNOWN: &str = "running 6.1.0-52-amd64\nos debian\n";
    /// As needrestart 3.6 of Debian 12 prints it (README.batch.md).
    const KSTA: &str = "needrestart 0\nneeds_KCUR 6.1.0-52-amd64\nneeds_KEXP 6.1.0-57-amd64\nneeds_KSTA";
    /// dnf-plugins-core 4.3.1 (needs_restarting.py), and dnf5 with the same words.
    const DNF_YES: &str = "dnf_said Core libraries or services have been updated since boot-up:   * glibc   * kernel  \
                           Reboot is required to fully utilize these updates. More information: \
                           https://access.redhat.com/solutions/27943 \n";
    const DNF_NO: &str = "dnf_said No core libraries or services have been updated since boot-up. Reboot should not be \
                          necessary. \n";

    fn need(lines: &str) -> RebootNeed {
        KernelAnswer::read(format!("maand-boot 1\n{lines}\nend\n").as_bytes()).need()
    }

    #[track_caller]
    fn is(lines: &str, need_: Need, words: &str) {
        let found = need(lines);
        assert_eq!(found.need, need_, "{lines}: {:?}", found.why);
        assert!(found.reasons().contains(words), "{lines}: no `{words}` in {:?}", found.why);
    }

    #[test]
    fn each_source_by_itself() {
        use Need::{CannotTell, NotRequired, Required};
        for (lines, need, words) in [
            (CURRENT.to_owned(), NotRequired, "6.1.0-57-amd64 is the newest kernel installed"),
            (BEHIND.to_owned(), Required, "6.1.0-57-amd64 is installed, and 6.1.0-52-amd64 runs"),
            (UNKNOWN.to_owned(), CannotTell, "no installed kernel was found to compare 6.1.0-52-amd64 with"),
            (format!("{UNKNOWN}unread /boot"), CannotTell, "(/boot cannot be read)"),
            (format!("{BEHIND}container"), CannotTell, "a container"),
            (String::new(), CannotTell, "does not say which kernel runs"),
            (
                "running 6.8.5-arch1-1\nos arch\nfile /usr/lib/modules/6.8.7-arch1-1/vmlinuz".to_owned(),
                Required,
                "6.8.7-arch1-1 is installed",
            ),
            (
                "running 6.8.7-arch1-1\nos arch\nfile /usr/lib/modules/6.8.5-arch1-1/vmlinuz".to_owned(),
                Required,
                "is not installed any more (6.8.5-arch1-1 is)",
            ),
            (
                format!(
                    "{CURRENT}build #1 SMP Debian 6.1.164-1\nimage 6.1.0-57-amd64 (d@d) #1 SMP Debian 6.1.170-1"
                ),
                Required,
                "another build of 6.1.0-57-amd64",
            ),
            (
                format!(
                    "{CURRENT}build #1 SMP Debian 6.1.164-1\nimage 6.1.0-57-amd64 (d@d) #1 SMP Debian 6.1.164-1 (2026)"
                ),
                NotRequired,
                "newest",
            ),
            (
                format!("{CURRENT}required /run/reboot-required\npackages libc6 linux-image-6.1.0-57-amd64"),
                Required,
                "/run/reboot-required (libc6 linux-image-6.1.0-57-amd64)",
            ),
            (format!("{CURRENT}writer /x"), NotRequired, "there is no /run/reboot-required"),
            (format!("{UNKNOWN}writer /x"), CannotTell, "no installed kernel"),
            (format!("{UNKNOWN}required /run/reboot-needed"), Required, "/run/reboot-needed"),
            (format!("{UNKNOWN}{KSTA} 0"), CannotTell, "no installed kernel"),
            (format!("{UNKNOWN}{KSTA} 1"), NotRequired, "needrestart: no kernel is pending"),
            (format!("{UNKNOWN}{KSTA} 2"), Required, "another build"),
            (format!("{UNKNOWN}{KSTA} 3"), Required, "kernel 6.1.0-57-amd64 is pending"),
            (format!("{UNKNOWN}{KSTA} 9"), CannotTell, "needrestart has not answered"),
            (format!("{UNKNOWN}needrestart 1"), CannotTell, "needrestart has not answered"),
            (format!("{CURRENT}needrestart 124"), CannotTell, "needrestart has not answered"),
            (format!("{CURRENT}{KSTA} 1\nneeds_UCSTA 2"), Required, "microcode"),
            (format!("{CURRENT}{KSTA} 1\nneeds_UCSTA 0"), NotRequired, "newest"),
            (format!("{UNKNOWN}dnf 1\n{DNF_YES}"), Required, "dnf needs-restarting (glibc, kernel)"),
            (format!("{UNKNOWN}dnf 0\n{DNF_NO}"), NotRequired, "dnf needs-restarting: not necessary"),
            (
                format!(
                    "{CURRENT}dnf 1\ndnf_said No such command: needs-restarting. Please use /usr/bin/dnf --help"
                ),
                NotRequired,
                "newest",
            ),
            (
                format!(
                    "{CURRENT}dnf 2\ndnf_said Unknown argument \"needs-restarting\" for command \"dnf5\"."
                ),
                NotRequired,
                "newest",
            ),
            (
                format!("{CURRENT}dnf 1\ndnf_said Error: Cache-only enabled but no cache"),
                CannotTell,
                "exit code 1",
            ),
            (format!("{CURRENT}dnf 1\n{DNF_NO}"), CannotTell, "exit code 1"),
            (format!("{CURRENT}dnf 124\ndnf_said"), CannotTell, "in time"),
            (format!("{CURRENT}dnf x"), CannotTell, "exit code -1"),
            (format!("{UNKNOWN}zypper 102"), Required, "zypper needs-rebooting"),
            (format!("{UNKNOWN}zypper 0"), NotRequired, "zypper needs-rebooting: not needed"),
            (format!("{CURRENT}zypper 2"), NotRequired, "newest"),
            (format!("{CURRENT}zypper 7"), CannotTell, "exit code 7"),
        ] {
            is(&lines, need, words);
        }
    }

    #[test]
    fn one_reason_is_enough_whoever_says_no() {
        is(
            &format!("{BEHIND}dnf 0\n{DNF_NO}zypper 0\n{KSTA} 1"),
            Need::Required,
            "6.1.0-57-amd64 is installed",
        );
        is(&format!("{CURRENT}dnf 1\n{DNF_YES}needrestart 124"), Need::Required, "glibc");
        // needrestart compares all flavours with one another.
        let other = "needrestart 0\nneeds_KCUR 6.1.0-57-amd64\nneeds_KEXP 6.1.0-57-cloud-amd64\nneeds_KSTA 3";
        is(&format!("{CURRENT}{other}"), Need::NotRequired, "newest");
    }

    #[test]
    fn an_answer_that_is_cut_is_never_a_no() {
        let cut = |lines: &str| KernelAnswer::read(format!("maand-boot 1\n{lines}").as_bytes()).need();
        assert_eq!(cut(CURRENT).need, Need::CannotTell);
        assert_eq!(cut(BEHIND).need, Need::Required, "what is said is said");
        for text in ["", "maand-boot 2\nend\n", "nothing of it"] {
            let need = KernelAnswer::read(text.as_bytes()).need();
            assert!(need.need == Need::CannotTell && !need.why.is_empty(), "{text}");
        }
    }

    proptest! {
        /// Whatever one line says, there are reasons, and without somebody who knows there is no "no".
        #[test]
        fn nonsense_is_no_no(line in "(dnf|zypper|needs_KSTA|needs_UCSTA|needrestart|required|image|os|x) \\PC{0,40}") {
            let need = need(&format!("{UNKNOWN}{line}"));
            prop_assert!(!need.why.is_empty());
            let knows = ["needs_KSTA", "zypper"].iter().any(|name| line.starts_with(name));
            prop_assert!(knows || need.need != Need::NotRequired, "{}: {:?}", line, need);
        }
    }
}
