//! One set of statements for the engines that can keep the journal. Statements are written in what SQLite and PostgreSQL
//! have in common, with `?1`, `?2`, .. for their parameters; times and numbers are 64 bits, hashes are bytes.
//!
//! It must not know what is in the tables.

mod address;
mod error;
mod handle;
mod row;
mod server;

pub use address::{Address, AddressError};
pub use error::StoreError;
pub(super) use handle::{Access, Db};
pub(super) use row::{Row, Value, values};
pub(super) use server::Server;
