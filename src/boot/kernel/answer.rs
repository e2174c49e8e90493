//! What a worker has answered about its kernels, read line by line. It may be anything: cut, huge, made up. What is not
//! understood is left out, and what is left out is unknown.

use std::collections::BTreeSet;

use super::version::{VersionOrder, same_flavour};

/// The script that asks, for `sh`. `TOOLS`: `no`; `quiet`, also a tool of the worker that writes nothing there; or `all`.
/// Each has at most `TOOL_SECONDS`.
pub const KERNEL_LOOK: &str = include_str!("look.sh");

/// So much of an answer is read: many times what an honest one has.
const LONGEST: usize = 64 * 1024;
/// So many lines are looked at.
const LINES: usize = 600;
/// So much of a line's value is kept, but for those that are long by their nature.
const VALUE: usize = 400;
/// The kernel's own bound is 4,096 on most architectures.
const LONG_VALUE: usize = 4096;
/// The longest name of a kernel: what uname(2) has room for, and some more.
const NAME: usize = 128;

/// What needrestart has said (its README.batch.md).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Needrestart {
    /// 0: unknown; 1: nothing pending; 2: another build of the same version; 3: another version.
    pub(super) kernel: Option<u8>,
    /// The kernel that runs, and the one that it expects.
    pub(super) runs: Option<String>,
    pub(super) expects: Option<String>,
    /// 0: unknown; 1: current; 2: obsolete.
    pub(super) microcode: Option<u8>,
}

/// What was said; `None`: it was not, or not in a way that is understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelAnswer {
    pub(super) is_whole: bool,
    pub(super) running: Option<String>,
    pub(super) build: Option<String>,
    pub(super) cmdline: Option<String>,
    pub(super) systems: Vec<String>,
    pub(super) is_container: bool,
    pub(super) installed: BTreeSet<String>,
    pub(super) image: Option<String>,
    pub(super) unread: Vec<String>,
    pub(super) default: Option<String>,
    pub(super) flags: Vec<String>,
    pub(super) packages: Option<String>,
    pub(super) writer: bool,
    pub(super) needrestart: Option<Needrestart>,
    pub(super) dnf: Option<i32>,
    pub(super) dnf_said: String,
    pub(super) zypper: Option<i32>,
}

impl KernelAnswer {
    /// Reads what came back.
    pub fn read(bytes: &[u8]) -> Self {
        let mut answer = Self::default();
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(LONGEST)]);
        let mut lines = text.lines().take(LINES);
        // What a wrapper prints before is not ours.
        if !lines.any(|line| line.trim_end() == "maand-boot 1") {
            return answer;
        }
        let mut loader = None;
        for line in lines {
            if answer.is_whole {
                break;
            }
            let (name, value) = line.split_once(' ').unwrap_or((line, ""));
            answer.take(name, value.trim(), &mut loader);
        }
        answer.default = answer.default.or(loader);
        answer
    }

    /// `loader`: what the links say would boot, for when nothing better is known.
    fn take(&mut self, name: &str, value: &str, loader: &mut Option<String>) {
        let text = |most| Some(tidy(value, most)).filter(|value| !value.is_empty());
        match name {
            "running" => self.running = kernel_name(value),
            "build" => self.build = text(VALUE),
            "cmdline" => self.cmdline = text(LONG_VALUE),
            "os" => self.systems.extend(value.split_whitespace().take(20).map(|id| tidy(id, NAME))),
            "container" => self.is_container = true,
            "unread" => self.unread.extend(text(VALUE)),
            "file" => self.installed.extend(kernel_of_path(value)),
            "image" => self.image = text(VALUE),
            "default" => {
                let (how, value) = value.split_once(' ').unwrap_or((value, ""));
                let kernel = match how {
                    "entry" => kernel_in_title(value),
                    _ => kernel_of_path(value).or_else(|| kernel_name(value)),
                };
                match how {
                    "link" => *loader = loader.take().or(kernel),
                    _ => self.default = self.default.take().or(kernel),
                }
            }
            "required" => self.flags.extend(text(VALUE)),
            "packages" => self.packages = text(VALUE),
            "writer" => self.writer = true,
            "needrestart" => self.needrestart = Some(Needrestart::default()),
            "needs_KSTA" | "needs_UCSTA" | "needs_KCUR" | "needs_KEXP" => {
                let said = self.needrestart.get_or_insert_default();
                match name {
                    "needs_KSTA" => said.kernel = value.parse().ok(),
                    "needs_UCSTA" => said.microcode = value.parse().ok(),
                    "needs_KCUR" => said.runs = kernel_name(value),
                    _ => said.expects = kernel_name(value),
                }
            }
            // A code that is none is one that nothing is known of.
            "dnf" => self.dnf = Some(value.parse().unwrap_or(-1)),
            "dnf_said" => self.dnf_said = tidy(value, LONG_VALUE),
            "zypper" => self.zypper = Some(value.parse().unwrap_or(-1)),
            "end" => self.is_whole = true,
            _ => {}
        }
    }

    /// `uname -r`.
    pub fn running(&self) -> Option<&str> {
        self.running.as_deref()
    }

    /// The command line that the kernel was started with.
    pub fn cmdline(&self) -> Option<&str> {
        self.cmdline.as_deref()
    }

    /// The kernel that would boot, as far as the boot loader's files say.
    pub fn would_boot(&self) -> Option<&str> {
        self.default.as_deref()
    }

    /// The newest kernel that is installed, of the flavour of the one that runs.
    pub fn newest(&self) -> Option<&str> {
        let (running, order) = (self.running.as_deref()?, self.order());
        let alike = self.installed.iter().filter(|name| same_flavour(name, running) && !self.is_container);
        alike.max_by(|one, other| order.compare(one, other)).map(String::as_str)
    }

    /// The newest kernel, where it is newer than the one that runs.
    pub fn newer(&self) -> Option<&str> {
        let running = self.running.as_deref()?;
        self.newest().filter(|newest| self.order().compare(newest, running).is_gt())
    }

    fn order(&self) -> VersionOrder {
        VersionOrder::of_system(self.systems.iter().map(String::as_str))
    }
}

/// Without control characters, and no longer than that.
fn tidy(text: &str, most: usize) -> String {
    let mut kept = String::new();
    for sign in text.trim().chars() {
        if kept.len() + sign.len_utf8() > most {
            break;
        }
        kept.push(if sign.is_control() { ' ' } else { sign });
    }
    kept
}

/// A name as `uname -r` prints it: `6.1.0-52-amd64`. What cannot be one, or is a copy that somebody keeps, is none.
fn kernel_name(text: &str) -> Option<String> {
    const COPIES: [&str; 9] =
        [".old", ".bak", ".orig", ".rpmsave", ".rpmnew", ".rpmorig", ".hmac", ".sig", "-rescue"];
    let (major, rest) = text.split_once('.')?;
    let fits = text.len() <= NAME
        && !major.is_empty()
        && major.bytes().all(|byte| byte.is_ascii_digit())
        && rest.starts_with(|sign: char| sign.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-+_~:".contains(&byte));
    let is_copy = COPIES.iter().any(|ending| text.ends_with(ending)) || text.contains(".dpkg-");
    (fits && !is_copy).then(|| text.to_owned())
}

/// The kernel that is in a file, by where the file is.
fn kernel_of_path(path: &str) -> Option<String> {
    let mut parts = path.rsplit('/');
    let file = parts.next()?;
    if matches!(file, "linux" | "vmlinuz" | "vmlinux") {
        return kernel_name(parts.next()?);
    }
    for prefix in ["vmlinuz-", "vmlinux-", "kernel-", "Image-"] {
        if let Some(name) = file.strip_prefix(prefix) {
            return kernel_name(name);
        }
    }
    let name = file.strip_suffix(".efi")?;
    // `<machine id>-<version>`, and `+3` of boot counting behind it.
    let name = match name.split_once('-') {
        Some((id, name)) if id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) => name,
        _ => name,
    };
    kernel_name(name)
}

/// The kernel in the title or id of a GRUB entry, such as `...>Debian GNU/Linux, with Linux 6.1.0-52-amd64` or
/// `gnulinux-6.1.0-52-amd64-advanced-UUID`.
fn kernel_in_title(title: &str) -> Option<String> {
    let last = title.rsplit('>').next()?;
    if last.contains("recovery") {
        return None;
    }
    if let Some((_, rest)) = last.split_once("with Linux ") {
        return kernel_name(rest.split_whitespace().next()?);
    }
    if let Some((id, version)) = last.split_once('-')
        && id.len() == 32
        && id.bytes().all(|byte| byte.is_ascii_hexdigit())
    {
        return kernel_name(version);
    }
    let name = last.strip_prefix("gnulinux-")?.split("-advanced").next()?;
    kernel_name(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn kernels_are_known_by_where_they_are() {
        for (path, name) in [
            ("/boot/vmlinuz-6.1.0-52-amd64", Some("6.1.0-52-amd64")),
            ("/boot/vmlinuz-5.14.0-427.13.1.el9_4.x86_64", Some("5.14.0-427.13.1.el9_4.x86_64")),
            ("/boot/vmlinux-5.14.21-150500.55.52-default", Some("5.14.21-150500.55.52-default")),
            ("/usr/lib/modules/6.8.5-arch1-1/vmlinuz", Some("6.8.5-arch1-1")),
            (
                "/boot/3d1219c7c4c5404aaa1f6d2a48adfda4/6.8.5-301.fc40.x86_64/linux",
                Some("6.8.5-301.fc40.x86_64"),
            ),
            ("/boot/ostree/fedora-coreos-0a/vmlinuz-6.8.5-301.fc40.x86_64", Some("6.8.5-301.fc40.x86_64")),
            ("/boot/EFI/Linux/3d1219c7c4c5404aaa1f6d2a48adfda4-6.8.5.efi", Some("6.8.5")),
            ("/boot/EFI/Linux/6.8.5-arch1-1.efi", Some("6.8.5-arch1-1")),
            ("/boot/vmlinuz-0-rescue-3d1219c7c4c5404aaa1f6d2a48adfda4", None),
            ("/boot/vmlinuz-6.1.0-52-amd64.old", None),
            ("/boot/vmlinuz-6.1.0-52-amd64.dpkg-new", None),
            ("/boot/vmlinuz-linux", None),
            ("/boot/vmlinuz-", None),
            ("/boot/EFI/Linux/arch-linux.efi", None),
            ("/boot/vmlinuz-6.1.0-52-amd64 /x", None),
            ("", None),
        ] {
            assert_eq!(kernel_of_path(path).as_deref(), name, "{path}");
        }
    }

    #[test]
    fn what_would_boot_is_read_of_the_loader_and_else_of_the_links() {
        let read = |lines: &str| {
            let answer = KernelAnswer::read(format!("maand-boot 1\n{lines}\nend\n").as_bytes());
            answer.would_boot().map(str::to_owned)
        };
        for (lines, default) in [
            ("default link vmlinuz-6.1.0-57-amd64", Some("6.1.0-57-amd64")),
            ("default link boot/vmlinuz-6.1.0-57-amd64", Some("6.1.0-57-amd64")),
            (
                "default grub /vmlinuz-6.1.0-52-amd64\ndefault link vmlinuz-6.1.0-57-amd64",
                Some("6.1.0-52-amd64"),
            ),
            (
                "default grubby /boot/vmlinuz-5.14.0-427.el9.x86_64\ndefault grub ${kernel}",
                Some("5.14.0-427.el9.x86_64"),
            ),
            ("default bls 6.8.5-301.fc40.x86_64", Some("6.8.5-301.fc40.x86_64")),
            (
                "default entry Advanced options for Debian GNU/Linux>Debian GNU/Linux, with Linux 6.1.0-52-amd64",
                Some("6.1.0-52-amd64"),
            ),
            ("default entry gnulinux-advanced-u>gnulinux-6.1.0-52-amd64-advanced-u", Some("6.1.0-52-amd64")),
            ("default entry gnulinux-advanced-u>gnulinux-6.1.0-52-amd64-recovery-u", None),
            (
                "default entry 3d1219c7c4c5404aaa1f6d2a48adfda4-5.14.0-427.el9.x86_64",
                Some("5.14.0-427.el9.x86_64"),
            ),
            ("default entry 1>2", None),
            ("default grub", None),
            ("default", None),
        ] {
            assert_eq!(read(lines).as_deref(), default, "{lines}");
        }
    }

    #[test]
    fn the_newest_is_of_the_flavour_that_runs_and_by_numbers() {
        let newest = |running: &str, files: &[&str]| {
            let files: Vec<String> = files.iter().map(|name| format!("file /boot/vmlinuz-{name}")).collect();
            let text = format!("maand-boot 1\nrunning {running}\nos debian\n{}\nend\n", files.join("\n"));
            let answer = KernelAnswer::read(text.as_bytes());
            (answer.newest().map(str::to_owned), answer.newer().map(str::to_owned))
        };
        let some = |name: &str| Some(name.to_owned());
        let ten = newest(
            "6.1.0-9-amd64",
            &["6.1.0-10-amd64", "6.1.0-9-amd64", "6.1.0-10-amd64.old", "6.99-rt-amd64"],
        );
        assert_eq!(ten, (some("6.1.0-10-amd64"), some("6.1.0-10-amd64")));
        assert_eq!(newest("6.1.0-10-amd64", &["6.1.0-9-amd64"]), (some("6.1.0-9-amd64"), None));
        assert_eq!(newest("6.1.0-9-amd64", &["6.1.0-10-cloud-amd64"]), (None, None));
        assert_eq!(newest("6.1.0-9-amd64", &[]), (None, None));
        assert_eq!(newest("nonsense", &["6.1.0-10-amd64"]), (None, None));
    }

    #[test]
    fn a_huge_answer_is_cut_and_escapes_are_text() {
        let text = format!(
            "noise\nmaand-boot 1\ncmdline \u{1b}[2J{}\nrunning 6.1\u{1b}[0m\n{}end\n",
            "x".repeat(50_000),
            "file /boot/vmlinuz-6.1\n".repeat(100_000)
        );
        let answer = KernelAnswer::read(text.as_bytes());
        let cmdline = answer.cmdline().unwrap();
        assert!(cmdline.len() <= LONG_VALUE && !cmdline.contains('\u{1b}'));
        assert_eq!((answer.running(), answer.is_whole), (None, false));
    }

    proptest! {
        /// Whatever comes, nothing panics, and what is not whole is not taken for whole.
        #[test]
        fn any_answer_is_read(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
            let answer = KernelAnswer::read(&bytes);
            answer.newer();
            prop_assert!(!answer.is_whole || bytes.starts_with(b"maand-boot 1"));
        }

        #[test]
        fn any_line_is_read(
            line in "(running|file|default|image|needs_KSTA|dnf|zypper|os|packages) \\PC{0,80}",
        ) {
            let answer = KernelAnswer::read(format!("maand-boot 1\n{line}\nend\n").as_bytes());
            answer.newer();
            prop_assert!(answer.is_whole);
        }
    }
}
