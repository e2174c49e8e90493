//! One forced reset: which kind of it a computer knows, and what came of the order.
//!
//! An order that may have arrived is never sent again here, and never by anybody else: what became of it shows in the
//! worker's next boot and in what the BMC says of the last reset.

use std::time::Duration;

use serde_json::{Value, json};

use crate::http::NoAnswer;

use super::bmc::{Bmc, Session, path, said, shown, status};
use super::system::{find, state};
use super::{PowerError, PowerReport};

/// How often it is asked whether it is off by now.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// How a reset is ordered, found out before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResetOrder {
    system: String,
    pub(super) target: String,
    /// One kind, or two that come one after the other.
    pub(super) kinds: Vec<&'static str>,
    /// How the computer is now.
    pub report: PowerReport,
}

/// That an order was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResetReceipt {
    /// The kinds of reset, as Redfish names them: `ForceRestart`, `PowerCycle`, `On`, or `ForceOff, On`.
    pub reset: String,
    /// The status of the answer.
    pub status: u16,
}

/// What came of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResetResult {
    /// The BMC has taken it.
    Ordered(ResetReceipt),
    /// It is known that nothing was done.
    NotDone(PowerError),
    /// It may have been done.
    Unknown(String),
}

impl Bmc {
    /// Finds out how the worker can be reset. Nothing is changed.
    ///
    /// # Errors
    /// The BMC does not answer, or names no reset of use.
    pub fn reset_order(&self, is_given_up: &dyn Fn() -> bool) -> Result<ResetOrder, PowerError> {
        order(&mut self.session(is_given_up))
    }

    /// Orders the reset, once.
    pub fn reset(&self, order: &ResetOrder, is_given_up: &dyn Fn() -> bool) -> ResetResult {
        let mut session = self.session(is_given_up);
        let mut last = 0;
        for (at, kind) in order.kinds.iter().enumerate() {
            if at > 0
                && let Err(why) = until_off(&mut session, &order.system, is_given_up)
            {
                return ResetResult::Unknown(format!("{} was ordered, and then: {why}", order.kinds[0]));
            }
            last = match send(&mut session, &order.target, kind) {
                ResetResult::Ordered(receipt) => receipt.status,
                ResetResult::NotDone(why) if at > 0 => {
                    return ResetResult::Unknown(format!(
                        "{} was ordered, and then not {kind}: {why}",
                        order.kinds[0]
                    ));
                }
                other => return other,
            };
        }
        ResetResult::Ordered(ResetReceipt { reset: order.kinds.join(", "), status: last })
    }
}

/// How the computer can be reset.
pub(super) fn order(session: &mut Session<'_>) -> Result<ResetOrder, PowerError> {
    let (at, system) = find(session)?;
    let action = system.get("Actions").and_then(|actions| actions.get("#ComputerSystem.Reset"));
    let Some(action) = action else { return Err(said(&format!("GET {at}"), "it names no reset")) };
    let target = action.get("target").and_then(Value::as_str).and_then(path);
    let Some(target) = target else {
        return Err(said(&format!("GET {at}"), "the reset that it names is no path on this BMC"));
    };
    let allowed = allowed(session, action)?;
    let report = state(&system);
    let kinds =
        kinds(report.power.as_deref(), allowed.as_deref()).map_err(|why| said(&format!("GET {at}"), &why))?;
    Ok(ResetOrder { system: at, target: target.to_owned(), kinds, report })
}

pub(super) fn send(session: &mut Session<'_>, target: &str, kind: &'static str) -> ResetResult {
    let what = format!("POST {target} {kind}");
    match session.post(target, &json!({"ResetType": kind})) {
        Ok(answer) => match answer.status {
            200..=299 => ResetResult::Ordered(ResetReceipt { reset: kind.to_owned(), status: answer.status }),
            // These say that it was not begun (RFC 9110, section 15); of another failure of the server nothing is known.
            300..=499 | 501 | 503 => ResetResult::NotDone(said(&what, &status(&answer))),
            _ => ResetResult::Unknown(said(&what, &status(&answer)).to_string()),
        },
        Err(PowerError::NoAnswer(why)) if why.may_have_arrived() => {
            ResetResult::Unknown(format!("{what}: {why}"))
        }
        Err(error) => ResetResult::NotDone(error),
    }
}

fn until_off(
    session: &mut Session<'_>,
    system: &str,
    is_given_up: &dyn Fn() -> bool,
) -> Result<(), PowerError> {
    loop {
        let power = state(&session.get(system)?).power;
        if power.as_deref() == Some("Off") {
            return Ok(());
        }
        if is_given_up() {
            return Err(PowerError::NoAnswer(NoAnswer::GivenUp));
        }
        std::thread::sleep(ASK_EVERY);
    }
}

/// The kinds of reset that it names; `None`: it names none.
fn allowed(session: &mut Session<'_>, action: &Value) -> Result<Option<Vec<String>>, PowerError> {
    let texts = |list: &Value| -> Option<Vec<String>> {
        Some(list.as_array()?.iter().filter_map(Value::as_str).map(str::to_owned).collect())
    };
    if let Some(list) = action.get("ResetType@Redfish.AllowableValues") {
        return Ok(texts(list));
    }
    let Some(info) = action.get("@Redfish.ActionInfo").and_then(Value::as_str).and_then(path) else {
        return Ok(None);
    };
    let info = session.get(info)?;
    let parameters = info.get("Parameters").and_then(Value::as_array).into_iter().flatten();
    let mut reset = parameters.filter(|one| one.get("Name").and_then(Value::as_str) == Some("ResetType"));
    Ok(reset.next().and_then(|one| texts(one.get("AllowableValues")?)))
}

/// What makes a computer in this state boot anew. Without a list it is what every BMC should know.
fn kinds(power: Option<&str>, allowed: Option<&[String]>) -> Result<Vec<&'static str>, String> {
    let knows = |kind: &str| allowed.is_none_or(|allowed| allowed.iter().any(|known| known == kind));
    let wanted: &[&[&'static str]] = match power {
        Some("Off") => &[&["On"], &["ForceOn"]],
        Some("On" | "PoweringOn" | "PoweringOff" | "Paused") => {
            &[&["ForceRestart"], &["PowerCycle"], &["ForceOff", "On"]]
        }
        // Whether it has to be switched on or reset would be a guess.
        Some(_) => return Err("the state of power that it names is none of Redfish's".to_owned()),
        None => return Err("it does not say whether the worker has power".to_owned()),
    };
    let found = wanted.iter().find(|kinds| kinds.iter().all(|kind| knows(kind)));
    found.map(|kinds| kinds.to_vec()).ok_or_else(|| {
        let names: Vec<String> =
            allowed.unwrap_or_default().iter().take(12).map(|name| shown(name)).collect();
        format!("it knows no forced reset, only: {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_reset_is_one_that_the_computer_knows() {
        let of = |power: Option<&str>, allowed: &[&str]| {
            let allowed: Vec<String> = allowed.iter().map(|kind| (*kind).to_owned()).collect();
            kinds(power, Some(&allowed)).map(|kinds| kinds.join("+")).unwrap_or_else(|why| why)
        };
        let all =
            ["On", "ForceOff", "GracefulShutdown", "GracefulRestart", "ForceRestart", "Nmi", "PowerCycle"];
        assert_eq!(of(Some("On"), &all), "ForceRestart");
        assert_eq!(of(Some("Off"), &all), "On");
        assert_eq!(of(Some("On"), &["On", "ForceOff", "PowerCycle"]), "PowerCycle");
        assert_eq!(of(Some("PoweringOff"), &["On", "ForceOff"]), "ForceOff+On");
        assert_eq!(of(Some("Off"), &["ForceOn"]), "ForceOn");
        assert!(of(Some("On"), &["GracefulRestart"]).contains("no forced reset, only: GracefulRestart"));
        assert!(
            of(Some("on"), &all).contains("none of Redfish's") && of(None, &all).contains("does not say")
        );
        assert_eq!(kinds(Some("On"), None).unwrap(), ["ForceRestart"]);
    }
}
