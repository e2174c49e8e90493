//! The values of the language as JSON Schema: each may also be a reference to a variable.

use std::borrow::Cow;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

/// A text with a variable in it.
const WITH_VARIABLE: &str = r"\$\{[A-Za-z_][A-Za-z0-9_]*\}";
/// A text that is only a variable, and so takes its type.
const VARIABLE: &str = r"^\$\{[A-Za-z_][A-Za-z0-9_]*\}$";

macro_rules! value {
    ($(#[doc = $doc:literal])+ $name:ident, $schema:expr) => {
        $(#[doc = $doc])+
        pub(super) struct $name;

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    };
}

/// A pattern, or a text with a variable in it. Editors show the description, and not the pattern, where a text does not
/// match.
fn pattern(pattern: &str, description: &str) -> Schema {
    json_schema!({
        "description": description,
        "type": "string",
        "pattern": format!("{pattern}|{WITH_VARIABLE}"),
        "patternErrorMessage": format!("{description}."),
    })
}

/// A text in which something is to be seen.
fn not_blank() -> Value {
    json!({ "type": "string", "pattern": r"\S", "patternErrorMessage": "A text that is not empty." })
}

/// A variable instead of `what`, and nothing beside it.
fn variable(what: &str) -> Value {
    let message = format!("{what}, or a variable alone, such as ${{name}}.");
    json!({ "type": "string", "pattern": VARIABLE, "patternErrorMessage": message })
}

value!(
    /// A text that is not empty.
    Text,
    of(not_blank())
);
value!(
    /// A text that may be written as a number.
    Word,
    json_schema!({ "anyOf": [not_blank(), { "type": "number" }, { "type": "boolean" }] })
);
value!(
    /// `true`, `false` or a variable.
    Flag,
    json_schema!({ "anyOf": [{ "type": "boolean" }, variable("true or false")] })
);
value!(
    /// A duration.
    Duration,
    pattern(
        "^(?=[0-9])([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$",
        "A duration: whole numbers with the units h, m, s, ms, largest first, such as 500ms, 30s, 10m, 1h30m"
    )
);
value!(
    /// A time of day.
    TimeOfDay,
    pattern("^([01]?[0-9]|2[0-3]):[0-5][0-9]$", "A time of day, \"00:00\" to \"23:59\"")
);
value!(
    /// A host.
    Host,
    pattern(
        r"^([A-Za-z0-9][A-Za-z0-9._:-]{0,254}|\[?[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(%[A-Za-z0-9._-]+)?\]?)$",
        "A host as written in workers.json: no user, no port, no options"
    )
);
value!(
    /// A job.
    JobName,
    pattern("^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$", "The name of a job: its folder below workspace/jobs")
);
value!(
    /// A job of a budget.
    BudgetJob,
    pattern(
        r"^\*$|^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$",
        "A job, or \"*\" (in quotes) for every job without a budget of its own"
    )
);
value!(
    /// An id.
    Id,
    pattern("^[a-z0-9][a-z0-9_-]{0,62}$", "1 to 63 of a-z, 0-9, - and _")
);
value!(
    /// The name of the plan.
    PlanName,
    pattern("^[a-z0-9-]{1,63}$", "1 to 63 of a-z, 0-9 and -")
);
value!(
    /// A factor.
    Factor,
    json_schema!({ "anyOf": [
        { "type": "number", "minimum": 1, "maximum": 1000 },
        variable("A number from 1 to 1000"),
    ] })
);
value!(
    /// Version 1 of the language.
    Version,
    json_schema!({ "type": "integer", "const": 1 })
);
value!(
    /// The value of a variable.
    VariableValue,
    json_schema!({ "anyOf": [
        { "type": ["string", "number", "boolean"] },
        { "type": "array", "items": { "type": ["string", "number", "boolean"] } },
    ] })
);
value!(
    /// Shell text.
    Shell,
    of(not_blank())
);

/// A whole number of at least `MIN`.
pub(super) struct Count<const MIN: u64>;

impl<const MIN: u64> JsonSchema for Count<MIN> {
    fn schema_name() -> Cow<'static, str> {
        format!("CountFrom{MIN}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "integer", "minimum": MIN, "maximum": i64::MAX },
            variable(&format!("A whole number of at least {MIN}")),
        ] })
    }
}

/// A number of at least `MIN`, or a percentage; or a word.
fn amount(min: u64, word: Option<&str>) -> Schema {
    let or = word.map_or(String::new(), |word| format!(", or {word}"));
    let message = format!("A whole number of at least {min}, a percentage such as 10%{or}.");
    let word = word.map_or(String::new(), |word| format!("^{word}$|"));
    json_schema!({ "anyOf": [
        { "type": "integer", "minimum": min, "maximum": i64::MAX },
        {
            "type": "string",
            "pattern": format!("{word}^(100|0?[0-9]{{1,2}})%$|{WITH_VARIABLE}"),
            "patternErrorMessage": message,
        },
    ] })
}

value!(
    /// A number or a percentage.
    Amount,
    amount(0, None)
);
value!(
    /// A number of at least 1, or a percentage.
    PositiveAmount,
    amount(1, None)
);
value!(
    /// How many at a time.
    Concurrency,
    amount(1, Some("auto"))
);
/// The size of a wave: a number, a percentage, rest, or the tags that it covers.
pub(super) struct WaveSize;

impl JsonSchema for WaveSize {
    fn schema_name() -> Cow<'static, str> {
        "WaveSize".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let number = amount(1, Some("rest"));
        json_schema!({ "anyOf": [number, generator.subschema_for::<super::document::CoverWave>()] })
    }
}

/// A list with at least one entry, or a variable.
pub(super) struct List<T>(PhantomData<T>);

impl<T: JsonSchema> JsonSchema for List<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("ListOf{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "array", "minItems": 1, "items": generator.subschema_for::<T>() },
            variable("A list with at least one entry"),
        ] })
    }
}

/// A tag's value, or a list of them.
pub(super) struct OneOrMore<T>(PhantomData<T>);

impl<T: JsonSchema> JsonSchema for OneOrMore<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("OneOrMore{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [one, { "type": "array", "minItems": 1, "items": one }] })
    }
}

/// Options that may be left out altogether: `- deploy:`.
pub(super) struct OrNothing<T>(PhantomData<T>);

impl<T: JsonSchema> JsonSchema for OrNothing<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("{}OrNothing", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        // `const` and not `type`: the transform of this room takes the null types out.
        json_schema!({ "anyOf": [generator.subschema_for::<T>(), { "const": null }] })
    }
}

/// A list without a least length, or a variable.
pub(super) struct AnyList<T>(PhantomData<T>);

impl<T: JsonSchema> JsonSchema for AnyList<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("AnyListOf{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "array", "items": generator.subschema_for::<T>() },
            variable("A list"),
        ] })
    }
}

/// One of `words`, or a variable.
pub(super) fn words(words: &[&str]) -> Schema {
    json_schema!({ "anyOf": [{ "enum": words }, with_variable(&format!("One of {}", words.join(", ")))] })
}

/// A text with a variable in it, instead of `what`.
fn with_variable(what: &str) -> Value {
    let message = format!("{what}, or a text with a variable, such as ${{name}}.");
    json!({ "type": "string", "pattern": WITH_VARIABLE, "patternErrorMessage": message })
}

fn of(schema: Value) -> Schema {
    schema.try_into().unwrap_or_default()
}

value!(
    /// In which order.
    Order,
    json_schema!({ "anyOf": [
        { "enum": ["position", "reverse", "host"] },
        { "type": "array", "minItems": 1, "items": { "type": "string",
            "pattern": format!("^[A-Za-z0-9][A-Za-z0-9._:-]{{0,254}}$|{WITH_VARIABLE}"),
            "patternErrorMessage": "A host as written in workers.json." } },
        with_variable("position, reverse, host, or a list of hosts"),
    ] })
);
value!(
    /// What a failed worker does.
    OnFailure,
    words(&["halt", "revert"])
);
value!(
    /// What a failed step does.
    OnStepFailure,
    words(&["fail", "ignore"])
);
value!(
    /// What becomes of a worker that cannot tell whether it needs a reboot.
    CannotTell,
    words(&crate::plan::CannotTell::WORDS)
);
value!(
    /// What follows when a worker is not back in time.
    OnNoReturn,
    words(&crate::plan::OnNoReturn::WORDS)
);
value!(
    /// What a health check covers.
    Scope,
    words(&["worker", "fleet"])
);
value!(
    /// A day of the week, or of each month.
    Day,
    pattern(
        "^((1st|2nd|3rd|4th|5th|last) +)?(mon|tue|wed|thu|fri|sat|sun)$",
        "mon, tue, wed, thu, fri, sat or sun; or one of each month: \"2nd tue\", \"last fri\""
    )
);
value!(
    /// A method.
    Method,
    words(&["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
);
value!(
    /// A number.
    Number,
    json_schema!({ "anyOf": [{ "type": "number" }, variable("A number")] })
);
value!(
    /// What a gate of a step leads to.
    GateActionOfStep,
    words(&crate::plan::GateAction::OF_STEP)
);
value!(
    /// What a gate of the rollout leads to.
    GateActionOfRollout,
    words(&crate::plan::GateAction::OF_ROLLOUT)
);
value!(
    /// A status of an answer.
    Status,
    json_schema!({ "anyOf": [
        { "type": "integer", "minimum": 100, "maximum": 599 },
        { "type": "string", "pattern": format!("^[1-5](xx|[0-9][0-9])$|{WITH_VARIABLE}"),
            "patternErrorMessage": "A code such as 204, or all of a hundred such as 2xx." },
    ] })
);
value!(
    /// A date, or the first and the last one.
    Dates,
    pattern(
        "^[0-9]{4}-[0-9]{2}-[0-9]{2}(\\.\\.[0-9]{4}-[0-9]{2}-[0-9]{2})?$",
        "A date such as 2027-05-01, or the first and the last one: 2026-12-24..2027-01-02"
    )
);
