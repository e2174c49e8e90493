//! What the BMC of a worker says, where `maand.conf` says how BMCs are reached.

use super::finding::Finding;
use super::look::Examined;
use crate::bucket::{PowerSettings, Worker};
use crate::power::{Bmc, PowerError, PowerReport, Sameness};
use crate::ssh::{Cancel, Cause, Layer};

/// A worker's BMC, as it has answered.
#[derive(Clone, Debug)]
pub struct Beside {
    /// Where it is; `None`: its address, or what is needed to ask it, cannot be used.
    pub url: Option<String>,
    /// What it says.
    pub said: Result<PowerReport, PowerError>,
}

impl Examined {
    /// Asks the worker's BMC for the state of power, if it names one.
    pub fn ask_bmc(&mut self, settings: &PowerSettings, worker: &Worker, cancel: &Cancel) {
        let Some(bmc) = Bmc::of(settings, worker) else { return };
        let beside = match bmc {
            Ok(bmc) => Beside { url: Some(bmc.url().to_owned()), said: bmc.power(&|| cancel.is_cancelled()) },
            Err(error) => Beside { url: None, said: Err(error) },
        };
        let same = match &beside.said {
            Ok(report) if self.answer.is_whole => report.hardware.is_of(&self.answer.hardware),
            _ => Sameness::CannotTell("the worker has not said which machine it is".to_owned()),
        };
        self.findings.push(judge(&beside, &same));
        self.power = Some(beside);
    }
}

/// What is said of it. Nothing that a run does depends on a BMC until a worker does not come back: a warning at most.
fn judge(beside: &Beside, same: &Sameness) -> Finding {
    let cause = |code, what: &str, remedy: &str| Cause::new(code, Layer::Power, what, remedy);
    let report = match &beside.said {
        Ok(report) => report,
        Err(error) => {
            let at = beside.url.as_ref().map_or_else(String::new, |url| format!("{url}: "));
            let remedy =
                "docs/power.md: the `bmc_` keys of maand.conf, the worker's tag, and the file of credentials";
            let found = cause("bmc_unusable", "its BMC could not be asked", remedy);
            return Finding::warning(found.detail(format!("{at}{error}")));
        }
    };
    if let Sameness::Other(both) = same {
        let at = beside.url.as_deref().unwrap_or_default();
        let remedy = "put the worker's tag right (docs/power.md): a plan with `on_no_return: power_cycle` would not reset it";
        let found = cause("bmc_of_another", "its BMC belongs to another machine", remedy);
        return Finding::warning(found.detail(format!("{at} is that of {both}")));
    }
    let (power, health) = (report.power.as_deref(), report.health.as_deref());
    let remedy = "its BMC's own pages and log say why";
    match (power, health) {
        (Some("On"), None | Some("OK")) => {
            let what = format!("its BMC answers: {}", report.state());
            let found = cause("bmc", &what, "nothing has to be done");
            Finding::note(match same {
                Sameness::CannotTell(why) => {
                    found.detail(format!("whether it is this machine's own cannot be told: {why}"))
                }
                Sameness::Same | Sameness::Other(_) => found,
            })
        }
        _ => Finding::warning(cause("bmc_state", &format!("its BMC says: {}", report.state()), remedy)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Severity;
    use crate::power::Hardware;

    #[test]
    fn only_a_worker_that_is_on_and_well_gets_no_warning() {
        let of = |power: Option<&str>, health: Option<&str>| {
            let text = |text: Option<&str>| text.map(str::to_owned);
            let said = Ok(PowerReport {
                power: text(power),
                health: text(health),
                last_reset: None,
                hardware: Hardware::default(),
                log: Ok(Vec::new()),
            });
            judge(&Beside { url: Some("https://bmc".to_owned()), said }, &Sameness::Same).severity
        };
        assert_eq!((of(Some("On"), Some("OK")), of(Some("On"), None)), (Severity::Note, Severity::Note));
        for (power, health) in [(Some("Off"), Some("OK")), (Some("On"), Some("Critical")), (None, None)] {
            assert_eq!(of(power, health), Severity::Warning, "{power:?} {health:?}");
        }
        let said = Err(PowerError::Answer("GET /redfish/v1/Systems: it knows no system".to_owned()));
        let finding = judge(&Beside { url: None, said }, &Sameness::Same);
        assert_eq!((finding.severity, finding.cause.code), (Severity::Warning, "bmc_unusable"));
    }
}
