//! What a `reboot` asks before, and expects after it.

use super::super::yaml::{Node, Value, shorten};
use super::super::{CannotTell, ExpectedBoot, ExpectedKernel, Located, RebootUnless, code};
use super::common::Decoder;
use super::keys::EXPECTED_BOOT;

/// The word of `unless` that is no command.
const NOT_REQUIRED: &str = "not_required";
/// The word of `kernel` that is no pattern.
const NEWEST: &str = "newest";
/// The longest pattern: names of kernels have at most 64 bytes, and the kernel's command line some thousand.
const LONGEST: usize = 1024;

impl Decoder<'_> {
    pub(super) fn reboot_unless(
        &mut self,
        unless: Option<&Node>,
        cannot_tell: Option<&Node>,
    ) -> Option<RebootUnless> {
        let word = unless.and_then(Node::text).map(str::trim);
        let choice = cannot_tell.map(|node| (node, self.word(node, "cannot_tell", &CannotTell::WORDS)));
        if word == Some(NOT_REQUIRED) {
            let cannot_tell = match choice {
                Some((_, Some(1))) => CannotTell::Reboot,
                _ => CannotTell::Fail,
            };
            return Some(RebootUnless::NotRequired { cannot_tell });
        }
        if let Some((node, _)) = choice {
            let message = "`cannot_tell` is said of `unless: not_required`, and stands without it";
            let help = "write `unless: not_required`, or leave `cannot_tell` out: a command says by its exit code \
                        whether a reboot is needed";
            self.error(code::UNKNOWN_KEY, message, node.span.clone(), "of nothing", help);
        }
        let unless = unless?;
        // A shell would only say that there is no such command, on each worker.
        if let Some(word) = word
            && matches!(
                word.to_ascii_lowercase().replace(['-', ' '], "_").as_str(),
                NOT_REQUIRED | "not_needed"
            )
        {
            let message = format!("`unless` has no word `{}`", shorten(word));
            let help = format!("did you mean `{NOT_REQUIRED}`? All else is a command");
            self.error(code::UNKNOWN_VALUE, message, unless.span.clone(), "unknown value", help);
            return None;
        }
        self.command(unless, "unless").map(RebootUnless::Command)
    }

    pub(super) fn expected_boot(&mut self, node: &Node) -> Option<ExpectedBoot> {
        let example = "expect: {kernel: newest}";
        let fields = self.fields(node, "expect", EXPECTED_BOOT, example)?;
        let (kernel, cmdline) = (fields.get("kernel"), fields.get("cmdline"));
        if kernel.is_none() && cmdline.is_none() {
            let help = "say what is expected, such as `expect: {kernel: newest}`, or leave it out";
            self.missing("`expect`", "kernel", fields.span, help);
            return None;
        }
        let kernel = kernel.and_then(|node| self.expected_kernel(node));
        let cmdline = cmdline.map(|node| self.cmdline(node)).unwrap_or_default();
        Some(ExpectedBoot { kernel, cmdline })
    }

    fn expected_kernel(&mut self, node: &Node) -> Option<ExpectedKernel> {
        let text = self.scalar_text(node, "kernel", "kernel: newest")?;
        if text.value == NEWEST {
            return Some(ExpectedKernel::Newest);
        }
        let fits = text.value.len() <= LONGEST
            && text.value.starts_with(|sign: char| sign.is_ascii_digit() || "*?".contains(sign))
            && text.value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-+_~:*?".contains(&byte));
        if !fits {
            let message = format!("`{}` can be the name of no kernel", shorten(&text.value));
            let help = format!("write `{NEWEST}`, or a pattern for what `uname -r` prints, such as `6.1.*`");
            self.error(code::UNKNOWN_VALUE, message, text.span, "no kernel is called so", help);
            return None;
        }
        Some(ExpectedKernel::Like(text.value))
    }

    /// Words, in one text or in a list.
    fn cmdline(&mut self, node: &Node) -> Vec<String> {
        let example = "cmdline: [nosmt, \"hugepages=*\"]";
        let resolved = self.resolve(node).into_owned();
        let texts: Vec<Located<String>> = match &resolved.value {
            Value::List(_) => {
                let items = self.items(&resolved, "cmdline", "words", example).unwrap_or_default();
                items.iter().filter_map(|item| self.scalar_text(item, "cmdline", example)).collect()
            }
            _ => self.scalar_text(&resolved, "cmdline", example).into_iter().collect(),
        };
        let mut words = Vec::new();
        for text in texts {
            if text.value.len() > LONGEST || text.value.chars().any(|sign| sign.is_control() && sign != '\n')
            {
                let message = format!("`{}` is on no kernel's command line", shorten(&text.value));
                let help = format!("write words that are there after the boot, such as `{example}`");
                self.error(code::UNKNOWN_VALUE, message, text.span, "no word", help);
                continue;
            }
            words.extend(text.value.split_whitespace().map(str::to_owned));
        }
        words
    }
}
