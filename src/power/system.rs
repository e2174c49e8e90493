//! The computer that a BMC belongs to: does it have power, is it well, and what does the log say.

use std::fmt;

use serde_json::Value;

use super::bmc::{Bmc, Session, link, path, said, shown};
use super::{Hardware, PowerError, log};

const SYSTEMS: &str = "/redfish/v1/Systems";
/// So many systems are named where it has several.
const NAMED: usize = 8;

/// What a BMC says of its computer. Each text is one line, and bounded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PowerReport {
    /// `On`, `Off`, `PoweringOn` and the like; `None`: it does not say.
    pub power: Option<String>,
    /// `OK`, `Warning` or `Critical`; `None`: it does not say.
    pub health: Option<String>,
    /// When the computer was last reset, as the BMC writes it.
    pub last_reset: Option<String>,
    /// Which machine it says that it belongs to.
    pub hardware: Hardware,
    /// The last entries of its log, the newest first; `Err`: why there are none.
    pub log: Result<Vec<LogEntry>, String>,
}

/// An entry of a BMC's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// When it was written, by the BMC's own clock; may be empty.
    pub created: String,
    /// `OK`, `Warning` or `Critical`; may be empty.
    pub severity: String,
    /// What it says.
    pub message: String,
}

impl fmt::Display for LogEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [self.created.as_str(), &self.severity, &self.message];
        f.write_str(&parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" "))
    }
}

impl PowerReport {
    /// In a few words: `power Off, health Critical`.
    pub fn state(&self) -> String {
        let power = self.power.as_deref().unwrap_or("not told");
        match &self.health {
            Some(health) => format!("power {power}, health {health}"),
            None => format!("power {power}"),
        }
    }

    /// The lines of the log, or why there are none.
    pub fn log_lines(&self) -> Vec<String> {
        match &self.log {
            Ok(entries) => entries.iter().map(|entry| format!("BMC log: {entry}")).collect(),
            Err(why) => vec![format!("BMC log: none was read: {why}")],
        }
    }
}

impl Bmc {
    /// Asks for power, health and the last entries of the log.
    ///
    /// # Errors
    /// It does not answer, or with nothing of use. A log that cannot be read is no error.
    pub fn look(&self, is_given_up: &dyn Fn() -> bool) -> Result<PowerReport, PowerError> {
        let mut session = self.session(is_given_up);
        let (_, system) = find(&mut session)?;
        let mut report = state(&system);
        report.log = log::newest(&mut session, &system).map_err(|error| error.to_string());
        Ok(report)
    }

    /// As [`Bmc::look`], without the log.
    ///
    /// # Errors
    /// As of [`Bmc::look`].
    pub fn power(&self, is_given_up: &dyn Fn() -> bool) -> Result<PowerReport, PowerError> {
        let (_, system) = find(&mut self.session(is_given_up))?;
        Ok(state(&system))
    }
}

/// What a system says of itself.
pub(super) fn state(system: &Value) -> PowerReport {
    let text =
        |value: Option<&Value>| value.and_then(Value::as_str).map(shown).filter(|text| !text.is_empty());
    PowerReport {
        power: text(system.get("PowerState")),
        health: text(system.get("Status").and_then(|status| status.get("Health"))),
        last_reset: text(system.get("LastResetTime")),
        hardware: Hardware::of_system(system),
        log: Ok(Vec::new()),
    }
}

/// The system that is the worker, and its path.
pub(super) fn find(session: &mut Session<'_>) -> Result<(String, Value), PowerError> {
    let at = match session.bmc.system.clone() {
        Some(name) => format!("{SYSTEMS}/{name}"),
        None => only(&session.get(SYSTEMS)?)?,
    };
    let system = session.get(&at)?;
    if system.get("PowerState").is_none()
        && link(&system, "LogServices").is_none()
        && system.get("Actions").is_none()
    {
        return Err(said(&format!("GET {at}"), "the answer describes no computer"));
    }
    Ok((at, system))
}

/// The only one of a collection.
fn only(systems: &Value) -> Result<String, PowerError> {
    let wrong = |how: &str| said(&format!("GET {SYSTEMS}"), how);
    let Some(members) = systems.get("Members").and_then(Value::as_array) else {
        return Err(wrong("the answer has no list `Members`"));
    };
    let links: Vec<&str> = members
        .iter()
        .map(|member| member.get("@odata.id").and_then(Value::as_str).unwrap_or_default())
        .collect();
    let more = systems.get("Members@odata.nextLink").is_some();
    match links.as_slice() {
        [] => Err(wrong("it knows no system")),
        [one] if !more => match path(one) {
            Some(path) => Ok(path.to_owned()),
            None => Err(wrong(&format!("its system is at `{}`, which is no path on this BMC", shown(one)))),
        },
        several => {
            let name = |link: &&str| shown(link.rsplit('/').find(|part| !part.is_empty()).unwrap_or(link));
            let mut names: Vec<String> = several.iter().take(NAMED).map(name).collect();
            if more || several.len() > NAMED {
                names.push("...".to_owned());
            }
            let how = format!(
                "it has several systems ({}); say which one is the worker with `bmc_system` in maand.conf",
                names.join(", ")
            );
            Err(wrong(&how))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(systems: &Value) -> String {
        only(systems).unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn the_worker_is_the_only_system_or_has_to_be_named() {
        let member = |path: &str| json!({"@odata.id": path});
        let all = |members: Vec<Value>| json!({"Members": members});
        assert_eq!(found(&all(vec![member("/redfish/v1/Systems/1")])), "/redfish/v1/Systems/1");
        assert!(found(&all(vec![])).contains("knows no system"));
        assert!(
            found(&all(vec![member("http://else/redfish/v1/Systems/1")])).contains("no path on this BMC")
        );
        assert!(found(&all(vec![json!("x")])).contains("no path on this BMC"));
        assert!(found(&json!({"Members": 3})).contains("no list"));
        let several = found(&all((1..=20).map(|at| member(&format!("/redfish/v1/Systems/n{at}"))).collect()));
        assert!(
            several.contains("n1, n2") && several.contains("...") && !several.contains("n12"),
            "{several}"
        );
        assert!(several.contains("`bmc_system`"), "{several}");
        let paged = json!({"Members": [member("/redfish/v1/Systems/1")], "Members@odata.nextLink": "/x"});
        assert!(found(&paged).contains("several"));
    }

    #[test]
    fn a_state_is_text_and_nothing_else() {
        let report = state(
            &json!({"PowerState": "Off\u{1b}[2J", "Status": {"Health": 3}, "LastResetTime": "x".repeat(999)}),
        );
        assert!(
            report.state().starts_with("power Off") && !report.state().contains('\u{1b}'),
            "{}",
            report.state()
        );
        assert_eq!(report.health, None);
        assert!(report.last_reset.is_some_and(|text| text.len() < 300));
        assert_eq!(state(&json!({})).state(), "power not told");
    }
}
