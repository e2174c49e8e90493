//! TOML files: their values with places, and the two small ones of the workspace (`bucket.conf` with the
//! range of ports, `bucket.jobs.conf` with reservations).

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fields::{Doc, near_miss};
use super::json::quoted;
use super::units::Unit;
use crate::plan::Problem;

/// The ports that builds hand out when `bucket.conf` does not say, as upstream.
pub(super) const DEFAULT_PORTS: RangeInclusive<u16> = 30000..=39999;

/// One value of a TOML table.
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_span: Range<usize>,
    pub(super) span: Range<usize>,
    pub(super) value: Toml,
}

/// A TOML value, as far as buckets have any.
pub(super) enum Toml {
    Text(String),
    Integer(String),
    Float(String),
    Flag(bool),
    Table(Vec<Entry>),
    Other(&'static str),
}

impl Toml {
    fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Integer(_) => "a whole number",
            Self::Float(_) => "a number",
            Self::Flag(_) => "true or false",
            Self::Table(_) => "a table",
            Self::Other(kind) => kind,
        }
    }
}

/// The top level of a TOML file in the order of the text; all syntax errors become problems.
pub(super) fn parse(doc: &mut Doc<'_>) -> Vec<Entry> {
    let (table, errors) = DeTable::parse_recoverable(doc.source.text());
    for error in errors {
        let message = format!("{} is not TOML: {}", doc.source.name(), error.message());
        let mut problem = Problem::error("maand::bucket::toml_syntax", message)
            .help("lines look like `key = \"value\"`; a value of letters stands in quotes");
        problem = match error.span() {
            Some(span) => problem.at(doc.source, span, "here"),
            None => problem.in_file(doc.source),
        };
        doc.push(problem);
    }
    entries(table.get_ref())
}

fn entries(table: &DeTable<'_>) -> Vec<Entry> {
    let mut all: Vec<Entry> = table
        .iter()
        .map(|(key, value)| Entry {
            key: key.get_ref().to_string(),
            key_span: key.span(),
            span: value.span(),
            value: convert(value),
        })
        .collect();
    all.sort_by_key(|entry| entry.key_span.start);
    all
}

fn convert(value: &Spanned<DeValue<'_>>) -> Toml {
    match value.get_ref() {
        DeValue::String(text) => Toml::Text(text.to_string()),
        DeValue::Integer(number) => match i128::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Toml::Integer(number.to_string()),
            Err(_) => Toml::Integer(number.as_str().to_owned()),
        },
        DeValue::Float(number) => Toml::Float(number.as_str().to_owned()),
        DeValue::Boolean(flag) => Toml::Flag(*flag),
        DeValue::Table(table) => Toml::Table(entries(table)),
        DeValue::Array(_) => Toml::Other("a list"),
        DeValue::Datetime(_) => Toml::Other("a date"),
    }
}

impl Entry {
    /// The value in one form, however it is written; of what buckets have no use for, as it is written.
    pub(super) fn canonical(&self, doc: &Doc<'_>) -> String {
        match &self.value {
            Toml::Text(text) | Toml::Integer(text) | Toml::Float(text) => text.clone(),
            Toml::Flag(flag) => flag.to_string(),
            Toml::Table(entries) => {
                let entry = |entry: &Self| format!("{} = {}", entry.key, entry.canonical(doc));
                let mut entries: Vec<String> = entries.iter().map(entry).collect();
                entries.sort();
                format!("{{{}}}", entries.join(", "))
            }
            Toml::Other(_) => doc.source.text().get(self.span.clone()).unwrap_or_default().to_owned(),
        }
    }

    fn wrong_type(&self, doc: &mut Doc<'_>, wanted: &str) {
        doc.error(
            "maand::bucket::wrong_type",
            format!("`{}` must be {wanted}, not {}", self.key, self.value.kind()),
            &self.span,
            "this",
            format!("write {wanted}"),
        );
    }

    pub(super) fn bad(&self, doc: &mut Doc<'_>, message: impl Into<String>, help: impl Into<String>) {
        doc.error("maand::bucket::bad_value", message, &self.span, "this", help);
    }

    pub(super) fn text(&self, doc: &mut Doc<'_>) -> Option<String> {
        match &self.value {
            Toml::Text(text) => Some(text.trim().to_owned()),
            _ => {
                self.wrong_type(doc, "a string");
                None
            }
        }
    }

    pub(super) fn flag(&self, doc: &mut Doc<'_>) -> Option<bool> {
        match &self.value {
            Toml::Flag(flag) => Some(*flag),
            _ => {
                self.wrong_type(doc, "true or false");
                None
            }
        }
    }

    /// A whole number in a range; upstream writes some of them as strings, so both are taken.
    pub(super) fn number(&self, doc: &mut Doc<'_>, range: RangeInclusive<i64>) -> Option<i64> {
        let text = match &self.value {
            Toml::Integer(text) => text.as_str(),
            Toml::Text(text) => text.trim(),
            _ => {
                self.wrong_type(doc, "a whole number");
                return None;
            }
        };
        let value = text.parse().ok().filter(|value| range.contains(value));
        if value.is_none() {
            self.bad(
                doc,
                format!("`{}` cannot be {}", self.key, quoted(text)),
                format!("write a whole number from {} to {}", range.start(), range.end()),
            );
        }
        value
    }

    fn amount(&self, doc: &mut Doc<'_>, unit: Unit) -> Option<f64> {
        let text = match &self.value {
            Toml::Text(text) | Toml::Integer(text) | Toml::Float(text) => text,
            _ => {
                self.wrong_type(doc, "a number or a string with a unit");
                return None;
            }
        };
        let value = unit.parse(text);
        if value.is_none() {
            self.bad(doc, format!("`{}` cannot be {}", self.key, quoted(text)), unit.example());
        }
        value
    }

    /// Warns when the key looks like a misspelt one.
    pub(super) fn warn_if_near(&self, doc: &mut Doc<'_>, known: &[&str]) {
        if let Some(near) = near_miss(&self.key, known) {
            doc.warn(
                "maand::bucket::unknown_key",
                format!("there is no key `{}`", self.key),
                &self.key_span,
                "not used",
                format!("did you mean `{near}`?"),
            );
        }
    }
}

/// The ports that builds hand out, from `workspace/bucket.conf`.
pub(super) fn port_range(doc: &mut Doc<'_>) -> RangeInclusive<u16> {
    let (mut low, mut high) = (*DEFAULT_PORTS.start(), *DEFAULT_PORTS.end());
    let mut place = 0..0;
    for entry in parse(doc) {
        match entry.key.as_str() {
            "port_min" => {
                low = entry.number(doc, 1..=65535).map_or(low, |value| value as u16);
                place = entry.span.clone();
            }
            "port_max" => {
                high = entry.number(doc, 1..=65535).map_or(high, |value| value as u16);
                place = entry.span.clone();
            }
            _ => entry.warn_if_near(doc, &["port_min", "port_max"]),
        }
    }
    if low > high {
        doc.error(
            "maand::bucket::bad_value",
            format!("port_min ({low}) is greater than port_max ({high})"),
            &place,
            "the range is empty",
            "swap them",
        );
    }
    low..=high
}

/// What one section of `bucket.jobs.conf` reserves.
pub(super) struct Reservation {
    /// MiB and its place.
    pub(super) memory_mb: Option<(f64, Range<usize>)>,
    /// MHz and its place.
    pub(super) cpu_mhz: Option<(f64, Range<usize>)>,
    /// The section's name.
    pub(super) place: Range<usize>,
}

/// The sections of `workspace/bucket.jobs.conf` (or `bucket.jobs.<selector>.conf`) by job.
pub(super) fn reservations(doc: &mut Doc<'_>) -> BTreeMap<String, Reservation> {
    let mut all = BTreeMap::new();
    for section in parse(doc) {
        let Toml::Table(entries) = &section.value else {
            section.wrong_type(doc, "a table, one for each job, such as [api]");
            continue;
        };
        let mut found = Reservation { memory_mb: None, cpu_mhz: None, place: section.key_span.clone() };
        for entry in entries {
            match entry.key.as_str() {
                "memory" => {
                    found.memory_mb =
                        entry.amount(doc, Unit::Memory).map(|value| (value, entry.span.clone()));
                }
                "cpu" => found.cpu_mhz = entry.amount(doc, Unit::Cpu).map(|v| (v, entry.span.clone())),
                // Other keys go to upstream's key-value store.
                _ => {}
            }
        }
        all.insert(section.key, found);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Source;

    #[test]
    fn ports_come_as_strings_or_numbers() {
        for text in ["port_min = \"100\"\nport_max = \"200\"\nother = 1", "port_min = 100\nport_max = 200"] {
            let source = Source::new("bucket.conf", text);
            let mut doc = Doc::new(&source);
            assert_eq!(port_range(&mut doc), 100..=200);
            assert!(doc.finish().is_empty());
        }
        let source = Source::new("bucket.conf", "port_min = 0x1FFFF\nport_max = \"a\"\nport_mix = 3");
        let mut doc = Doc::new(&source);
        port_range(&mut doc);
        let codes: Vec<_> = doc.finish().iter().map(|problem| problem.code).collect();
        assert_eq!(
            codes,
            ["maand::bucket::bad_value", "maand::bucket::bad_value", "maand::bucket::unknown_key"]
        );
    }

    #[test]
    fn reservations_have_units() {
        let source = Source::new("bucket.jobs.conf", "[api]\nmemory = \"1 gb\"\ncpu = 1500\nreplicas = 3\n");
        let mut doc = Doc::new(&source);
        let all = reservations(&mut doc);
        assert_eq!(all["api"].memory_mb.as_ref().map(|(value, _)| *value), Some(1024.0));
        assert_eq!(all["api"].cpu_mhz.as_ref().map(|(value, _)| *value), Some(1500.0));
        assert!(doc.finish().is_empty());
    }
}
