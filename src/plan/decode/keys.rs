//! The words of the language: every key that a map may have, every kind and its options.

/// Of the plan itself.
pub(crate) const PLAN: &[&str] = &[
    "version",
    "name",
    "description",
    "vars",
    "targets",
    "rollout",
    "silence",
    "notify",
    "defaults",
    "before",
    "prepare",
    "steps",
    "after",
];
/// Of `targets`.
pub(crate) const TARGETS: &[&str] = &["workers", "labels", "tags", "jobs", "exclude", "expect"];
/// Of `exclude`.
pub(crate) const EXCLUDE: &[&str] = &["workers", "labels", "tags", "jobs"];
/// Of `rollout`.
pub(crate) const ROLLOUT: &[&str] = &[
    "concurrency",
    "waves",
    "order",
    "spread",
    "budgets",
    "max_failures",
    "on_failure",
    "soak",
    "window",
    "freeze",
    "gates",
    "guard",
];
/// Of a wave that covers tags.
pub(crate) const COVER: &[&str] = &["cover", "at_most"];
/// Of an entry of `budgets`.
pub(crate) const BUDGET: &[&str] = &["job", "min_available", "max_unavailable"];
/// Of `window`.
pub(crate) const WINDOW: &[&str] = &["timezone", "open", "close", "days"];
/// Of `freeze`.
pub(crate) const FREEZE: &[&str] = &["timezone", "dates", "calendars"];
/// Of `silence`.
pub(crate) const SILENCE: &[&str] =
    &["url", "headers", "matchers", "lease", "tail", "at_most", "timeout", "comment"];
/// Of `defaults`.
pub(crate) const DEFAULTS: &[&str] = &["timeout", "retries"];
/// Of `retries`.
pub(crate) const RETRIES: &[&str] = &["attempts", "delay", "backoff", "max_delay"];
/// Of a request: of `undo` of an `http` step.
pub(crate) const HTTP_REQUEST: &[&str] = &["method", "url", "headers", "body", "json"];
/// Of `expect` of an `http` step.
pub(crate) const HTTP_EXPECT: &[&str] = &["status", "json"];
/// Of `gates` below `rollout`.
pub(crate) const GATES: &[&str] = &["before_wave", "after_wave"];
/// Of a gate: of a step.
pub(crate) const GATE: &[&str] = &[
    "prometheus",
    "alertmanager",
    "http",
    "command",
    "interval",
    "count",
    "failures",
    "answer_within",
    "on_fail",
    "on_inconclusive",
];
/// Of a gate below `rollout`, besides.
pub(crate) const GATE_OF_ROLLOUT: &[&str] = &["name", "patience"];
/// Of `prometheus`.
pub(crate) const PROMETHEUS: &[&str] = &["url", "headers", "query", "over", "resolution", "min", "max"];
/// Of `alertmanager`.
pub(crate) const ALERTMANAGER: &[&str] =
    &["url", "headers", "matching", "except_down", "linger", "worker_label"];
/// Of `http` of a gate.
pub(crate) const HTTP_CHECK: &[&str] = &["method", "url", "headers", "body", "json", "expect"];
/// What takes notices: one of them in each target.
pub(crate) const NOTICE_SERVICES: &[&str] = &["webhook", "slack", "teams", "ntfy", "mail", "command"];
/// Of a target of notices.
pub(crate) const NOTICE_TARGET: &[&str] = &[
    "webhook",
    "slack",
    "teams",
    "ntfy",
    "mail",
    "command",
    "on",
    "title",
    "text",
    "timeout",
    "give_up_after",
];
/// Of `webhook`.
pub(crate) const WEBHOOK: &[&str] = &["url", "headers", "json"];
/// Of `slack` and `teams`.
pub(crate) const URL_ONLY: &[&str] = &["url"];
/// Of `ntfy`.
pub(crate) const NTFY: &[&str] = &["url", "topic", "token", "priority"];
/// Of `mail`.
pub(crate) const MAIL: &[&str] = &["to", "from", "sendmail"];
/// Of `when`.
pub(crate) const WHEN: &[&str] = &["labels", "tags", "jobs"];
/// Of every step, beside its kind.
pub(crate) const COMMON: &[&str] = &["id", "name", "needs", "timeout", "retries", "when", "on_failure"];

/// Every kind as it can be written.
pub(crate) const KINDS: &[&str] = &[
    "disable",
    "enable",
    "re-enable",
    "deploy",
    "build",
    "start",
    "stop",
    "restart",
    "reboot",
    "wait_for_ssh",
    "run",
    "local",
    "http",
    "gate",
    "health",
    "sync_check",
    "pause",
    "approve",
];
/// The kinds that make sense once, for `before` and `after`.
pub(crate) const ONCE: &[&str] = &["build", "deploy", "health", "local", "http", "gate", "pause", "approve"];

/// Of `prepare`.
pub(crate) const PREPARE: &[&str] = &["concurrency", "outside_window", "steps"];
/// The kinds that leave a worker and its jobs as they are, for `prepare`.
pub(crate) const PREPARING: &[&str] = &["run", "local", "http", "health", "sync_check"];

/// The options of a kind.
pub(crate) fn options(kind: &str) -> &'static [&'static str] {
    match kind {
        "disable" | "start" | "stop" | "restart" => &["jobs"],
        "deploy" => &["jobs", "force"],
        "reboot" => &["command", "down_within", "unless", "cannot_tell", "expect"],
        "wait_for_ssh" => &["settle", "interval", "on_no_return"],
        "run" | "local" => {
            &["command", "script", "idempotent", "disturbs", "fenced", "unless", "env", "undo"]
        }
        "http" => &["method", "url", "headers", "body", "json", "expect", "idempotent", "undo"],
        "gate" => GATE,
        "health" => &["jobs", "wait", "scope"],
        "sync_check" => &["repair"],
        "approve" => &["message"],
        _ => &[],
    }
}

/// Of `expect` of a reboot.
pub(crate) const EXPECTED_BOOT: &[&str] = &["kernel", "cmdline"];

/// Where a key belongs that is often written one level too high.
pub(crate) const BELONGS: &[(&str, &[&str])] =
    &[("rollout", ROLLOUT), ("targets", TARGETS), ("defaults", DEFAULTS), ("prepare", &["outside_window"])];
