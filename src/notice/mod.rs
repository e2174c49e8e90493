//! What somebody is told of a run: which notices follow from which facts, and how each looks to the service that takes it.
//!
//! A [`Notice`] follows from one fact and the view that has just taken it, so that after a crash the same ones follow
//! again, under the same ids. A [`Message`] is a notice as one service takes it: all foreign text is escaped for the place
//! that it goes to, and what a service would refuse or cut is cut here. This room must not know how anything is sent, what
//! was sent already, nor where secrets come from.

mod derive;
mod document;
mod mail;
mod message;
mod services;
mod template;
#[cfg(test)]
mod tests;

pub use derive::{longer_than_usual, notice_of, test_notice};
pub use document::{NOTICE_SCHEMA, Notice, NoticeDocument};
pub use message::{Message, message};
