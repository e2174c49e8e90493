//! Steps: the kind of each, its common keys, its id.

use std::collections::HashSet;
use std::ops::Range;
use std::time::Duration;

use super::super::suggest::{all_of, one_of, suggest};
use super::super::yaml::{Key, Node, Value, shorten};
use super::super::{Located, OnStepFailure, Retries, StepKind, When, code};
use super::common::Decoder;
use super::keys::{COMMON, KINDS, ONCE, RETRIES as RETRY_KEYS, WHEN, options};

/// Of one attempt, where neither the step nor `defaults` says otherwise.
const TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// Servers with much memory take minutes before their firmware starts to boot.
const WAIT_TIMEOUT: Duration = Duration::from_secs(10 * 60);
/// A single try, and where there are more: five seconds apart.
const RETRIES: Retries = Retries {
    attempts: 1,
    delay: Duration::from_secs(5),
    backoff: 1.0,
    max_delay: Duration::from_secs(5 * 60),
};

/// `defaults:` of a plan.
#[derive(Clone, Copy, Debug)]
pub(super) struct Defaults {
    pub(super) timeout: Option<Duration>,
    pub(super) retries: Retries,
}

impl Default for Defaults {
    fn default() -> Self {
        Self { timeout: None, retries: RETRIES }
    }
}

/// A step on its way to the model: enough to check the whole even where parts were refused.
#[derive(Clone, Debug)]
pub(crate) struct DraftStep {
    /// Its id; where the kind is unknown, what it most likely is.
    pub(crate) id: String,
    /// Where the id, or else the kind, stands.
    pub(crate) id_span: Range<usize>,
    /// The kind's name as in [`StepKind::keyword`]; `None`: unknown, and reported.
    pub(crate) keyword: Option<&'static str>,
    /// `None`: something in its options was refused, and reported.
    pub(crate) kind: Option<StepKind>,
    pub(crate) name: Option<String>,
    /// `None`: the step before.
    pub(crate) needs: Option<Vec<Located<String>>>,
    pub(crate) timeout: Option<Located<Duration>>,
    pub(crate) retries: Retries,
    pub(crate) when: When,
    pub(crate) on_failure: Located<OnStepFailure>,
    /// It is a step of `prepare`.
    pub(crate) prepares: bool,
    /// Where the kind stands.
    pub(crate) span: Range<usize>,
}

impl Decoder<'_> {
    /// Reads `defaults:`.
    pub(super) fn defaults(&mut self, node: &Node) -> Defaults {
        let mut defaults = Defaults::default();
        let example = "defaults: {timeout: 5m}";
        let Some(fields) = self.fields(node, "defaults", &["timeout", "retries"], example) else {
            return defaults;
        };
        defaults.timeout = fields.get("timeout").and_then(|node| self.duration(node, "timeout", false));
        if let Some(node) = fields.get("retries") {
            defaults.retries = self.retries(node, RETRIES);
        }
        defaults
    }

    fn retries(&mut self, node: &Node, defaults: Retries) -> Retries {
        let Some(fields) = self.fields(node, "retries", RETRY_KEYS, "retries: {attempts: 3, delay: 5s}")
        else {
            return defaults;
        };
        let mut retries = defaults;
        if let Some(value) = fields.get("attempts").and_then(|node| self.small_count(node, "attempts", 1)) {
            retries.attempts = value;
        }
        if let Some(value) = fields.get("delay").and_then(|node| self.duration(node, "delay", true)) {
            retries.delay = value;
        }
        if let Some(value) = fields.get("backoff").and_then(|node| self.factor(node, "backoff")) {
            retries.backoff = value;
        }
        match fields.get("max_delay") {
            Some(node) => {
                if let Some(value) = self.duration(node, "max_delay", true) {
                    retries.max_delay = value;
                }
            }
            // A first delay that is longer than the default bound is meant as it stands.
            None => retries.max_delay = retries.max_delay.max(retries.delay),
        }
        retries
    }

    /// Reads the list `section` (`before`, `prepare`, `steps` or `after`).
    pub(super) fn steps(&mut self, node: &Node, section: &str, defaults: &Defaults) -> Vec<DraftStep> {
        let once = !matches!(section, "steps" | "prepare");
        let Value::List(items) = &node.value else {
            self.wrong_type(node, section, "a list of steps", &format!("{section}: [health]"));
            return Vec::new();
        };
        if items.is_empty() && section != "steps" {
            let message = format!("the list `{section}` is empty");
            let help = "write a step, such as `- health`, or leave the key out";
            self.error(code::EMPTY_LIST, message, node.span.clone(), "nothing inside", help);
        }
        let mut steps: Vec<(DraftStep, bool)> = Vec::with_capacity(items.len());
        for item in items {
            if let Some(step) = self.step(item, once, section, defaults) {
                steps.push(step);
            }
        }
        name_steps(steps)
    }

    /// One step, and whether its id was given.
    fn step(
        &mut self,
        node: &Node,
        once: bool,
        section: &str,
        defaults: &Defaults,
    ) -> Option<(DraftStep, bool)> {
        let bare;
        let (key, value, entries): (&Key, Option<&Node>, &[(Key, Node)]) = match &node.value {
            Value::Unusable => return None,
            Value::Map(entries) => {
                let key = self.kind_key(node, entries, section)?;
                (&key.0, Some(&key.1), entries)
            }
            _ => match node.text() {
                Some(text) => {
                    bare = Key { text: text.to_owned(), span: node.span.clone() };
                    (&bare, None, &[])
                }
                None => {
                    self.wrong_type(node, section, "steps", "- deploy");
                    return None;
                }
            },
        };
        let prepares = section == "prepare";
        let keyword = KINDS.iter().find(|kind| **kind == key.text).copied();
        let mut keyword = keyword.map(|kind| if kind == "re-enable" { "enable" } else { kind });
        let mut kind = None;
        match keyword {
            None => self.unknown_step(key),
            Some(word) if once && !ONCE.contains(&word) => {
                let message = format!("`{word}` needs a worker and cannot stand in `{section}`");
                let help = format!(
                    "`before` and `after` run once and take {}; move the step to `steps`",
                    one_of(ONCE.iter().copied())
                );
                self.error(code::NOT_ONCE, message, key.span.clone(), "works on one worker", help);
            }
            // What it would want of others there is no matter here.
            Some(word) if prepares && !self.may_prepare(key, word) => keyword = None,
            Some(_) => {
                kind = self.kind(key, value, once);
                if prepares {
                    kind = kind.and_then(|kind| self.preparing(key, value, kind));
                }
            }
        }
        let get = |name: &str| entries.iter().find(|(key, _)| key.text == name);
        let id = get("id").and_then(|(_, node)| self.id(node, "id"));
        let when = match get("when") {
            None => When::default(),
            Some((key, _)) if once => {
                let message = format!("`when` chooses workers and cannot stand in `{section}`");
                let help = "`before` and `after` run once, for all workers: leave `when` out";
                self.error(code::NOT_ONCE, message, key.span.clone(), "no worker to choose", help);
                When::default()
            }
            Some((_, node)) => self.when(node),
        };
        let waits_itself = matches!(keyword, Some("pause" | "approve"));
        let given = get("timeout").and_then(|(_, node)| {
            Some(Located { value: self.duration(node, "timeout", false)?, span: node.span.clone() })
        });
        let fallback = match keyword {
            Some("wait_for_ssh") => WAIT_TIMEOUT,
            _ => TIMEOUT,
        };
        let timeout = match given {
            Some(timeout) => Some(timeout),
            None if waits_itself => None,
            None => Some(Located { value: defaults.timeout.unwrap_or(fallback), span: key.span.clone() }),
        };
        let on_failure = get("on_failure").and_then(|(_, node)| {
            let at = self.word(node, "on_failure", &["fail", "ignore"])?;
            let value = if at == 0 { OnStepFailure::Fail } else { OnStepFailure::Ignore };
            Some(Located { value, span: node.span.clone() })
        });
        let likely = keyword.or_else(|| suggest(&key.text, KINDS.iter().copied())).unwrap_or(&key.text);
        // One that is named by its kind alone is told from the step of that kind in `steps`, whose name stays.
        let likely = if prepares { format!("prepare-{likely}") } else { likely.to_owned() };
        let draft = DraftStep {
            id: id.as_ref().map_or(likely, |id| id.value.clone()),
            id_span: id.as_ref().map_or_else(|| key.span.clone(), |id| id.span.clone()),
            keyword,
            kind,
            name: get("name")
                .and_then(|(_, node)| self.text(node, "name", "name: look around"))
                .map(|name| name.value),
            needs: get("needs").and_then(|(_, node)| self.needs(node)),
            timeout,
            retries: get("retries")
                .map_or(defaults.retries, |(_, node)| self.retries(node, defaults.retries)),
            when,
            on_failure: on_failure.unwrap_or(Located { value: OnStepFailure::Fail, span: key.span.clone() }),
            prepares,
            span: key.span.clone(),
        };
        Some((draft, id.is_some()))
    }

    /// The one key of a step that names its kind; other keys are checked here.
    fn kind_key<'n>(
        &mut self,
        node: &Node,
        entries: &'n [(Key, Node)],
        section: &str,
    ) -> Option<&'n (Key, Node)> {
        let is_kind = |key: &Key| KINDS.contains(&key.text.as_str());
        let kinds: Vec<&(Key, Node)> = entries.iter().filter(|(key, _)| is_kind(key)).collect();
        let others: Vec<&(Key, Node)> =
            entries.iter().filter(|(key, _)| !is_kind(key) && !COMMON.contains(&key.text.as_str())).collect();
        let Some(first) = kinds.first() else {
            // A single key that is neither is most likely a kind that is spelt wrongly.
            if let [one] = others.as_slice() {
                return Some(one);
            }
            for (key, _) in &others {
                self.unknown_step(key);
            }
            if others.is_empty() {
                let end = self.first_line_end(&node.span);
                let help = format!(
                    "name the kind of the step, such as `- deploy`; kinds: {}",
                    one_of(KINDS.iter().copied())
                );
                self.error(
                    code::STEP_WITHOUT_KIND,
                    format!("a step of `{section}` does not say what it does"),
                    node.span.start..end,
                    "no kind in this map",
                    help,
                );
            }
            return None;
        };
        for (key, _) in others {
            let name = key.text.as_str();
            let kind = first.0.text.as_str();
            if options(kind).contains(&name) {
                let message = format!("a step has no key `{name}`");
                let help = format!("`{name}` is an option of `{kind}`: write `{kind}: {{{name}: ...}}`");
                self.error(code::UNKNOWN_KEY, message, key.span.clone(), "one level too high", help);
            } else {
                let known = COMMON.iter().chain(KINDS).copied();
                let help = match (suggest(name, known), suggest(name, options(kind).iter().copied())) {
                    (Some(near), _) => format!("did you mean `{near}`?"),
                    (None, Some(near)) => {
                        format!(
                            "did you mean `{near}`? It is an option of `{kind}`: `{kind}: {{{near}: ...}}`"
                        )
                    }
                    (None, None) => format!("beside its kind a step has {}", all_of(COMMON.iter().copied())),
                };
                let message = format!("a step has no key `{}`", shorten(name));
                self.error(code::UNKNOWN_KEY, message, key.span.clone(), "unknown key", help);
            }
        }
        if let [first, second, ..] = kinds.as_slice() {
            let message = format!("a step is both `{}` and `{}`", first.0.text, second.0.text);
            let problem = super::super::Problem::error(code::SEVERAL_KINDS, message)
                .at(self.source, second.0.span.clone(), "a second kind")
                .at(self.source, first.0.span.clone(), "the first kind")
                .help("make two steps of it: begin the second one with a `-` of its own");
            self.problems.push(problem);
        }
        Some(first)
    }

    fn unknown_step(&mut self, key: &Key) {
        let name = shorten(&key.text);
        let help = match suggest(&name, KINDS.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => match name.as_str() {
                "shell" | "command" | "exec" | "script" => "did you mean `run: {command: ...}`?".to_owned(),
                "wait" | "sleep" => "did you mean `pause: 30s` or `wait_for_ssh`?".to_owned(),
                "drain" => "did you mean `disable`, followed by `deploy`?".to_owned(),
                _ => format!("the kinds of steps are {}", all_of(KINDS.iter().copied())),
            },
        };
        self.error(
            code::UNKNOWN_STEP,
            format!("there is no step `{name}`"),
            key.span.clone(),
            "unknown step",
            help,
        );
    }

    fn needs(&mut self, node: &Node) -> Option<Vec<Located<String>>> {
        let node = self.resolve(node);
        let Value::List(items) = &node.value else {
            self.wrong_type(&node, "needs", "a list of ids", "needs: [deploy]");
            return None;
        };
        Some(items.iter().filter_map(|item| self.text(item, "needs", "needs: [deploy]")).collect())
    }

    fn when(&mut self, node: &Node) -> When {
        let Some(fields) = self.fields(node, "when", WHEN, "when: {tags: {zone: a}}") else {
            return When::default();
        };
        When {
            labels: fields.get("labels").and_then(|node| self.labels(node, "labels")).unwrap_or_default(),
            tags: fields.get("tags").and_then(|node| self.tags(node)).unwrap_or_default(),
            jobs: fields.get("jobs").and_then(|node| self.jobs(node, "jobs")).unwrap_or_default(),
        }
    }
}

/// Gives the steps without an id theirs: the kind, then `-2`, `-3`, leaving out what is taken.
fn name_steps(steps: Vec<(DraftStep, bool)>) -> Vec<DraftStep> {
    let mut taken: HashSet<String> =
        steps.iter().filter(|(_, given)| *given).map(|(step, _)| step.id.clone()).collect();
    let mut counts = std::collections::HashMap::<String, usize>::new();
    let mut named = Vec::with_capacity(steps.len());
    for (mut step, given) in steps {
        if !given {
            let kind = step.id.clone();
            let count = counts.entry(kind.clone()).or_default();
            loop {
                *count += 1;
                step.id = if *count == 1 { kind.clone() } else { format!("{kind}-{count}") };
                if taken.insert(step.id.clone()) {
                    break;
                }
            }
        }
        named.push(step);
    }
    named
}
