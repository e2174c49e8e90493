//! Gates: what is measured, how often, and what follows.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use super::super::http::strings;
use super::super::yaml::Node;
use super::super::{
    AlertsQuery, EnvValue, Gate, GateAction, HttpCheck, HttpExpect, Matcher, Measure, Problem,
    PrometheusQuery, StatusRange, code, duration,
};
use super::common::{Decoder, Fields};
use super::http::{Asker, beyond_server, unknown_names};
use super::keys::{ALERTMANAGER, GATE, GATE_OF_ROLLOUT, HTTP_CHECK, PROMETHEUS};

/// As it is shown where one is expected.
pub(super) const EXAMPLE: &str =
    "gate: {prometheus: {url: \"http://prometheus:9090\", query: \"job:errors:rate5m\", max: 0.05}}";
/// A source of measurements: exactly one.
const SOURCES: [&str; 4] = ["prometheus", "alertmanager", "http", "command"];
const INTERVAL: Duration = Duration::from_secs(10);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// An alert that does not clear in this time, and a monitoring system that does not come back, want an operator.
const PATIENCE: Duration = Duration::from_secs(10 * 60);
/// Prometheus takes a sample for the state of things for so long.
const RESOLUTION: Duration = Duration::from_secs(30);
/// A server refuses more values of a series than some ten thousand; so many are plenty.
const MOST_VALUES: u128 = 1000;
/// A few rounds of scrapes and of evaluations, until an alert is resolved.
const LINGER: Duration = Duration::from_secs(2 * 60);
/// More measurements than this are more than a rollout waits for.
const MOST: u32 = 1000;

impl Decoder<'_> {
    /// A list of gates below `rollout`, or one.
    pub(super) fn gates(&mut self, node: &Node, key: &str) -> Vec<Gate> {
        let keys: Vec<&str> = GATE.iter().chain(GATE_OF_ROLLOUT).copied().collect();
        let items = match &node.value {
            super::super::yaml::Value::Map(_) => Some(vec![node.clone()]),
            _ => self.items(node, key, "gates", &format!("{key}: [{{command: ./check}}]")),
        };
        let mut gates = Vec::new();
        for item in items.unwrap_or_default() {
            let fields = self.fields(&item, key, &keys, &format!("{key}: [{{command: ./check}}]"));
            gates.extend(fields.and_then(|fields| self.gate(&fields, Asker::GateOfRollout)));
        }
        gates
    }

    /// The options of a gate.
    pub(super) fn gate(&mut self, fields: &Fields<'_>, asker: Asker) -> Option<Gate> {
        let of_rollout = asker == Asker::GateOfRollout;
        let measure = self.measure(fields, asker);
        let length = |this: &mut Self, key, default| {
            fields.get(key).map_or(Some(default), |node| this.duration(node, key, false))
        };
        let interval = length(self, "interval", INTERVAL);
        let answer_within = length(self, "answer_within", ANSWER_WITHIN);
        let patience = length(self, "patience", PATIENCE);
        let count = fields.get("count").map_or(Some(1), |node| self.small_count(node, "count", 1));
        let failures = fields.get("failures").map_or(Some(0), |node| self.small_count(node, "failures", 0));
        let words = if of_rollout { GateAction::OF_ROLLOUT } else { GateAction::OF_STEP };
        let mut action = |key, default| match fields.get(key) {
            None => Some(default),
            Some(node) => self.word(node, key, &words).map(|at| GateAction::ALL[at]),
        };
        let on_fail = action("on_fail", GateAction::Stop);
        let on_inconclusive = action("on_inconclusive", GateAction::Wait);
        let name = match fields.get("name").filter(|_| of_rollout) {
            None => Some(None),
            Some(node) => self.text(node, "name", "name: errors of the API").map(|text| Some(text.value)),
        };
        let gate = Gate {
            name: name?,
            measure: measure?,
            interval: interval?,
            count: count?,
            failures: failures?,
            answer_within: answer_within?,
            on_fail: on_fail?,
            on_inconclusive: on_inconclusive?,
            patience: Some(patience?).filter(|_| of_rollout),
        };
        self.numbers_fit(fields, &gate).then_some(gate)
    }

    /// Whether what the numbers say together can be.
    fn numbers_fit(&mut self, fields: &Fields<'_>, gate: &Gate) -> bool {
        let (message, key, help) = if gate.count > MOST {
            let message = format!("a gate with {} measurements", gate.count);
            (message, "count", format!("write at most {MOST}, with a longer `interval`"))
        } else if gate.failures >= gate.count {
            let message =
                format!("{} of {} measurements may fail: this gate can only pass", gate.failures, gate.count);
            let help = match gate.count {
                1 => "write a `count` of more than `failures`, such as `count: 5`".to_owned(),
                count => format!("write `failures: {}` or less, or a larger `count`", count - 1),
            };
            (message, "failures", help)
        } else if let Some(patience) = gate.patience
            && gate.interval >= patience
        {
            let (interval, patience) = (duration(gate.interval), duration(patience));
            let message =
                format!("measured every {interval}, it is measured once within a patience of {patience}");
            let key = if fields.get("interval").is_some() { "interval" } else { "patience" };
            (message, key, "write an `interval` shorter than `patience`".to_owned())
        } else {
            return true;
        };
        let span = fields.get(key).map_or_else(|| fields.span.clone(), |node| node.span.clone());
        self.bad_gate(message, span, "cannot be", help);
        false
    }

    fn bad_gate(&mut self, message: String, span: Range<usize>, label: &str, help: String) {
        self.error(code::BAD_GATE, message, span, label, help);
    }

    fn measure(&mut self, fields: &Fields<'_>, asker: Asker) -> Option<Measure> {
        let given: Vec<_> = SOURCES.iter().filter_map(|source| fields.entry(source)).collect();
        let head = fields.span.start..self.first_line_end(&fields.span);
        match given.as_slice() {
            [] => {
                let message = "a gate measures nothing".to_owned();
                let help =
                    format!("say what is measured by one of {}, such as `{EXAMPLE}`", SOURCES.join(", "));
                self.bad_gate(message, head, "measures what?", help);
                None
            }
            [(key, node)] => match key.text.as_str() {
                "prometheus" => self.prometheus(node, asker).map(Measure::Prometheus),
                "alertmanager" => self.alertmanager(node, asker).map(Measure::Alertmanager),
                "http" => self.http_check(node, asker).map(Measure::Http),
                _ => self.command(node, "command").map(Measure::Command),
            },
            [(first, _), (second, _), ..] => {
                let message = format!("a gate measures by both `{}` and `{}`", first.text, second.text);
                let problem = Problem::error(code::BAD_GATE, message)
                    .at(self.source, second.span.clone(), "the second")
                    .at(self.source, first.span.clone(), "the first")
                    .help("make two gates of it: each has one source");
                self.problems.push(problem);
                None
            }
        }
    }

    /// `url` of a server, and what is sent along.
    fn server(&mut self, what: &str, fields: &Fields<'_>, asker: Asker) -> Option<String> {
        let Some(node) = fields.get("url") else {
            let help = format!("say where it is, such as `url: \"http://{what}.internal\"`");
            self.missing(&format!("`{what}`"), "url", fields.span.clone(), &help);
            return None;
        };
        let url = self.url(node, asker)?;
        if let Some(help) = beyond_server(&url) {
            self.bad_gate(
                format!("the url of `{what}` is that of the server"),
                node.span.clone(),
                "too much",
                help.to_owned(),
            );
            return None;
        }
        self.names_are_known(&url, &node.span, asker).then(|| url.trim_end_matches('/').to_owned())
    }

    fn headers_of_gate(&mut self, fields: &Fields<'_>, asker: Asker) -> Option<BTreeMap<String, EnvValue>> {
        let Some(node) = fields.get("headers") else { return Some(BTreeMap::new()) };
        let headers = self.headers(node)?;
        let are_known = headers.values().all(|value| match value {
            EnvValue::Plain(text) => self.names_are_known(text, &node.span, asker),
            EnvValue::FromEnv(_) => true,
        });
        are_known.then_some(headers)
    }

    fn names_are_known(&mut self, text: &str, span: &Range<usize>, asker: Asker) -> bool {
        let wrong = unknown_names(text, asker);
        for (message, help) in &wrong {
            self.bad_gate(message.clone(), span.clone(), "in here", help.clone());
        }
        wrong.is_empty()
    }

    fn prometheus(&mut self, node: &Node, asker: Asker) -> Option<PrometheusQuery> {
        let fields = self.fields(node, "prometheus", PROMETHEUS, EXAMPLE)?;
        let url = self.server("prometheus", &fields, asker);
        let headers = self.headers_of_gate(&fields, asker);
        if fields.get("query").is_none() {
            let help = "write what is asked in PromQL, such as `query: \"job:errors:rate5m\"`";
            self.missing("`prometheus`", "query", fields.span.clone(), help);
        }
        let query = fields.get("query").and_then(|node| {
            let text = self.text(node, "query", "query: \"job:errors:rate5m\"")?;
            self.names_are_known(&text.value, &text.span, asker).then_some(text.value)
        });
        let over = fields.get("over").map(|node| self.duration(node, "over", false));
        let resolution = fields
            .get("resolution")
            .map_or(Some(RESOLUTION), |node| self.duration(node, "resolution", false));
        let limit = |this: &mut Self, key| match fields.get(key) {
            None => Some(None),
            Some(node) => {
                let value = this.number(node, key)?;
                if value.is_nan() {
                    let message = format!("`{key}` is not a number, and nothing is within it");
                    this.bad_gate(
                        message,
                        node.span.clone(),
                        "not a limit",
                        format!("write a number: `{key}: 0.05`"),
                    );
                    return None;
                }
                Some(Some(value))
            }
        };
        let (min, max) = (limit(self, "min"), limit(self, "max"));
        let query = PrometheusQuery {
            url: url?,
            headers: headers?,
            query: query?,
            over: over.map_or(Some(None), |over| over.map(Some))?,
            resolution: resolution?,
            min: min?,
            max: max?,
        };
        let head = fields.span.start..self.first_line_end(&fields.span);
        let (message, span, help) = match (query.min, query.max, query.over) {
            (None, None, _) => {
                let help =
                    "write `max` for values that may not be larger, `min` for those that may not be smaller";
                ("a query without a limit passes whatever it says".to_owned(), head, help.to_owned())
            }
            (Some(min), Some(max), _) if min > max => {
                let message = format!("no value is at least {min} and at most {max}");
                (message, head, "write a `max` that is not below `min`".to_owned())
            }
            (_, _, Some(over)) if over.as_millis() / query.resolution.as_millis().max(1) > MOST_VALUES => {
                let message = format!(
                    "{} has more than {MOST_VALUES} values, one each {}",
                    duration(over),
                    duration(query.resolution)
                );
                (message, head, "write a longer `resolution`, or a shorter `over`".to_owned())
            }
            _ => return Some(query),
        };
        self.bad_gate(message, span, "in this query", help);
        None
    }

    fn alertmanager(&mut self, node: &Node, asker: Asker) -> Option<AlertsQuery> {
        const SAMPLE: &str =
            "alertmanager: {url: \"http://alertmanager:9093\", matching: ['severity=\"critical\"']}";
        let fields = self.fields(node, "alertmanager", ALERTMANAGER, SAMPLE)?;
        let url = self.server("alertmanager", &fields, asker);
        let headers = self.headers_of_gate(&fields, asker);
        if fields.get("matching").is_none() {
            let help =
                "say which alerts count, such as `matching: ['severity=\"critical\"']`; some always fire";
            self.missing("`alertmanager`", "matching", fields.span.clone(), help);
        }
        let matching = fields.get("matching").and_then(|node| {
            let items = self.items(node, "matching", "matchers", "matching: ['severity=\"critical\"']")?;
            let matchers: Vec<_> = items.iter().map(|item| self.matcher(item, asker)).collect();
            matchers.into_iter().collect::<Option<Vec<_>>>()
        });
        let except_down = fields.get("except_down").map_or(Some(true), |node| self.flag(node, "except_down"));
        let linger = fields.get("linger").map_or(Some(LINGER), |node| self.duration(node, "linger", true));
        let worker_label = match fields.get("worker_label") {
            None => Some("instance".to_owned()),
            Some(node) => self.text(node, "worker_label", "worker_label: instance").map(|text| text.value),
        };
        Some(AlertsQuery {
            url: url?,
            headers: headers?,
            matching: matching?,
            except_down: except_down?,
            linger: linger?,
            worker_label: worker_label?,
        })
    }

    /// One matcher: `name="value"`, or with `!=`, `=~` or `!~`. What it means is Alertmanager's to say.
    fn matcher(&mut self, node: &Node, asker: Asker) -> Option<String> {
        let text = self.text(node, "matching", "matching: ['severity=\"critical\"']")?;
        let name = text.value.split(['=', '!']).next().unwrap_or_default().trim();
        let fine =
            !name.is_empty() && name.len() < text.value.trim_end().len() && !name.contains(['{', '}', ',']);
        if !fine {
            let message = format!("`{}` is no matcher", super::super::yaml::shorten(&text.value));
            let help = "write a label and its value, one in each entry: 'severity=\"critical\"', or with !=, =~ or !~";
            self.bad_gate(message, text.span, "no label, or no value", help.to_owned());
            return None;
        }
        if let Some(why) = Matcher::parse(&text.value).ok().and_then(|matcher| matcher.wrong_regex()) {
            let message =
                format!("`{}` has no regular expression: {why}", super::super::yaml::shorten(&text.value));
            let help = "write one as Alertmanager takes it (the syntax of RE2, for the whole value): 'severity=~\"critical|page\"'";
            self.bad_gate(message, text.span, "in here", help.to_owned());
            return None;
        }
        self.names_are_known(&text.value, &text.span, asker).then_some(text.value)
    }

    fn http_check(&mut self, node: &Node, asker: Asker) -> Option<HttpCheck> {
        let fields = self.fields(node, "http", HTTP_CHECK, "http: {url: \"http://lb.internal/health\"}")?;
        let request = self.request(&fields, asker);
        let expect = match fields.get("expect") {
            None => Some(HttpExpect { status: vec![StatusRange::SUCCESS], json: Vec::new() }),
            Some(node) => self.http_expect(node).filter(|expect| {
                let mut texts = Vec::new();
                expect.json.iter().for_each(|(_, wanted)| strings(wanted, &mut texts));
                texts.into_iter().all(|text| self.names_are_known(text, &node.span, asker))
            }),
        };
        Some(HttpCheck { request: request?, expect: expect? })
    }
}

#[cfg(test)]
mod tests {
    use crate::plan::{Measure, Source, StepKind, parse};

    /// A variable could be given on the command line, and would be shell text there.
    #[test]
    fn nothing_is_put_into_the_text_of_a_command() {
        let text = "version: 1\nname: n\nvars: {zone: \"a; echo put in\"}\nrollout:\n  guard: {command: './check ${zone} ${MAAND_DOWN:-}'}\n\
                    notify:\n  hook: {command: './tell ${zone}'}\nsteps:\n  - gate: {command: './check ${zone}'}\n";
        let plan = parse(&Source::new("plan.yaml", text), &[]).unwrap();
        let Measure::Command(guard) = &plan.rollout.gates.guard[0].measure else { panic!("a command") };
        assert_eq!(guard, "./check ${zone} ${MAAND_DOWN:-}");
        let StepKind::Gate(gate) = &plan.steps[0].kind else { panic!("a gate") };
        assert!(matches!(&gate.measure, Measure::Command(text) if text == "./check ${zone}"));
        let hook = format!("{:?}", plan.notify);
        assert!(hook.contains("./tell ${zone}") && !hook.contains("put in"), "{hook}");
        assert!(hook.contains("Command"), "{hook}");
    }
}
