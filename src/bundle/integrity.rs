//! Reading a bundle that anybody may have written: is it one, of a version that this program knows, and whole?

use std::io;
use std::path::Path;

use serde_json::Value;

use super::format::{Bundle, Document, LIMIT, SCHEMA, first_line};
use crate::os::hash::sha256;
use crate::os::open;
use crate::plan::{Problem, Problems};

/// The schema's name without its version.
const KIND: &str = "maand/bundle/v";

/// An epoch or a fact's number beyond this is nobody's: it must fit every shell's numbers and JSON's.
const NUMBER_MAX: u64 = 1 << 53;

impl Bundle {
    /// Reads a bundle. What is in it fits together as far as its bytes tell; whether its facts may follow one another
    /// is for [`super::verify`].
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn read(path: &Path) -> Result<Self, Problems> {
        let name = path.display().to_string();
        let unreadable = |error: io::Error| {
            let message = if error.kind() == io::ErrorKind::FileTooLarge {
                format!("{name} is larger than any bundle may be ({} MiB)", LIMIT >> 20)
            } else {
                format!("{name} cannot be read: {error}")
            };
            Problems::from(Problem::error("maand::bundle::unreadable", message).help(MAKE))
        };
        let file = open::named_by_user(path).map_err(unreadable)?;
        let bytes = open::read_all(&file, LIMIT).map_err(unreadable)?;
        Self::parse(&name, &bytes)
    }

    /// The same of bytes; `name` is what messages call them.
    ///
    /// # Errors
    /// As of [`Self::read`].
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self, Problems> {
        check_content(name, bytes)?;
        // The hash is right, so this is what somebody has written as a bundle.
        let document: Document<'_> =
            serde_json::from_slice(bytes).map_err(|error| not_a_bundle(name, error))?;
        let about = document.about.clone();
        let text = document
            .text()
            .ok_or_else(|| altered(name, [format!("`{}` cannot be the name of a run", about.run)]))?;
        let header = serde_json::from_str(&text.header).map_err(|error| {
            altered(name, [format!("its header is none that this version of maand knows: {error}")])
        })?;
        let bundle = Self { sha256: document.sha256.clone(), about, text, header };
        let faults = bundle.faults();
        if faults.is_empty() { Ok(bundle) } else { Err(altered(name, faults)) }
    }

    /// What does not fit together in it.
    fn faults(&self) -> Vec<String> {
        let Self { about, text, header, .. } = self;
        let mut faults = text.chain_faults();
        let mut says = |wrong: bool, what: &str| {
            if wrong {
                faults.push(what.to_owned());
            }
        };
        says(text.facts.is_empty(), "it has no fact");
        says(about.facts != text.facts.len() as u64, "it lacks facts, or has more than it says");
        let newest = text.facts.last().map(|last| last.chain.as_str()).unwrap_or_default();
        says(about.chain != newest, "the hash of its newest fact is not the one that it says");
        says(about.bucket_id != header.fleet.bucket_id, "it names another bucket than its header");
        says(about.plan != header.plan, "it names another plan than its header");
        says(
            about.author != header.who || about.program != header.program,
            "it names another author or program than its header",
        );
        says(
            header.plan_sha256 != sha256(&header.plan_text),
            "the plan's text is not the one that was hashed",
        );
        let epochs = || text.facts.iter().map(|fact| fact.epoch);
        says(!epochs().is_sorted(), "an older controller has written after a newer one");
        says(
            epochs().any(|epoch| epoch == 0 || epoch > about.epoch),
            "a fact has an epoch that no controller had",
        );
        says(about.epoch >= NUMBER_MAX, "its epoch is no number that a controller can have");
        let wrong_time = |at: i64| !(0..NUMBER_MAX as i64).contains(&at);
        says(text.facts.iter().any(|fact| wrong_time(fact.at)), "a fact has a time that no clock shows");
        if let Some(fact) = text.facts.iter().find(|fact| has_huge_number(&fact.fact)) {
            faults.push(format!("fact {} has a number that none has", fact.seq));
        }
        faults
    }
}

const MAKE: &str = "`maand plan export RUN --out FILE` makes one where the journal is";

/// Whether the first line is that of a bundle, and has the hash of all bytes after it.
fn check_content(name: &str, bytes: &[u8]) -> Result<(), Problems> {
    let line = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| end + 1);
    let (first, content) = bytes.split_at(line);
    let empty = first_line("");
    let (before, after) = empty.split_at(empty.len() - "\",\n".len());
    let hash = first.strip_prefix(before.as_bytes()).and_then(|rest| rest.strip_suffix(after.as_bytes()));
    let Some(hash) = hash else { return Err(wrong_kind(name, first)) };
    if sha256(content).as_bytes() == hash {
        return Ok(());
    }
    let mut faults = Vec::new();
    if !content.ends_with(b"}\n") {
        faults.push("its end is missing".to_owned());
    }
    // What is wrong with the facts themselves helps to find out what has happened to the file.
    if let Ok(document) = serde_json::from_slice::<Document<'_>>(bytes)
        && let Some(text) = document.text()
    {
        faults.extend(text.chain_faults());
    }
    if faults.is_empty() {
        faults.push("its hash is not that of its content".to_owned());
    }
    Err(altered(name, faults))
}

/// Why the first line is not that of a bundle of this version.
fn wrong_kind(name: &str, first: &[u8]) -> Problems {
    let text = String::from_utf8_lossy(first);
    let schema = text.split('"').nth(3).filter(|_| text.starts_with("{\"schema\":\"")).unwrap_or_default();
    let version = schema.strip_prefix(KIND).and_then(|version| version.parse::<u64>().ok());
    let problem = match version {
        Some(version) if format!("{KIND}{version}") != SCHEMA => Problem::error(
            "maand::bundle::newer",
            format!("{name} is a bundle of another version ({schema}); this maand reads {SCHEMA}"),
        )
        .help("use the version of maand that has made it"),
        Some(_) => return altered(name, ["its first line is not whole".to_owned()]),
        None => {
            let what = if schema.starts_with("maand/") && schema.len() < 60 {
                format!("{name} is not a bundle of a run, but {}", crate::plan::visible(schema.as_bytes()))
            } else {
                format!("{name} is not a bundle of a run")
            };
            Problem::error("maand::bundle::not_a_bundle", what).help(MAKE)
        }
    };
    problem.into()
}

fn not_a_bundle(name: &str, error: impl std::fmt::Display) -> Problems {
    let message = format!("{name} is not what a bundle is: {error}");
    Problem::error("maand::bundle::not_a_bundle", message).help(MAKE).into()
}

fn altered(name: &str, faults: impl IntoIterator<Item = String>) -> Problems {
    let mut problems = Problems::new();
    for fault in faults {
        let fault = crate::plan::visible(fault.as_bytes());
        problems.push(
            Problem::error("maand::bundle::altered", format!("{name} was cut or altered: {fault}"))
                .help("copy it again from where it was made, or export the run again"),
        );
    }
    problems
}

/// Whether a number in it is beyond what times and counts can be.
fn has_huge_number(text: &str) -> bool {
    let mut digits = 0;
    let long = text.bytes().any(|byte| {
        digits = if byte.is_ascii_digit() { digits + 1 } else { 0 };
        digits >= 16
    });
    // Digits in a text (a boot id, an error) are no number.
    long && serde_json::from_str::<Value>(text).is_ok_and(|value| is_huge(&value))
}

fn is_huge(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_f64().is_none_or(|number| number.abs() >= NUMBER_MAX as f64),
        Value::Array(items) => items.iter().any(is_huge),
        // The seed of a run is any number.
        Value::Object(fields) => fields.iter().any(|(name, value)| name != "seed" && is_huge(value)),
        _ => false,
    }
}
