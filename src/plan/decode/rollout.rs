//! `targets:` and `rollout:`.

use super::super::yaml::{Node, Value};
use super::super::{
    Amount, Budget, BudgetBound, Concurrency, Cover, Expect, Located, OnFailure, Order, Problem,
    RolloutGates, RolloutSettings, Spread, Targets, WaveSize, code,
};
use super::common::{Decoder, Fields};
use super::keys::{BUDGET, COVER, EXCLUDE, GATES, ROLLOUT, TARGETS};

impl Decoder<'_> {
    /// Reads `targets:`.
    pub(super) fn targets(&mut self, node: &Node) -> Targets {
        let Some(fields) = self.fields(node, "targets", TARGETS, "targets: {labels: [worker]}") else {
            return Targets::default();
        };
        let mut targets = self.selection(&fields);
        if let Some(node) = fields.get("exclude") {
            let example = "exclude: {workers: [10.0.0.9]}";
            if let Some(fields) = self.fields(node, "exclude", EXCLUDE, example) {
                targets.exclude = Some(Box::new(self.selection(&fields)));
            }
        }
        targets.expect = fields.get("expect").and_then(|node| self.expect(node));
        targets
    }

    fn selection(&mut self, fields: &Fields<'_>) -> Targets {
        Targets {
            workers: fields.get("workers").and_then(|node| self.hosts(node, "workers")),
            labels: fields.get("labels").and_then(|node| self.labels(node, "labels")).unwrap_or_default(),
            tags: fields.get("tags").and_then(|node| self.tags(node)).unwrap_or_default(),
            jobs: fields.get("jobs").and_then(|node| self.jobs(node, "jobs")).unwrap_or_default(),
            exclude: None,
            expect: None,
        }
    }

    fn expect(&mut self, node: &Node) -> Option<Located<Expect>> {
        let fields = self.fields(node, "expect", &["min", "max"], "expect: {min: 2, max: 50}")?;
        let min = fields.get("min").and_then(|node| self.count(node, "min", 0));
        let max = fields.get("max").and_then(|node| self.count(node, "max", 0));
        if max == Some(0) || min.zip(max).is_some_and(|(min, max)| min > max) {
            let (message, help) = match (min, max) {
                (_, Some(0)) => (
                    "`expect` wants no worker at all, and an empty selection is always an error".to_owned(),
                    "write a `max` of at least 1",
                ),
                (min, max) => (
                    format!(
                        "`expect` wants at least {} and at most {} workers",
                        min.unwrap_or_default(),
                        max.unwrap_or_default()
                    ),
                    "write a `max` that is not below `min`",
                ),
            };
            self.error(
                code::EXPECT_IMPOSSIBLE,
                message,
                fields.span.clone(),
                "no selection can meet this",
                help,
            );
        }
        Some(Located { value: Expect { min, max }, span: fields.span })
    }

    /// Reads `rollout:`; `None`: all defaults, at the beginning of the text.
    pub(super) fn rollout(&mut self, node: Option<&Node>) -> RolloutSettings {
        let mut settings = RolloutSettings {
            concurrency: Located { value: Concurrency::AtMost(Amount::Count(1)), span: 0..0 },
            waves: Vec::new(),
            order: Order::Position,
            spread: None,
            budgets: Vec::new(),
            max_failures: Located { value: Amount::Count(0), span: 0..0 },
            on_failure: OnFailure::Halt,
            soak: std::time::Duration::ZERO,
            windows: Vec::new(),
            freeze: None,
            gates: RolloutGates::default(),
        };
        let Some(fields) =
            node.and_then(|node| self.fields(node, "rollout", ROLLOUT, "rollout: {concurrency: 1}"))
        else {
            return settings;
        };
        if let Some(node) = fields.get("concurrency") {
            settings.concurrency.span = node.span.clone();
            if let Some(value) = self.concurrency(node) {
                settings.concurrency.value = value;
            }
        }
        if let Some(node) = fields.get("waves") {
            settings.waves = self.waves(node);
        }
        if let Some(order) = fields.get("order").and_then(|node| self.order(node)) {
            settings.order = order;
        }
        settings.spread = fields.get("spread").and_then(|node| self.spread(node));
        if let Some(node) = fields.get("budgets") {
            settings.budgets = self.budgets(node);
        }
        if let Some(node) = fields.get("max_failures") {
            settings.max_failures.span = node.span.clone();
            if let Some(value) = self.amount(node, "max_failures", 0, None) {
                settings.max_failures.value = value;
            }
        }
        if let Some(1) =
            fields.get("on_failure").and_then(|node| self.word(node, "on_failure", &["halt", "revert"]))
        {
            settings.on_failure = OnFailure::Revert;
        }
        if let Some(soak) = fields.get("soak").and_then(|node| self.duration(node, "soak", true)) {
            settings.soak = soak;
        }
        settings.windows = fields.get("window").map(|node| self.windows(node)).unwrap_or_default();
        settings.freeze = fields.get("freeze").and_then(|node| self.freeze(node, &settings.windows));
        if let Some(node) = fields.get("gates") {
            let example = "gates: {after_wave: [{command: ./check}]}";
            if let Some(fields) = self.fields(node, "gates", GATES, example) {
                let mut of = |key| fields.get(key).map_or_else(Vec::new, |node| self.gates(node, key));
                (settings.gates.before_wave, settings.gates.after_wave) =
                    (of("before_wave"), of("after_wave"));
            }
        }
        settings.gates.guard = fields.get("guard").map_or_else(Vec::new, |node| self.gates(node, "guard"));
        settings
    }

    fn concurrency(&mut self, node: &Node) -> Option<Concurrency> {
        let resolved = self.resolve(node);
        if resolved.text() == Some("auto") {
            return Some(Concurrency::Auto);
        }
        self.amount(&resolved, "concurrency", 1, Some("auto")).map(Concurrency::AtMost)
    }

    fn waves(&mut self, node: &Node) -> Vec<Located<WaveSize>> {
        let Some(items) = self.items(node, "waves", "sizes", "waves: [1, \"10%\", rest]") else {
            return Vec::new();
        };
        let mut waves = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let item = self.resolve(item);
            let is_last = index + 1 == items.len();
            let size = if item.text() == Some("rest") {
                if !is_last {
                    self.error(
                        code::REST_NOT_LAST,
                        "`rest` takes all workers that are left and must be the last wave",
                        item.span.clone(),
                        "waves after this one would be empty",
                        "move `rest` to the end of the list, or remove what follows it",
                    );
                }
                Some(WaveSize::Rest)
            } else if matches!(item.value, Value::Map(_)) {
                if is_last {
                    self.error(
                        code::COVER_LAST,
                        "`cover` takes some workers only and cannot be the last wave",
                        item.span.clone(),
                        "nothing says how the other workers are taken",
                        "write what comes after the canaries: waves: [{cover: [zone]}, rest]",
                    );
                }
                self.cover(&item).map(WaveSize::Cover)
            } else {
                self.amount(&item, "waves", 1, Some("rest")).map(WaveSize::Of)
            };
            if let Some(value) = size {
                waves.push(Located { value, span: item.span.clone() });
            }
        }
        waves
    }

    /// `{cover: [model, zone], at_most: 5}`.
    fn cover(&mut self, node: &Node) -> Option<Cover> {
        let fields = self.fields(node, "waves", COVER, "{cover: [zone], at_most: 5}")?;
        let Some(tags) = fields.get("cover") else {
            let help = "name the tags whose values the wave has to have, such as `cover: [model, zone]`";
            self.missing("a wave with keys", "cover", fields.span.clone(), help);
            return None;
        };
        let tags = self.tag_keys(tags, "cover");
        let at_most = match fields.get("at_most") {
            Some(node) => Some(self.amount(node, "at_most", 1, None)?),
            None => None,
        };
        Some(Cover { tags: tags?, at_most })
    }

    fn order(&mut self, node: &Node) -> Option<Order> {
        let node = self.resolve(node);
        if matches!(node.value, Value::List(_)) {
            return self.hosts(&node, "order").map(Order::Explicit);
        }
        let orders = [Order::Position, Order::Reverse, Order::Host];
        self.word(&node, "order", &["position", "reverse", "host"]).map(|at| orders[at].clone())
    }

    fn spread(&mut self, node: &Node) -> Option<Located<Spread>> {
        let fields = self.fields(node, "spread", &["tag", "at_most"], "spread: {tag: zone, at_most: 1}")?;
        let tag = fields.get("tag").and_then(|node| self.text(node, "tag", "tag: zone"));
        if fields.get("tag").is_none() {
            let help = "name the tag whose values are the failure domains, such as `tag: zone`";
            self.missing("`spread`", "tag", fields.span.clone(), help);
        }
        let at_most = match fields.get("at_most") {
            Some(node) => self.count(node, "at_most", 1),
            None => Some(1),
        };
        let value = Spread { tag: tag?.value.to_lowercase(), at_most: at_most? };
        Some(Located { value, span: fields.span })
    }

    fn budgets(&mut self, node: &Node) -> Vec<Located<Budget>> {
        let Some(items) = self.items(node, "budgets", "budgets", "budgets: [{job: api, min_available: 2}]")
        else {
            return Vec::new();
        };
        let mut budgets: Vec<Located<Budget>> = Vec::with_capacity(items.len());
        for item in &items {
            let Some(budget) = self.budget(item) else { continue };
            match budgets.iter().find(|other| other.value.job.value == budget.value.job.value) {
                None => budgets.push(budget),
                Some(first) => {
                    let message = format!("the job `{}` has two budgets", budget.value.job.value);
                    let problem = Problem::error(code::BUDGET_TWICE, message)
                        .at(self.source, budget.value.job.span.clone(), "second")
                        .at(self.source, first.value.job.span.clone(), "first")
                        .help("keep the one that is meant");
                    self.problems.push(problem);
                }
            }
        }
        budgets
    }

    fn budget(&mut self, node: &Node) -> Option<Located<Budget>> {
        let fields = self.fields(node, "budgets", BUDGET, "{job: api, min_available: 2}")?;
        if fields.get("job").is_none() {
            let help = "name the job, or \"*\" for every job without a budget of its own";
            self.missing("a budget", "job", fields.span.clone(), help);
        }
        let job = fields
            .get("job")
            .and_then(|node| self.text(node, "job", "job: api"))
            .filter(|job| job.value == "*" || self.job_name(job));
        let bound = match (fields.get("min_available"), fields.get("max_unavailable")) {
            (Some(min), None) => self.amount(min, "min_available", 0, None).map(BudgetBound::MinAvailable),
            (None, Some(max)) => {
                self.amount(max, "max_unavailable", 0, None).map(BudgetBound::MaxUnavailable)
            }
            (both, _) => {
                let message = if both.is_some() {
                    "a budget has `min_available` and `max_unavailable`"
                } else {
                    "a budget has neither `min_available` nor `max_unavailable`"
                };
                let help =
                    "write exactly one of them, such as `min_available: 2` or `max_unavailable: \"25%\"`";
                self.error(
                    code::BUDGET_BOUNDS,
                    message,
                    fields.span.clone(),
                    "one of the two is needed",
                    help,
                );
                None
            }
        };
        Some(Located { value: Budget { job: job?, bound: bound? }, span: fields.span })
    }
}
