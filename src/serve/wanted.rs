//! What a form asks for, read without believing it.

use crate::engine::Control;
use crate::page::Asked;
use crate::plan::{Problem, visible_line, visible_within};

/// The longest reason for a pause, in bytes.
const REASON: usize = 400;
/// The longest name of a worker or step, in bytes.
const NAME: usize = 300;
/// So many workers are named at most.
const HOSTS: usize = 2_000;
/// The longest ticket, in bytes.
const TICKET: usize = 100;

/// What a form asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// To be done.
    Now(Control),
    /// To be confirmed first.
    Question(Asked),
}

/// The fields of a form, decoded.
pub(super) struct Fields(pub(super) Vec<(String, String)>);

impl Fields {
    /// The value of a field that may be there once and is not empty.
    ///
    /// # Errors
    /// It is there more than once.
    pub(super) fn one(&self, name: &str) -> Result<Option<&str>, Problem> {
        match self.all(name)[..] {
            [] | [""] => Ok(None),
            [value] => Ok(Some(value)),
            _ => Err(wrong(&format!("{name} is given more than once"))),
        }
    }

    fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(other, _)| other == name).map(|(_, value)| value.as_str()).collect()
    }

    fn is_yes(&self, name: &str) -> Result<bool, Problem> {
        match self.one(name)? {
            None => Ok(false),
            Some("yes") => Ok(true),
            Some(_) => Err(wrong(&format!("{name} can be `yes` only"))),
        }
    }

    fn name(&self, name: &str) -> Result<Option<String>, Problem> {
        let value = self.one(name)?;
        if value.is_some_and(|value| value.len() > NAME) {
            return Err(wrong(&format!("{name} is longer than {NAME} bytes")));
        }
        Ok(value.map(str::to_owned))
    }

    /// The workers that are named, each once.
    fn hosts(&self) -> Result<Vec<String>, Problem> {
        let mut hosts: Vec<String> = Vec::new();
        for host in self.all("host").into_iter().map(str::trim).filter(|host| !host.is_empty()) {
            if host.len() > NAME || hosts.len() == HOSTS {
                return Err(wrong(&format!("more than {HOSTS} workers, or a name longer than {NAME} bytes")));
            }
            if !hosts.iter().any(|other| other == host) {
                hosts.push(host.to_owned());
            }
        }
        if hosts.is_empty() {
            let problem = Problem::error("maand::serve::no_workers", "no worker is chosen: nothing was done");
            return Err(problem.help("go back, and tick the workers that are meant"));
        }
        Ok(hosts)
    }

    /// What is asked for.
    ///
    /// # Errors
    /// It is nothing that a page asks for.
    pub(super) fn wanted(&self) -> Result<Wanted, Problem> {
        let asked = match self.one("do")? {
            Some("pause") => {
                let reason = self.one("reason")?.map(visible_line);
                let reason = reason.map(|reason| visible_within(reason.trim(), REASON));
                let reason = reason.filter(|reason| !reason.is_empty());
                return Ok(Wanted::Now(Control::Pause { reason }));
            }
            Some("resume") => return Ok(Wanted::Now(Control::Resume)),
            Some("approve") => {
                let (host, step) = (self.name("host")?, self.name("step")?);
                if step.is_none() {
                    return Err(wrong("it does not name the step that is approved"));
                }
                return Ok(Wanted::Now(Control::Approve { host, step }));
            }
            Some("abort") => Asked::Abort { revert: self.is_yes("revert")? },
            Some("retry") => Asked::Retry { hosts: self.hosts()? },
            Some("skip") => Asked::Skip { hosts: self.hosts()? },
            None => return Err(wrong("it does not say what is to be done")),
            Some(verb) => {
                let verb = visible_within(verb, 40);
                return Err(wrong(&format!("`{verb}` is nothing that can be asked for here")));
            }
        };
        if !self.is_yes("confirmed")? {
            return Ok(Wanted::Question(asked));
        }
        Ok(Wanted::Now(match asked {
            Asked::Abort { revert } => Control::Abort { revert },
            Asked::Retry { hosts } => Control::Retry { hosts },
            Asked::Skip { hosts } => Control::Skip { hosts },
        }))
    }

    /// What tells a page's forms from those of the same page made at another time.
    ///
    /// # Errors
    /// There is none, or it is none.
    pub(super) fn ticket(&self) -> Result<&str, Problem> {
        let ticket = self.one("ticket")?;
        ticket.filter(|ticket| ticket.len() <= TICKET).ok_or_else(|| wrong("it has no ticket"))
    }
}

fn wrong(what: &str) -> Problem {
    Problem::error(
        "maand::serve::form",
        format!("the form is not one of this server's: {what}. Nothing was done"),
    )
    .help("load the run's page again, and use the buttons that it has then")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        Fields(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn each_form_asks_for_one_thing() {
        let control = |pairs: &[(&str, &str)]| match fields(pairs).wanted().unwrap() {
            Wanted::Now(control) => control,
            Wanted::Question(asked) => panic!("{asked:?}"),
        };
        assert_eq!(control(&[("do", "pause"), ("reason", "")]), Control::Pause { reason: None });
        let reason = Some("a\\u{202e}b c".to_owned());
        assert_eq!(control(&[("do", "pause"), ("reason", " a\u{202e}b\nc ")]), Control::Pause { reason });
        assert_eq!(control(&[("do", "resume")]), Control::Resume);
        let (host, step) = (Some("w1".to_owned()), Some("ask".to_owned()));
        assert_eq!(
            control(&[("do", "approve"), ("host", "w1"), ("step", "ask")]),
            Control::Approve { host, step: step.clone() }
        );
        assert_eq!(control(&[("do", "approve"), ("step", "ask")]), Control::Approve { host: None, step });
        let yes = ("confirmed", "yes");
        assert_eq!(control(&[("do", "abort"), yes]), Control::Abort { revert: false });
        assert_eq!(control(&[("do", "abort"), ("revert", "yes"), yes]), Control::Abort { revert: true });
        let hosts = vec!["w1".to_owned(), "w2".to_owned()];
        let pairs = [("do", "retry"), ("host", "w1"), ("host", " w2 "), ("host", "w1"), ("host", ""), yes];
        assert_eq!(control(&pairs), Control::Retry { hosts: hosts.clone() });
        let pairs = [("do", "skip"), ("host", "w1"), ("host", "w2"), yes];
        assert_eq!(control(&pairs), Control::Skip { hosts });
    }

    #[test]
    fn what_cannot_be_taken_back_is_asked_first() {
        let asked = |pairs: &[(&str, &str)]| fields(pairs).wanted().unwrap();
        assert_eq!(asked(&[("do", "abort")]), Wanted::Question(Asked::Abort { revert: false }));
        let hosts = vec!["w1".to_owned()];
        let pairs = [("do", "retry"), ("host", "w1")];
        assert_eq!(asked(&pairs), Wanted::Question(Asked::Retry { hosts: hosts.clone() }));
        let pairs = [("do", "skip"), ("host", "w1"), ("confirmed", "")];
        assert_eq!(asked(&pairs), Wanted::Question(Asked::Skip { hosts }));
    }

    #[test]
    fn what_is_no_form_of_ours_is_refused() {
        let yes = ("confirmed", "yes");
        let long = "h".repeat(NAME + 1);
        let wrong: &[&[(&str, &str)]] = &[
            &[],
            &[("do", "")],
            &[("do", "stop")],
            &[("do", "Pause")],
            &[("do", "pause"), ("do", "pause")],
            &[("do", "pause"), ("reason", "a"), ("reason", "b")],
            &[("do", "approve")],
            &[("do", "approve"), ("host", "w1")],
            &[("do", "approve"), ("host", "w1"), ("host", "w2"), ("step", "ask")],
            &[("do", "approve"), ("step", &long)],
            &[("do", "abort"), ("confirmed", "no")],
            &[("do", "abort"), ("revert", "1"), yes],
            &[("do", "retry"), yes],
            &[("do", "retry"), ("host", " "), yes],
            &[("do", "skip"), ("host", &long), yes],
            &[("do", "skip"), yes],
        ];
        for pairs in wrong {
            let problem = fields(pairs).wanted().unwrap_err();
            assert!(problem.help.is_some(), "{pairs:?}");
        }
        let many: Vec<String> = (0..=HOSTS).map(|n| format!("w{n}")).collect();
        let mut pairs: Vec<(&str, &str)> = many.iter().map(|host| ("host", host.as_str())).collect();
        pairs.push(("do", "skip"));
        assert!(fields(&pairs).wanted().is_err());
        assert!(fields(&pairs[1..]).wanted().is_ok());
        for ticket in [&[][..], &[("ticket", "")], &[("ticket", "a"), ("ticket", "a")], &[("ticket", &long)]]
        {
            assert!(fields(ticket).ticket().is_err());
        }
    }
}
