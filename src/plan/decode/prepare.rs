//! `prepare:` its settings, and what its steps may be.

use super::super::suggest::one_of;
use super::super::yaml::{Key, Node, Value};
use super::super::{Amount, Located, Prepare, StepKind, code};
use super::common::Decoder;
use super::keys::{PREPARE, PREPARING};
use super::steps::{Defaults, DraftStep};

impl Decoder<'_> {
    /// Reads `prepare:` with its steps.
    pub(super) fn prepare(&mut self, node: &Node, defaults: &Defaults) -> Option<(Prepare, Vec<DraftStep>)> {
        let example = "prepare: {steps: [{run: {command: apt-get -dy upgrade}}]}";
        let fields = self.fields(node, "prepare", PREPARE, example)?;
        let mut prepare = Prepare {
            concurrency: Located { value: Amount::Count(Prepare::CONCURRENCY), span: fields.span.clone() },
            outside_window: false,
        };
        if let Some(node) = fields.get("concurrency") {
            prepare.concurrency.span = node.span.clone();
            if let Some(value) = self.amount(node, "concurrency", 1, None) {
                prepare.concurrency.value = value;
            }
        }
        if let Some(value) = fields.get("outside_window").and_then(|node| self.flag(node, "outside_window")) {
            prepare.outside_window = value;
        }
        let Some(node) = fields.get("steps") else {
            let help = "say what is done on each worker ahead, such as `steps: [{run: {command: ...}}]`";
            self.missing("`prepare`", "steps", fields.span, help);
            return None;
        };
        let steps = self.steps(node, "prepare", defaults);
        Some((prepare, steps))
    }

    /// Whether a step of this kind may stand in `prepare`; reported when not.
    pub(super) fn may_prepare(&mut self, key: &Key, word: &str) -> bool {
        let may = PREPARING.contains(&word);
        if !may {
            let message = format!("`{word}` cannot stand in `prepare`");
            let taken = one_of(PREPARING.iter().copied());
            let (label, help) = match word {
                "gate" => (
                    "belongs elsewhere",
                    format!(
                        "`prepare` takes {taken}; put the gate into `before`, or below `rollout` as `gates: {{before_wave: \
                         ...}}`, which is measured when all workers are prepared"
                    ),
                ),
                _ => (
                    "belongs in `steps`",
                    format!(
                        "`prepare` leaves a worker and its jobs as they are, and takes {taken}; move the step to `steps`"
                    ),
                ),
            };
            self.error(code::NOT_IN_PREPARE, message, key.span.clone(), label, help);
        }
        may
    }

    /// The kind of a step of `prepare`: a command leaves the worker as it is unless the plan says otherwise, and then the
    /// plan is refused.
    pub(super) fn preparing(
        &mut self,
        key: &Key,
        options: Option<&Node>,
        mut kind: StepKind,
    ) -> Option<StepKind> {
        let given = |name: &str| match options.map(|node| &node.value) {
            Some(Value::Map(entries)) => {
                entries.iter().find(|(key, _)| key.text == name).map(|(_, node)| node)
            }
            _ => None,
        };
        let refused = match &mut kind {
            StepKind::Run(command) | StepKind::Local(command) => match given("disturbs") {
                Some(node) => {
                    command.disturbs.then(|| ("a command that takes its worker down", node.span.clone()))
                }
                None => {
                    command.disturbs = false;
                    None
                }
            },
            StepKind::SyncCheck { repair: true } => {
                let span = given("repair").map_or_else(|| key.span.clone(), |node| node.span.clone());
                Some(("a `sync_check` that repairs, which deploys,", span))
            }
            _ => None,
        };
        let Some((what, span)) = refused else { return Some(kind) };
        let help = "`prepare` leaves a worker and its jobs as they are: leave the option out, or move the step to `steps`";
        let message = format!("{what} cannot stand in `prepare`");
        self.error(code::NOT_IN_PREPARE, message, span, "not while others are served", help);
        None
    }
}
