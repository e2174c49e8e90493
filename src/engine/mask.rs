//! Masks secrets in what is reported of an attempt. It must not know which values are secret, nor where they
//! come from.

use super::{Evidence, Outcome, StepError};

impl StepError {
    /// The error with `mask` laid over everything that others have said.
    #[must_use]
    pub fn masked(self, mask: impl Fn(&str) -> String) -> Self {
        Self {
            kind: self.kind,
            message: mask(&self.message),
            output: self.output.map(|output| mask(&output)),
        }
    }
}

impl Outcome {
    /// The outcome with `mask` laid over every text in it that a command, a worker or a library may
    /// have put there. Boot ids and names of jobs stay: they are compared.
    #[must_use]
    pub fn masked(self, mask: impl Fn(&str) -> String) -> Self {
        match self {
            Self::Ok { evidence: Evidence::Note { text } } => {
                Self::Ok { evidence: Evidence::Note { text: mask(&text) } }
            }
            Self::Ok { evidence: Evidence::NotNeeded { why } } => {
                Self::Ok { evidence: Evidence::NotNeeded { why: why.map(|why| mask(&why)) } }
            }
            Self::Ok { evidence: Evidence::PowerCycled { bmc, reset, power, last_reset } } => {
                let (power, last_reset) = (power.map(|text| mask(&text)), last_reset.map(|text| mask(&text)));
                let (bmc, reset) = (mask(&bmc), mask(&reset));
                Self::Ok { evidence: Evidence::PowerCycled { bmc, reset, power, last_reset } }
            }
            Self::Ok { evidence: Evidence::Answers { what } } => {
                Self::Ok { evidence: Evidence::Answers { what: mask(&what) } }
            }
            Self::Ok { evidence } => Self::Ok { evidence },
            Self::Unexpected { boot_id, kernel, error } => {
                Self::Unexpected { boot_id, kernel, error: error.masked(mask) }
            }
            Self::Failed { error } => Self::Failed { error: error.masked(mask) },
            Self::Unknown { why, boot_id } => Self::Unknown { why: mask(&why), boot_id },
            Self::TimedOut { after, doing } => Self::TimedOut { after, doing: mask(&doing) },
            Self::NotDone { reason } => Self::NotDone { reason: mask(&reason) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ErrorKind;
    use super::*;

    #[test]
    fn no_variant_keeps_a_secret() {
        let secret = || "token=hunter2".to_owned();
        let mut error = StepError::new(ErrorKind::Command, secret());
        error.output = Some(secret());
        let all = [
            Outcome::Ok { evidence: Evidence::Note { text: secret() } },
            Outcome::Failed { error: error.clone() },
            Outcome::Unexpected { boot_id: "b".to_owned(), kernel: None, error },
            Outcome::Ok { evidence: Evidence::NotNeeded { why: Some(secret()) } },
            Outcome::Ok { evidence: Evidence::Answers { what: secret() } },
            Outcome::Ok {
                evidence: Evidence::PowerCycled {
                    bmc: secret(),
                    reset: secret(),
                    power: Some(secret()),
                    last_reset: Some(secret()),
                },
            },
            Outcome::unknown(secret()),
            Outcome::TimedOut { after: 1, doing: secret() },
            Outcome::NotDone { reason: secret() },
        ];
        for outcome in all {
            let masked = outcome.masked(|text| text.replace("hunter2", "****"));
            let text = serde_json::to_string(&masked).unwrap();
            assert!(!text.contains("hunter2") && text.contains("token=****"), "{text}");
        }
    }
}
