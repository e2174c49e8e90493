//! The top of a plan: its keys, and the drafts of its lists of steps.

use super::super::yaml::{Node, ScalarKind, shorten};
use super::super::{
    Located, Notify, Prepare, Problems, RolloutSettings, Silence, Source, Targets, VarValue, code,
};
use super::common::{Decoder, Fields};
use super::keys::PLAN;
use super::steps::{Defaults, DraftStep};
use super::vars::Variables;

/// A plan as far as its text could be understood.
pub(crate) struct Draft {
    pub(crate) name: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) vars: std::collections::BTreeMap<String, VarValue>,
    pub(crate) targets: Targets,
    pub(crate) rollout: RolloutSettings,
    pub(crate) silence: Option<Silence>,
    pub(crate) notify: Notify,
    pub(crate) before: Vec<DraftStep>,
    pub(crate) prepare: Option<Prepare>,
    /// Those of `prepare` come first.
    pub(crate) steps: Vec<DraftStep>,
    pub(crate) after: Vec<DraftStep>,
}

/// Takes the tree apart; what is wrong goes to the problems.
pub(crate) fn decode(source: &Source, root: &Node, overrides: &[(String, String)]) -> (Draft, Problems) {
    let mut decoder = Decoder { source, problems: Problems::new(), vars: Variables::default() };
    let fields = decoder.fields(root, "the plan", PLAN, "version: 1");
    let empty = Fields::of(root, &[]);
    let Some(fields) = fields else {
        let draft = decoder.draft(&empty);
        return (draft, decoder.problems);
    };
    let mut problems = std::mem::take(&mut decoder.problems);
    decoder.vars = Variables::read(fields.get("vars"), overrides, source, &mut problems);
    decoder.problems = problems;
    decoder.version(&fields);
    let draft = decoder.draft(&fields);
    if fields.get("name").is_none() {
        decoder.missing(
            "a plan",
            "name",
            fields.span.clone(),
            "give it a name, such as `name: rolling-reboot`",
        );
    }
    if fields.get("steps").is_none() {
        let help = "say what happens on each worker, such as `steps: [disable, deploy]`";
        decoder.missing("a plan", "steps", fields.span.clone(), help);
    }
    decoder.vars.unused(source, &mut decoder.problems);
    (draft, decoder.problems)
}

impl Decoder<'_> {
    fn draft(&mut self, fields: &Fields<'_>) -> Draft {
        let name = fields.get("name").and_then(|node| self.plan_name(node));
        let description = fields
            .get("description")
            .and_then(|node| self.text(node, "description", "description: what it is for"))
            .map(|text| text.value);
        let defaults = fields.get("defaults").map_or_else(Defaults::default, |node| self.defaults(node));
        let targets = fields.get("targets").map_or_else(Targets::default, |node| self.targets(node));
        let rollout = self.rollout(fields.get("rollout"));
        let silence = fields.get("silence").and_then(|node| self.silence(node));
        let notify = fields.get("notify").map_or_else(Notify::default, |node| self.notify(node));
        let mut list = |section: &str| {
            fields.get(section).map_or_else(Vec::new, |node| self.steps(node, section, &defaults))
        };
        let (before, main, after) = (list("before"), list("steps"), list("after"));
        let prepare = fields.get("prepare").and_then(|node| self.prepare(node, &defaults));
        let (prepare, mut steps) = prepare.map_or_else(Default::default, |(one, steps)| (Some(one), steps));
        steps.extend(main);
        if let Some(node) = fields.get("steps")
            && matches!(&node.value, super::super::yaml::Value::List(items) if items.is_empty())
        {
            let help = "say what happens on each worker, such as `- disable` and `- deploy`";
            self.error(code::NO_STEPS, "the plan has no steps", node.span.clone(), "nothing to do", help);
        }
        let vars = self.vars.values();
        Draft { name, description, vars, targets, rollout, silence, notify, before, prepare, steps, after }
    }

    fn version(&mut self, fields: &Fields<'_>) {
        let Some(node) = fields.get("version") else {
            self.missing("a plan", "version", fields.span.clone(), "begin the plan with `version: 1`");
            return;
        };
        if node.scalar().is_some_and(|scalar| scalar.kind == ScalarKind::Integer(1)) {
            return;
        }
        if node.is_null() {
            self.wrong_type(node, "version", "a number", "version: 1");
            return;
        }
        let message = format!("this program reads version 1 of the plan language, not {}", node.describe());
        self.error(code::BAD_VERSION, message, node.span.clone(), "not the number 1", "write `version: 1`");
    }

    fn plan_name(&mut self, node: &Node) -> Option<String> {
        let name: Located<String> = self.text(node, "name", "name: rolling-reboot")?;
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if (1..=63).contains(&name.value.len()) && name.value.bytes().all(allowed) {
            return Some(name.value);
        }
        let words: String = name
            .value
            .to_lowercase()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        let words: Vec<&str> = words.split('-').filter(|word| !word.is_empty()).collect();
        let proposal: String = words.join("-").chars().take(63).collect();
        let message = format!("`{}` cannot be the name of a plan", shorten(&name.value));
        let help = format!(
            "names are 1 to 63 of a-z, 0-9 and -: `name: {proposal}`; free text goes into `description`"
        );
        self.error(code::BAD_NAME, message, name.span, "not a name", help);
        None
    }
}
