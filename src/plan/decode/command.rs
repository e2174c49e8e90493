//! The options of `run` and `local`.

use std::collections::BTreeMap;

use super::super::secret::is_secret;
use super::super::yaml::{Node, Value, shorten};
use super::super::{CommandSource, CommandStep, EnvValue, Located, Undo, code};
use super::common::{Decoder, Fields};
use super::names::{MOST_OF_A_VALUE, MOST_OF_ALL_VALUES, VALUE_HELP, is_variable_name, reserved};

impl Decoder<'_> {
    /// Shell text: variables reach it as environment and are never put in.
    pub(super) fn command(&mut self, node: &Node, key: &str) -> Option<String> {
        let text = self.plain_text(node, key, "command: systemctl restart ntp")?;
        if text.value.contains('\0') {
            let help = "no shell takes it; to print one, write `printf '\\000'`";
            self.error(
                code::CONTROL_CHARACTER,
                format!("`{key}` has a NUL byte in it"),
                text.span,
                "in here",
                help,
            );
            return None;
        }
        self.vars.used_by_command(&text.value);
        // Written as escapes; a shell would take the carriage return for a part of the last word of each line.
        Some(text.value.replace("\r\n", "\n"))
    }

    /// As [`Decoder::command`], of a `reboot`: it travels as one variable of an environment.
    pub(super) fn reboot_command(&mut self, node: &Node, key: &str) -> Option<String> {
        let text = self.command(node, key)?;
        if text.len() > MOST_OF_A_VALUE {
            let message = format!("`{key}` of a reboot is larger than {MOST_OF_A_VALUE} bytes");
            let help = "do what comes before the reboot in a step `run: {script: file}`";
            self.error(code::TOO_LARGE, message, node.span.clone(), "too large", help);
            return None;
        }
        Some(text)
    }

    /// Reads the options of `kind` (`run` or `local`).
    pub(super) fn command_step(&mut self, fields: &Fields<'_>, kind: &str) -> Option<CommandStep> {
        let action = self.action(fields, kind);
        let disturbs = fields.get("disturbs").map(|node| self.flag(node, "disturbs"));
        let idempotent = fields.get("idempotent").map(|node| self.flag(node, "idempotent"));
        let fenced = fields.get("fenced").map(|node| self.flag(node, "fenced"));
        let unless = fields.get("unless").map(|node| self.command(node, "unless"));
        let env = fields.get("env").map(|node| self.env(node));
        let undo = fields.get("undo").map(|node| {
            let none = node.text().is_some_and(|text| text.trim() == "none");
            if none { Some(Undo::Nothing) } else { self.command(node, "undo").map(Undo::Command) }
        });
        Some(CommandStep {
            action: action?,
            idempotent: idempotent.unwrap_or(Some(false))?,
            // A command on this machine takes no worker down unless it says so.
            disturbs: disturbs.unwrap_or(Some(kind == "run"))?,
            fenced: fenced.unwrap_or(Some(false))?,
            unless: unless.map_or(Some(None), |unless| unless.map(Some))?,
            env: env.unwrap_or(Some(BTreeMap::new()))?,
            undo: undo.unwrap_or(Some(Undo::Unstated))?,
        })
    }

    fn action(&mut self, fields: &Fields<'_>, kind: &str) -> Option<CommandSource> {
        match (fields.get("command"), fields.get("script")) {
            (Some(command), None) => self.command(command, "command").map(CommandSource::Command),
            (None, Some(script)) => {
                self.vars.used_by_script();
                let path = self.text(script, "script", "script: scripts/patch.sh")?;
                self.path(path).map(CommandSource::Script)
            }
            (command, _) => {
                let (message, label) = if command.is_some() {
                    (format!("`{kind}` has both `command` and `script`"), "keep one of them")
                } else {
                    (format!("`{kind}` has neither `command` nor `script`"), "nothing to run")
                };
                let help = format!("write `{kind}: {{command: ...}}` or `{kind}: {{script: file}}`");
                let end = self.first_line_end(&fields.span);
                self.error(code::COMMAND_OR_SCRIPT, message, fields.span.start..end, label, help);
                None
            }
        }
    }

    fn path(&mut self, path: Located<String>) -> Option<Located<String>> {
        let bad = path.value.contains(['\n', '\r', '\t']) || path.value.ends_with('/');
        if bad {
            let message = format!("`{}` is not the path of a file", shorten(&path.value));
            let help = "`script` names a file, relative to the plan; shell text goes into `command`";
            self.error(code::BAD_PATH, message, path.span.clone(), "not a path", help);
        }
        (!bad).then_some(path)
    }

    fn env(&mut self, node: &Node) -> Option<BTreeMap<String, EnvValue>> {
        let Value::Map(entries) = &node.value else {
            self.wrong_type(node, "env", "a map from name to value", "env: {LEVEL: debug}");
            return None;
        };
        let mut env = BTreeMap::new();
        let mut fine = true;
        let mut bytes = 0;
        for (key, value) in entries {
            if !is_variable_name(&key.text) {
                let message =
                    format!("`{}` cannot be the name of an environment variable", shorten(&key.text));
                let help = "names are letters, digits and _, and do not begin with a digit";
                self.error(code::BAD_ENV, message, key.span.clone(), "not a name", help);
                fine = false;
                continue;
            }
            if let Some(why) = reserved(&key.text) {
                let message = format!("`env` cannot set `{}`", key.text);
                let help = format!("{why}; choose another name");
                self.error(code::BAD_ENV, message, key.span.clone(), "reserved", help);
                fine = false;
                continue;
            }
            let span = value.span.clone();
            let value = match &value.value {
                Value::Map(_) => self.secret(value),
                _ => self.env_text(value, &key.text).map(EnvValue::Plain),
            };
            if let Some(EnvValue::Plain(text)) = &value {
                bytes += text.len();
                if is_secret(&key.text, text) {
                    self.plain_secret(&format!("`env: {}`", key.text), span.clone(), &key.text);
                }
                if text.len() > MOST_OF_A_VALUE || bytes > MOST_OF_ALL_VALUES || text.contains('\0') {
                    let message = format!("`env: {}` cannot become a variable of an environment", key.text);
                    let help = VALUE_HELP;
                    self.error(code::BAD_ENV, message, span, "too large, or with a NUL byte", help);
                    fine = false;
                }
            }
            match value {
                Some(value) => drop(env.insert(key.text.clone(), value)),
                None => fine = false,
            }
        }
        fine.then_some(env)
    }

    /// A value of `env`; unlike elsewhere it may be empty.
    fn env_text(&mut self, node: &Node, key: &str) -> Option<String> {
        let resolved = self.resolve(node);
        match resolved.text() {
            Some(text) => Some(text.to_owned()),
            None => self.scalar_text(&resolved, key, &format!("{key}: \"1\"")).map(|text| text.value),
        }
    }

    pub(super) fn secret(&mut self, node: &Node) -> Option<EnvValue> {
        let fields = self.fields(node, "env", &["from_env"], "env: {TOKEN: {from_env: TOKEN}}")?;
        let Some(node) = fields.get("from_env") else {
            let help = "name the variable of this machine's environment: `{from_env: TOKEN}`";
            self.missing("a secret of `env`", "from_env", fields.span, help);
            return None;
        };
        let name = self.text(node, "from_env", "from_env: TOKEN")?;
        if !is_variable_name(&name.value) {
            let message = format!("`{}` cannot be the name of an environment variable", shorten(&name.value));
            let help = "`from_env` takes the name of a variable, not its value: a plan never holds the secret itself";
            self.error(code::BAD_ENV, message, name.span, "not a name", help);
            return None;
        }
        Some(EnvValue::FromEnv(name.value))
    }
}
