//! What stands in a bundle, and how it becomes text.
//!
//! A bundle is one JSON document. Its first line has the schema and a SHA-256 over all bytes after that line; each fact
//! has a line of its own. Header and facts are the very texts of the journal, over which its hash chain goes. The same
//! state of a journal gives the same bytes.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::bucket::DisabledEntry;
use crate::engine::Millis;
use crate::journal::{FactText, Holder, RequestText, RunHeader, RunId, RunText};
use crate::os::hash::sha256;

/// What a bundle says that it is.
pub const SCHEMA: &str = "maand/bundle/v1";

/// A bundle is never larger, in bytes: some four times what a run of ten thousand workers takes.
pub const LIMIT: u64 = 256 << 20;

/// What is known of the process that carried the run out last, from the run lock's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Controller {
    /// It had left by itself when the bundle was made.
    Left,
    /// It was at work, or has died without leaving.
    MayLive {
        /// The process.
        #[serde(flatten)]
        holder: Holder,
    },
    /// Nothing is known of it, as the lock's file was not beside the journal.
    Unknown,
}

/// What a bundle says of its run beside what the journal has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct About {
    /// The run's name.
    pub run: String,
    /// The plan's name.
    pub plan: String,
    /// The bucket that the run belongs to.
    pub bucket_id: String,
    /// Who began the run, `user@host`.
    pub author: String,
    /// The version of the program that began it.
    pub program: String,
    /// The epoch of its newest controller.
    pub epoch: u64,
    /// How many facts there are.
    pub facts: u64,
    /// The hash over the newest fact and all before it, in hexadecimal digits.
    pub chain: String,
    /// What is known of the process that carried the run out last.
    pub controller: Controller,
    /// Entries of `disabled.json` that are the run's own, by its record; `null`: there was no record, and the facts
    /// say which are.
    #[schemars(with = "Option<Vec<serde_json::Value>>")]
    pub own_disabled: Option<BTreeSet<DisabledEntry>>,
}

/// A run in a file.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// What it says of itself.
    pub about: About,
    /// The run, text for text.
    pub text: RunText,
    /// What the header's text says.
    pub header: RunHeader,
    /// SHA-256 over the bundle's content, in hexadecimal digits: names this bundle in the journal that it is put into.
    pub sha256: String,
}

/// The document, as it stands in the file.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Document<'a> {
    /// Always `maand/bundle/v1`.
    #[expect(dead_code, reason = "the first line was compared before the rest is read")]
    schema: String,
    /// SHA-256 over all bytes after the first line, in hexadecimal digits.
    pub(super) sha256: String,
    /// What the bundle says of its run.
    pub(super) about: About,
    /// What was fixed when the run started: plan, fleet, scripts, hashes; as the journal has it.
    #[serde(borrow)]
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub(super) header: &'a RawValue,
    /// All facts, oldest first.
    pub(super) facts: Vec<Line<'a>>,
    /// Requests that no controller has dealt with, oldest first.
    pub(super) requests: Vec<Request<'a>>,
}

/// A fact with its place in the journal.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(super) struct Line<'a> {
    /// From 1, without gaps.
    seq: u64,
    /// When the controller learnt it, in milliseconds since 1970, UTC.
    at: Millis,
    /// The controller that wrote it.
    epoch: u64,
    /// The hash over this fact and all before it, in hexadecimal digits.
    chain: String,
    /// What has happened, as the journal has it.
    #[serde(borrow)]
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    fact: &'a RawValue,
}

/// A request of an operator.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(super) struct Request<'a> {
    /// What is asked for, as the journal has it.
    #[serde(borrow)]
    #[schemars(with = "serde_json::Value")]
    verb: &'a RawValue,
    /// The operator, `user@host`.
    by: String,
    /// When, in milliseconds since 1970, UTC.
    at: Millis,
}

impl Bundle {
    /// A bundle of a run, with what is known beside its journal.
    ///
    /// # Errors
    /// The header says what this program does not know.
    pub fn new(
        text: RunText,
        controller: Controller,
        own_disabled: Option<BTreeSet<DisabledEntry>>,
    ) -> serde_json::Result<Self> {
        let header: RunHeader = serde_json::from_str(&text.header)?;
        let about = About {
            run: text.id.to_string(),
            plan: header.plan.clone(),
            bucket_id: header.fleet.bucket_id.clone(),
            author: header.who.clone(),
            program: header.program.clone(),
            epoch: text.epoch,
            facts: text.facts.len() as u64,
            chain: text.facts.last().map(|last| last.chain.clone()).unwrap_or_default(),
            controller,
            own_disabled,
        };
        let mut bundle = Self { about, text, header, sha256: String::new() };
        bundle.sha256 = sha256(bundle.content()?);
        Ok(bundle)
    }

    /// The text of the file.
    ///
    /// # Errors
    /// A text of the journal is not JSON.
    pub fn to_text(&self) -> serde_json::Result<String> {
        let content = self.content()?;
        Ok(first_line(&sha256(&content)) + &content)
    }

    /// All that stands after the first line.
    fn content(&self) -> serde_json::Result<String> {
        let mut text = format!("\"about\":{},\n\"header\":", serde_json::to_string(&self.about)?);
        text.push_str(raw(&self.text.header)?.get());
        text.push_str(",\n\"facts\":[");
        for (at, fact) in self.text.facts.iter().enumerate() {
            let line = Line {
                seq: fact.seq,
                at: fact.at,
                epoch: fact.epoch,
                chain: fact.chain.clone(),
                fact: raw(&fact.fact)?,
            };
            text.push_str(if at == 0 { "\n" } else { ",\n" });
            text.push_str(&serde_json::to_string(&line)?);
        }
        let requests =
            self.text.requests.iter().map(|request| {
                Ok(Request { verb: raw(&request.verb)?, by: request.by.clone(), at: request.at })
            });
        let requests = requests.collect::<serde_json::Result<Vec<_>>>()?;
        text.push_str(&format!("\n],\n\"requests\":{}}}\n", serde_json::to_string(&requests)?));
        Ok(text)
    }
}

fn raw(text: &str) -> serde_json::Result<&RawValue> {
    serde_json::from_str(text)
}

/// The first line for a content of this hash.
pub(super) fn first_line(sha256: &str) -> String {
    format!("{{\"schema\":\"{SCHEMA}\",\"sha256\":\"{sha256}\",\n")
}

impl Document<'_> {
    /// The run, text for text; `None`: its name cannot be one.
    pub(super) fn text(&self) -> Option<RunText> {
        Some(RunText {
            id: RunId::parse(&self.about.run)?,
            epoch: self.about.epoch,
            header: self.header.get().to_owned(),
            facts: self.facts.iter().map(Line::text).collect(),
            requests: self.requests.iter().map(Request::text).collect(),
        })
    }
}

impl Line<'_> {
    fn text(&self) -> FactText {
        FactText {
            seq: self.seq,
            at: self.at,
            epoch: self.epoch,
            fact: self.fact.get().to_owned(),
            chain: self.chain.clone(),
        }
    }
}

impl Request<'_> {
    fn text(&self) -> RequestText {
        RequestText { verb: self.verb.get().to_owned(), by: self.by.clone(), at: self.at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_of_a_bundle() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/bundle.v1.schema.json");
        let mut schema = schemars::schema_for!(Document<'static>);
        schema.insert("title".into(), "A run in a file, as `maand plan export` writes it".into());
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        if std::env::var_os("MAAND_UPDATE_SCHEMAS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            kept == text,
            "{} is not what the code says; MAAND_UPDATE_SCHEMAS=1 writes it",
            path.display()
        );
    }
}
