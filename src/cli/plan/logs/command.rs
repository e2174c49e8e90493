//! The command of an attempt: what a shell got of the plan, with the text of a script as it was when the run was started.
//! Secrets are in it by their names only, as in the plan.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;

use super::super::show::{CommandJson, EnvJson, commands, env};
use crate::engine::Intent;
use crate::plan::{Step, counted, visible};

/// Lines of a command that are shown; JSON has them all.
const LINES: usize = 40;

/// What an attempt has given to a shell.
#[derive(Serialize, JsonSchema)]
pub(super) struct CommandOf<'a> {
    /// `command`, `script`, `request` or `undo`.
    part: &'static str,
    /// The text of a command, or the path of a script.
    text: Cow<'a, str>,
    /// The script as it was when the run was started; only with the first attempt of its step that is printed.
    script: Option<&'a str>,
    /// The command that decides whether there is something to do.
    unless: Option<Cow<'a, str>>,
    /// The variables that the plan gives it, beside those of `vars`.
    env: Vec<EnvJson<'a>>,
}

/// The command of an attempt with this intent; `None`: it has none of the plan's.
pub(super) fn command_of<'a>(
    step: &'a Step,
    intent: &Intent,
    scripts: &'a BTreeMap<String, String>,
) -> Option<CommandOf<'a>> {
    let undo = match intent {
        Intent::Do { .. } | Intent::Reboot { .. } => false,
        Intent::UndoCommand => true,
        _ => return None,
    };
    let all = commands(step);
    let text_of =
        |part: &str| all.iter().find(|command| command.part == part).map(|command| command.text.clone());
    let is_meant = |command: &&CommandJson<'_>| match undo {
        true => command.part == "undo",
        false => matches!(command.part, "command" | "script" | "request"),
    };
    let CommandJson { part, text } = all.iter().find(is_meant)?;
    let (part, text) = (*part, text.clone());
    let script = (part == "script").then(|| scripts.get(text.as_ref()).map(String::as_str)).flatten();
    let unless = if undo { None } else { text_of("unless") };
    Some(CommandOf { part, text, script, unless, env: env(step) })
}

impl CommandOf<'_> {
    /// Without the text of a script that was printed already.
    pub(super) fn without_script(self) -> Self {
        Self { script: None, ..self }
    }

    /// As lines of a log, which what a step has written cannot look like.
    pub(super) fn write(&self, text: &mut String) {
        match self.script {
            Some(script) => {
                let _ = writeln!(text, "    $ script {}", one_line(&self.text));
                lines(text, "      ", script);
            }
            None if self.part == "script" => {
                let _ = writeln!(text, "    $ script {} (not stored)", one_line(&self.text));
            }
            None => lines(text, "    $ ", &self.text),
        }
        if let Some(unless) = &self.unless {
            lines(text, "    $ unless ", unless);
        }
        for EnvJson { name, from_env, .. } in &self.env {
            let from =
                from_env.map(|from| format!(", a secret from {from} of the controller")).unwrap_or_default();
            let _ = writeln!(text, "    $ env {}{}", one_line(name), one_line(&from));
        }
    }
}

fn one_line(text: &str) -> String {
    crate::plan::visible_line(text)
}

fn lines(text: &mut String, head: &str, command: &str) {
    // Escaped before it is cut into lines: what a terminal takes for a line is only a line feed here.
    let escaped = visible(command.as_bytes());
    let all: Vec<&str> = escaped.trim_end_matches('\n').split('\n').collect();
    let next = " ".repeat(head.len().min(6));
    for (at, line) in all.iter().take(LINES).enumerate() {
        let head = if at == 0 { head } else { &next };
        let _ = writeln!(text, "{head}{line}");
    }
    if all.len() > LINES {
        let _ = writeln!(text, "{next}[{}]", counted(all.len() - LINES, "more line"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Source, parse};

    fn steps(text: &str) -> Vec<Step> {
        parse(&Source::new("p.yaml", format!("version: 1\nname: p\nsteps:\n{text}")), &[]).unwrap().steps
    }

    fn shown(step: &Step, intent: &Intent, scripts: &[(&str, &str)]) -> String {
        let scripts = scripts.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        let mut text = String::new();
        if let Some(command) = command_of(step, intent, &scripts) {
            command.write(&mut text);
        }
        text
    }

    #[test]
    fn a_command_is_shown_with_its_script_and_without_a_secret() {
        let steps = steps(
            "  - id: a\n    run:\n      command: \"one\\ntwo\\e[2J\"\n      unless: test -e x\n      undo: rm x\n      \
             env: {TOKEN: {from_env: MY_TOKEN}, LEVEL: '3'}\n  - id: b\n    run: {script: patch.sh}\n  - health\n",
        );
        let doing = Intent::Do { repeat: false };
        assert_eq!(
            shown(&steps[0], &doing, &[]),
            "    $ one\n      two\\x1b[2J\n    $ unless test -e x\n    $ env LEVEL\n    $ env TOKEN, a secret from MY_TOKEN of the controller\n"
        );
        assert!(shown(&steps[0], &Intent::UndoCommand, &[]).starts_with("    $ rm x\n"));
        let script = format!("#!/bin/sh\n{}", "x\n".repeat(60));
        let text = shown(&steps[1], &doing, &[("patch.sh", &script)]);
        assert!(text.starts_with("    $ script patch.sh\n      #!/bin/sh\n      x\n"), "{text}");
        assert!(
            text.ends_with("      x\n      [21 more lines]\n") && text.lines().count() == LINES + 2,
            "{text}"
        );
        assert_eq!(shown(&steps[1], &doing, &[]), "    $ script patch.sh (not stored)\n");
        assert_eq!(shown(&steps[2], &doing, &[]), "");
        assert_eq!(shown(&steps[0], &Intent::ReadBootId, &[]), "");
    }
}
