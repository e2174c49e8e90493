//! What an operator can decide on a run's page: forms, one for each decision, and what came of the last one.
//!
//! Everything works without a script. A form brings along the session's secret and a ticket of its own page, so that it
//! is carried out once however often it is sent.

use maud::{Markup, html};

use super::shell;
use crate::engine::Millis;
use crate::plan::{counted, visible, visible_line};
use crate::report::{Approval, Decisions, FailedWorker, Time};

/// Of more than so many, the others are decided on the command line, or after these.
const SHOWN: usize = 50;

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// When.
    pub at: Millis,
    /// What was done; `None`: nothing.
    pub done: Option<String>,
    /// What stood against it, or is to be known besides: each with what to do.
    pub problems: Vec<(String, Option<String>)>,
}

/// The operator whose page it is.
#[derive(Clone, Copy, Debug)]
pub struct Operator<'a> {
    /// The name that was given at the login.
    pub name: &'a str,
    /// What each form of the session brings along.
    pub form: &'a str,
    /// What each form of this page brings along, another one each time that the page is made.
    pub ticket: &'a str,
}

/// What can be decided about a run, for one operator.
#[derive(Clone, Copy)]
pub struct ControlPanel<'a> {
    /// What can be decided.
    pub run: &'a Decisions,
    /// The path of the run's page.
    pub path: &'a str,
    /// Who is logged in.
    pub operator: Option<Operator<'a>>,
    /// What came of the request that led here; `Some(None)`: nothing yet.
    pub answer: Option<Option<&'a Answer>>,
}

/// Where the panel of an operator belongs in a served page, which is made once for all who look at it. No text of
/// others can be this, as it is escaped.
pub const CONTROL_MARK: &str = "<!--control-->";

/// The panel of a run's page; `from`: where it can be had again.
pub fn control_panel(panel: &ControlPanel<'_>, from: &str) -> String {
    let markup = html! {
        section #control.control aria-labelledby="control-title" data-from=[panel.operator.map(|_| from)] {
            h2 #control-title { "Control" }
            @match panel.operator {
                None => p { a href=(format!("/login?run={}", panel.run.run)) { "Log in" } " to pause this run, approve, retry, skip or abort." },
                Some(operator) => {
                    (who(operator))
                    @if let Some(answer) = panel.answer { (what_came(answer, panel.path)) }
                    (approvals(panel, operator))
                    (failed(panel, operator))
                    @if !panel.run.is_ending {
                        h3 { "The run" }
                        (pause(panel, operator))
                        (skip(panel, operator))
                        (end(panel, operator))
                    }
                }
            }
        }
    };
    markup.into_string()
}

fn who(operator: Operator<'_>) -> Markup {
    html! {
        form.who method="post" action="/logout" {
            input type="hidden" name="form" value=(operator.form);
            "Logged in as " b { (visible_line(operator.name)) } ". "
            button { "Log out" }
        }
    }
}

fn what_came(answer: Option<&Answer>, path: &str) -> Markup {
    html! {
        @match answer {
            None => p.answer role="status" { "The request is under way. " a href="" { "Look again" } },
            Some(answer) => {
                div.answer.refused[answer.done.is_none()] #answer role=(if answer.done.is_some() { "status" } else { "alert" }) {
                    p { "At " (Time(answer.at).to_second()) ":" @if answer.done.is_none() { " it was not done." } }
                    @if let Some(done) = &answer.done { pre { (visible(done.as_bytes())) } }
                    @for (message, help) in &answer.problems {
                        p { (visible_line(message)) }
                        @if let Some(help) = help { pre { (visible(help.as_bytes())) } }
                    }
                    p { a href=(path) { "Close" } }
                }
            }
        }
    }
}

/// A form that asks for `verb`, or (empty) for what its buttons say.
fn form(panel: &ControlPanel<'_>, operator: Operator<'_>, verb: &str, inside: &Markup) -> Markup {
    html! {
        form method="post" action=(format!("{}/control", panel.path)) {
            input type="hidden" name="form" value=(operator.form);
            input type="hidden" name="ticket" value=(operator.ticket);
            @if !verb.is_empty() { input type="hidden" name="do" value=(verb); }
            (inside)
        }
    }
}

fn approvals(panel: &ControlPanel<'_>, operator: Operator<'_>) -> Markup {
    let all = &panel.run.approvals;
    html! {
        @if !all.is_empty() && !panel.run.is_ending {
            h3 { "Waits for an approval: " (counted(all.len(), "step")) }
            ul.approvals {
                @for approval in all.iter().take(SHOWN) { li { (approve(panel, operator, approval)) } }
            }
            @if all.len() > SHOWN {
                p { (all.len() - SHOWN) " more are shown when these are approved; all at once:" }
                pre { "maand plan approve " (visible_line(&panel.run.run)) }
            }
        }
    }
}

fn approve(panel: &ControlPanel<'_>, operator: Operator<'_>, approval: &Approval) -> Markup {
    let whose = visible_line(approval.host.as_deref().unwrap_or("the run"));
    let step = visible_line(&approval.step);
    let inside = html! {
        @if let Some(host) = &approval.host { input type="hidden" name="host" value=(host); }
        input type="hidden" name="step" value=(approval.step);
        p { b { (whose) } " at " code { (step) } }
        @if let Some(message) = &approval.message { blockquote { (visible(message.as_bytes())) } }
        button aria-label=(format!("Approve {step} of {whose}")) { "Approve" }
    };
    form(panel, operator, "approve", &inside)
}

fn pause(panel: &ControlPanel<'_>, operator: Operator<'_>) -> Markup {
    let run = panel.run;
    let go_on = html! { "Paused. " button { "Continue" } " Workers are started again." };
    let pause = html! {
        label { "Reason to pause " input name="reason" maxlength="200" autocomplete="off"; } " "
        button { "Pause" } " No more workers are started; those under way continue to their end."
    };
    html! {
        @if run.is_paused {
            @if run.is_carried_out {
                (form(panel, operator, "resume", &go_on))
            } @else {
                p { "Paused, and no process carries the run out. This ends the pause, and continues:" }
                pre { "maand plan resume " (visible_line(&run.run)) }
            }
        } @else {
            (form(panel, operator, "pause", &pause))
        }
    }
}

/// Failed workers: which, and then what.
fn failed(panel: &ControlPanel<'_>, operator: Operator<'_>) -> Markup {
    let run = panel.run;
    let failed = html! {
        fieldset {
            legend { "Workers" }
            @for worker in run.failed.iter().take(SHOWN) {
                label { input type="checkbox" name="host" value=(worker.host); " " (visible_line(&worker.host)) } " "
            }
        }
        @if run.failed.len() > SHOWN { p { (run.failed.len() - SHOWN) " more are shown when these are decided." } }
        button name="do" value="retry" { "Retry…" } " "
        button name="do" value="skip" { "Skip…" }
    };
    html! {
        @if !run.failed.is_empty() {
            h3 { "Failed or skipped: " (counted(run.failed.len(), "worker")) }
            (form(panel, operator, "", &failed))
        }
    }
}

/// A worker that has not been started yet.
fn skip(panel: &ControlPanel<'_>, operator: Operator<'_>) -> Markup {
    let queued = html! {
        label { "Worker that is queued " input name="host" required maxlength="253" autocomplete="off"; } " "
        button { "Skip…" }
    };
    html! {
        @if panel.run.queued > 0 { (form(panel, operator, "skip", &queued)) }
    }
}

fn end(panel: &ControlPanel<'_>, operator: Operator<'_>) -> Markup {
    let run = panel.run;
    let abort = html! {
        label { input type="checkbox" name="revert" value="yes"; " undo what was done to the workers that were started" } " "
        button { "Abort…" }
    };
    html! {
        @if run.is_carried_out {
            (form(panel, operator, "abort", &abort))
        } @else {
            p { "An abort may have workers to put back, and no process carries the run out. This ends it for good:" }
            pre { "maand plan abort " (visible_line(&run.run)) }
        }
    }
}

/// What is to be confirmed before it is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// To end the run for good.
    Abort {
        /// And to undo what was done.
        revert: bool,
    },
    /// To take workers up again.
    Retry {
        /// Which.
        hosts: Vec<String>,
    },
    /// To continue without workers.
    Skip {
        /// Which.
        hosts: Vec<String>,
    },
}

/// The question before something that cannot be taken back.
pub fn question_page(panel: &ControlPanel<'_>, operator: Operator<'_>, asked: &Asked) -> String {
    let run = panel.run;
    let (verb, title, hosts): (_, _, &[String]) = match asked {
        Asked::Abort { .. } => ("abort", "Abort", &[]),
        Asked::Retry { hosts } => ("retry", "Retry", hosts),
        Asked::Skip { hosts } => ("skip", "Skip", hosts),
    };
    let confirmed = html! {
        input type="hidden" name="confirmed" value="yes";
        @if *asked == (Asked::Abort { revert: true }) { input type="hidden" name="revert" value="yes"; }
        @for host in hosts { input type="hidden" name="host" value=(host); }
        button { (title) } " " a href=(panel.path) { "Leave the run as it is" }
    };
    let body = html! {
        nav.bar aria-label="Pages" { a href="/" { "All runs" } a href=(panel.path) { "Back to the run" } }
        main.control {
            h1 { (title) "?" }
            p.question { (visible_line(&sentence(run, asked))) }
            @if !hosts.is_empty() {
                table {
                    thead { tr { th scope="col" { "worker" } th scope="col" { "state" } th scope="col" { "step" } th scope="col" { "error" } } }
                    tbody {
                        @for host in hosts { (row(run, host)) }
                    }
                }
            }
            @if !run.is_carried_out && !hosts.is_empty() {
                p { "No process carries the run out: it is noted, and this continues the run then:" }
                pre { "maand plan resume " (visible_line(&run.run)) }
            }
            (form(panel, operator, verb, &confirmed))
        }
    };
    shell::served(&format!("{title}? ({})", visible_line(&run.run)), None, &body)
}

fn sentence(run: &Decisions, asked: &Asked) -> String {
    match asked {
        Asked::Abort { revert: false } => run.abort.clone(),
        Asked::Abort { revert: true } => run.abort_and_revert.clone(),
        Asked::Retry { hosts } if run.is_over => format!(
            "Run {} of plan {} has come to its end. Take it up again for {}, at the failed step? Steps of `before` and \
             `after` run once more.",
            run.run,
            run.plan,
            counted(hosts.len(), "worker")
        ),
        Asked::Retry { hosts } => {
            let what = if hosts.len() == 1 { "step" } else { "steps" };
            format!(
                "Let {} of run {} continue at the failed {what}?",
                counted(hosts.len(), "worker"),
                run.run
            )
        }
        Asked::Skip { hosts } => format!(
            "Continue run {} without {}? Skipped workers stay as they are, and do not count as failed.",
            run.run,
            counted(hosts.len(), "worker")
        ),
    }
}

fn row(run: &Decisions, host: &str) -> Markup {
    let worker: Option<&FailedWorker> = run.failed.iter().find(|worker| worker.host == host);
    html! {
        tr {
            th scope="row" { (visible_line(host)) }
            @match worker {
                None => td colspan="3" { "has not failed" },
                Some(worker) => {
                    td { (worker.state.describe()) @if worker.is_disabled { ", disabled" } }
                    td { @if let Some(step) = &worker.step { code { (visible_line(step)) } } }
                    td { @if let Some(error) = &worker.error { (visible_line(error)) } }
                }
            }
        }
    }
}

/// Where an operator logs in; `refused`: why that was not done; `run`: what is shown afterwards.
pub fn login_page(refused: Option<(&str, Option<&str>)>, served_by: &str, run: Option<&str>) -> String {
    let body = html! {
        nav.bar aria-label="Pages" { a href="/" { "All runs" } }
        main.control {
            h1 { "Log in to control runs" }
            @if let Some((message, help)) = refused {
                div.answer.refused role="alert" {
                    p { (visible_line(message)) }
                    @if let Some(help) = help { pre { (visible(help.as_bytes())) } }
                }
            }
            form method="post" action="/login" {
                @if let Some(run) = run { input type="hidden" name="run" value=(run); }
                p { label { "Your name, as it is recorded with what you do" br;
                    input #name name="name" required maxlength="40" autocomplete="nickname" autofocus; } }
                p { label { "Token, which " code { "maand serve --control" } " has printed at its start" br;
                    input #token name="token" type="password" required maxlength="100" autocomplete="off"; } }
                button { "Log in" }
            }
            p { "It is recorded as " code { "NAME (web) via " (visible_line(served_by)) } "." }
        }
    };
    shell::login("Log in to control runs", &body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::PublicWorkerState;

    const HOSTILE: &str = "\"><script>alert(1)</script>\u{202e}";

    fn decisions() -> Decisions {
        let text = HOSTILE.to_owned();
        Decisions {
            run: "20261122-2315-ab3f".to_owned(),
            plan: text.clone(),
            is_carried_out: true,
            is_paused: false,
            is_ending: false,
            is_over: false,
            approvals: vec![Approval {
                host: Some(text.clone()),
                step: text.clone(),
                message: Some(text.clone()),
            }],
            failed: vec![FailedWorker {
                host: text.clone(),
                state: PublicWorkerState::Failed,
                is_disabled: true,
                step: Some(text.clone()),
                error: Some(text.clone()),
            }],
            queued: 1,
            abort: format!("End {text}?"),
            abort_and_revert: format!("End {text}, and undo?"),
        }
    }

    const OPERATOR: Operator<'_> = Operator { name: "ana", form: "secret", ticket: "ticket" };

    fn panel_of<'a>(run: &'a Decisions, answer: Option<Option<&'a Answer>>) -> ControlPanel<'a> {
        ControlPanel { run, path: "/runs/R", operator: Some(OPERATOR), answer }
    }

    fn is_text(page: &str) {
        assert!(!page.contains("<script>alert") && !page.contains("\"\">"), "{page}");
        let shown = page
            .replace(&format!("value=\"{}\"", "&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;\u{202e}"), "");
        assert!(!shown.contains('\u{202e}'), "only what is sent back is as it was: {page}");
    }

    #[test]
    fn foreign_text_never_becomes_markup() {
        let run = decisions();
        let problems = vec![(HOSTILE.to_owned(), Some(HOSTILE.to_owned()))];
        let answer = Answer { at: 0, done: Some(HOSTILE.to_owned()), problems };
        is_text(&control_panel(&panel_of(&run, Some(Some(&answer))), "/runs/R/control/panel"));
        let hosts = || vec![HOSTILE.to_owned()];
        for asked in [
            Asked::Abort { revert: false },
            Asked::Abort { revert: true },
            Asked::Retry { hosts: hosts() },
            Asked::Skip { hosts: hosts() },
        ] {
            is_text(&question_page(&panel_of(&run, None), OPERATOR, &asked));
        }
        is_text(&login_page(Some((HOSTILE, Some(HOSTILE))), HOSTILE, Some(HOSTILE)));
    }

    #[test]
    fn every_form_posts_with_the_session_s_secret_and_only_what_is_possible_is_offered() {
        let mut run = decisions();
        let text = |run: &Decisions| control_panel(&panel_of(run, None), "/p");
        let page = text(&run);
        let forms = page.matches("<form").count();
        assert_eq!(page.matches("method=\"post\"").count(), forms, "{page}");
        assert_eq!(page.matches("name=\"form\" value=\"secret\"").count(), forms, "{page}");
        assert!(page.contains("value=\"pause\"") && page.contains("value=\"abort\""), "{page}");
        run.is_paused = true;
        assert!(text(&run).contains("value=\"resume\"") && !text(&run).contains("value=\"pause\""));
        run.is_carried_out = false;
        let page = text(&run);
        assert!(!page.contains("value=\"resume\"") && !page.contains("value=\"abort\""), "{page}");
        assert!(
            page.contains("maand plan resume 20261122-2315-ab3f") && page.contains("maand plan abort "),
            "{page}"
        );
        run.is_ending = true;
        let page = text(&run);
        assert!(!page.contains("value=\"approve\"") && page.contains("value=\"retry\""), "{page}");
        let nobody = ControlPanel { operator: None, ..panel_of(&run, None) };
        let page = control_panel(&nobody, "/p");
        assert!(page.contains("/login?run=20261122-2315-ab3f") && !page.contains("<form"), "{page}");
    }
}
