//! The title of a terminal's window and its progress in a task bar (OSC 2 and OSC 9;4), where the terminal has them.

use super::PublicRunState;
use super::view::RunView;
use crate::plan::visible_line;

/// How far the run is, as a task bar shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// In percent.
    Running(u64),
    /// The same in red.
    Failed(u64),
    /// The same in yellow.
    Waiting(u64),
}

pub(super) fn title_of(view: &RunView) -> String {
    let counts = &view.counts;
    let failed = if counts.failures > 0 { format!(", {} failed", counts.failures) } else { String::new() };
    let title =
        format!("maand {}: {}/{}{failed} {}", view.plan, counts.ended(), counts.total, view.state.as_str());
    visible_line(&title)
}

pub(super) fn progress_of(view: &RunView) -> Progress {
    let (done, of) = view.progress();
    let percent = done * 100 / of.max(1);
    match view.state {
        _ if view.counts.failures > 0 => Progress::Failed(percent),
        PublicRunState::Running if !view.is_paused() => Progress::Running(percent),
        _ => Progress::Waiting(percent),
    }
}

/// What a terminal's window shows besides its text.
#[derive(Debug, Default)]
pub(super) struct Window {
    has_title: bool,
    has_progress: bool,
    title: Option<String>,
    progress: Option<Progress>,
}

impl Window {
    /// What the terminal of this process has, by what it says of itself.
    pub(super) fn of_environment() -> Self {
        let variable = |name: &str| std::env::var(name).unwrap_or_default();
        Self::of(&variable)
    }

    fn of(variable: &dyn Fn(&str) -> String) -> Self {
        let term = variable("TERM");
        let titled = [
            "xterm",
            "tmux",
            "screen",
            "rxvt",
            "alacritty",
            "foot",
            "konsole",
            "vte",
            "st-",
            "wezterm",
            "ghostty",
        ];
        let program = variable("TERM_PROGRAM");
        // A multiplexer hides the terminal, whatever variables it has inherited.
        let direct = !term.starts_with("tmux") && !term.starts_with("screen");
        let has_progress = direct
            && (!variable("WT_SESSION").is_empty()
                || variable("ConEmuANSI") == "ON"
                || matches!(program.as_str(), "WezTerm" | "ghostty")
                // From version 3.6.6 on iTerm2 says so; before, it took it for a notification.
                || (program == "iTerm.app" && variable("TERM_FEATURES").contains('P'))
                || variable("VTE_VERSION").parse::<u32>().is_ok_and(|version| version >= 7900));
        Self {
            has_title: titled.iter().any(|known| term.starts_with(known)),
            has_progress,
            ..Self::default()
        }
    }

    /// The control sequences for what has changed.
    pub(super) fn changed(&mut self, title: String, progress: Progress) -> String {
        let mut text = String::new();
        if self.has_title && self.title.as_ref() != Some(&title) {
            if self.title.is_none() {
                // The terminal keeps the title of before.
                text.push_str("\x1b[22;2t");
            }
            text.push_str(&format!("\x1b]2;{title}\x07"));
            self.title = Some(title);
        }
        if self.has_progress && self.progress != Some(progress) {
            let (state, percent) = match progress {
                Progress::Running(percent) => (1, percent),
                Progress::Failed(percent) => (2, percent),
                Progress::Waiting(percent) => (4, percent),
            };
            text.push_str(&format!("\x1b]9;4;{state};{percent}\x1b\\"));
            self.progress = Some(progress);
        }
        text
    }

    /// The control sequences that give back what was changed.
    pub(super) fn restored(&mut self) -> String {
        let mut text = String::new();
        if self.title.take().is_some() {
            text.push_str("\x1b]2;\x07\x1b[23;2t");
        }
        if self.progress.take().is_some() {
            text.push_str("\x1b]9;4;0;0\x1b\\");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(variables: &[(&str, &str)]) -> Window {
        Window::of(&|name| {
            variables
                .iter()
                .find(|(known, _)| *known == name)
                .map_or_else(String::new, |(_, value)| (*value).into())
        })
    }

    #[test]
    fn only_what_a_terminal_has_is_sent_and_all_of_it_is_taken_back() {
        let mut plain = window(&[("TERM", "linux")]);
        assert_eq!(plain.changed("maand".into(), Progress::Running(5)), "");
        assert_eq!(plain.restored(), "");
        let mut wezterm = window(&[("TERM", "xterm-256color"), ("TERM_PROGRAM", "WezTerm")]);
        assert_eq!(
            wezterm.changed("a".into(), Progress::Running(5)),
            "\x1b[22;2t\x1b]2;a\x07\x1b]9;4;1;5\x1b\\"
        );
        assert_eq!(wezterm.changed("a".into(), Progress::Running(5)), "", "nothing has changed");
        assert_eq!(wezterm.changed("a".into(), Progress::Failed(6)), "\x1b]9;4;2;6\x1b\\");
        assert_eq!(wezterm.restored(), "\x1b]2;\x07\x1b[23;2t\x1b]9;4;0;0\x1b\\");
        let mut inside = window(&[("TERM", "tmux-256color"), ("TERM_PROGRAM", "WezTerm")]);
        assert!(!inside.changed("a".into(), Progress::Running(5)).contains("]9;4"));
    }
}
