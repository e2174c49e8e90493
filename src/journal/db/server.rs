//! A connection to PostgreSQL. Every call has a deadline: a server that is stopped keeps its sockets open, and says nothing.

use std::cell::{Cell, Ref, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use openssl::ssl::{SslConnector, SslMethod};
use openssl::x509::X509;
use openssl::x509::store::{X509Store, X509StoreBuilder};
use postgres_openssl::MakeTlsConnector;
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::config::Host;
use tokio_postgres::tls::NoTls;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Statement};

use super::address::{Address, Tls, password_file, password_of};
use super::{Row, StoreError, Value};
use crate::os::open;

/// An answer comes within this time, or the connection is given up.
pub(super) const ANSWER: Duration = Duration::from_secs(10);

/// A connection that was not used for so long is looked at before it is.
const IDLE: Duration = Duration::from_secs(1);

/// Bytes of a file with passwords.
const LARGEST_PASSWORD_FILE: u64 = 1 << 20;

/// A connection to one server.
pub(in crate::journal) struct Server {
    address: Address,
    /// It is only read from.
    reads: bool,
    /// An answer comes within this time, or the connection is given up.
    answer: Duration,
    /// Carries the connection while a call is made, and stands still else.
    runtime: Runtime,
    client: RefCell<Client>,
    statements: RefCell<HashMap<&'static str, Statement>>,
    /// A call got no answer: what comes next on this connection could be the answer to it.
    is_lost: Cell<bool>,
    /// When it was used last.
    used_at: Cell<Instant>,
    /// What comes next belongs to what came before, and cannot be done on another connection.
    in_transaction: Cell<bool>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({})", self.address)
    }
}

impl Server {
    /// Makes a connection whose statements find the tables of the bucket.
    pub(in crate::journal) fn connect(address: &Address, reads: bool) -> Result<Self, StoreError> {
        Self::connect_within(address, reads, ANSWER)
    }

    /// The same for whom an answer is of no use that takes longer than `answer`.
    pub(in crate::journal) fn connect_within(
        address: &Address,
        reads: bool,
        answer: Duration,
    ) -> Result<Self, StoreError> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(StoreError::here)?;
        let client = runtime.block_on(connect(address, reads, answer))?;
        Ok(Self {
            address: address.clone(),
            reads,
            answer,
            runtime,
            client: RefCell::new(client),
            statements: RefCell::default(),
            is_lost: Cell::new(false),
            used_at: Cell::new(Instant::now()),
            in_transaction: Cell::new(false),
        })
    }

    /// Another connection of the same kind. What is committed `later` is durable soon, and lost with the server.
    pub(in crate::journal) fn again(&self, later: bool) -> Result<Self, StoreError> {
        let another = Self::connect_within(&self.address, self.reads, self.answer)?;
        if later {
            another.batch("SET synchronous_commit = off")?;
        }
        Ok(another)
    }

    /// Makes another connection in place of one that was lost, between transactions.
    fn reconnect(&self) -> Result<(), StoreError> {
        let used_at = self.used_at.replace(Instant::now());
        if !self.in_transaction.get() && used_at.elapsed() > IDLE {
            // The server may have ended it meanwhile, which is heard of when the connection is given time to read.
            self.runtime.block_on(async { tokio::time::sleep(Duration::from_millis(1)).await });
        }
        if self.in_transaction.get() || !(self.is_lost.get() || self.client.borrow().is_closed()) {
            return Ok(());
        }
        let client = self.runtime.block_on(connect(&self.address, self.reads, self.answer))?;
        self.statements.borrow_mut().clear();
        self.client.replace(client);
        self.is_lost.set(false);
        Ok(())
    }

    pub(super) fn begin(&self, how: &str) -> Result<(), StoreError> {
        self.batch(how)?;
        self.in_transaction.set(true);
        Ok(())
    }

    pub(super) fn end(&self, how: &str) -> Result<(), StoreError> {
        let ended = self.batch(how);
        self.in_transaction.set(false);
        ended
    }

    /// Of the bucket's tables.
    pub(in crate::journal) fn schema(&self) -> &str {
        &self.address.schema
    }

    /// Carries out statements that have no parameters and no answer.
    pub(in crate::journal) fn batch(&self, sql: &str) -> Result<(), StoreError> {
        self.reconnect()?;
        let client = self.client.borrow();
        self.within(client.batch_execute(sql))
    }

    pub(super) fn execute(&self, sql: &'static str, values: &[&dyn Value]) -> Result<u64, StoreError> {
        let statement = self.statement(sql)?;
        let client = self.client.borrow();
        self.within(client.execute(&statement, &postgres_values(values)))
    }

    pub(super) fn each<E>(
        &self,
        sql: &'static str,
        values: &[&dyn Value],
        failed: impl Fn(StoreError) -> E,
        mut each: impl FnMut(&Row<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let statement = self.statement(sql).map_err(&failed)?;
        let client = self.client.borrow();
        let values = postgres_values(values);
        let rows = self.within(client.query_raw(&statement, values.iter().copied())).map_err(&failed)?;
        let mut rows = pin!(rows);
        while let Some(row) = self.within(rows.try_next()).map_err(&failed)? {
            each(&Row::Postgres(&row))?;
        }
        Ok(())
    }

    /// The only value of the only row.
    pub(in crate::journal) fn one(
        &self,
        sql: &'static str,
        values: &[&dyn Value],
    ) -> Result<String, StoreError> {
        let mut value = None;
        self.each(
            sql,
            values,
            |error| error,
            |row| {
                value = Some(row.get(0)?);
                Ok(())
            },
        )?;
        value.ok_or(StoreError::NoRow)
    }

    /// Prepared once for each connection.
    fn statement(&self, sql: &'static str) -> Result<Statement, StoreError> {
        self.reconnect()?;
        if let Some(statement) = self.statements.borrow().get(sql) {
            return Ok(statement.clone());
        }
        let client: Ref<'_, Client> = self.client.borrow();
        let statement = self.within(client.prepare(&sql.replace('?', "$")))?;
        self.statements.borrow_mut().insert(sql, statement.clone());
        Ok(statement)
    }

    fn within<T>(
        &self,
        call: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, StoreError> {
        let answer = self.runtime.block_on(answered(self.answer, call));
        if answer.as_ref().is_err_and(StoreError::is_away) {
            self.is_lost.set(true);
        }
        answer
    }
}

async fn answered<T>(
    within: Duration,
    call: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(within, call).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(StoreError::Away(format!("no answer within {} s", within.as_secs()))),
    }
}

async fn connect(address: &Address, reads: bool, answer: Duration) -> Result<Client, StoreError> {
    let config = address.clone().with_password(password(address)?).config;
    let client =
        match &address.tls {
            Tls::No => {
                let (client, connection) = answered(answer, config.connect(NoTls)).await?;
                tokio::spawn(connection);
                client
            }
            Tls::Checked { trusted } => {
                let mut builder = SslConnector::builder(SslMethod::tls_client()).map_err(StoreError::here)?;
                if let Some(file) = trusted {
                    let only = only_these(file);
                    builder.set_cert_store(only.map_err(|error| {
                        StoreError::Here(format!("sslrootcert {}: {error}", file.display()))
                    })?);
                }
                let tls = MakeTlsConnector::new(builder.build());
                let (client, connection) = answered(answer, config.connect(tls)).await?;
                tokio::spawn(connection);
                client
            }
        };
    // A name that `Address::parse` has made: letters and digits.
    let limit = answer.as_millis();
    let settings = format!(
        "SET search_path = {}; SET statement_timeout = {limit}; SET lock_timeout = {limit};
         SET idle_in_transaction_session_timeout = {}; SET client_min_messages = warning;
         SET default_transaction_read_only = {reads}",
        address.schema,
        // The row that a controller has locked which has died is free for the next one after this.
        limit / 2
    );
    answered(answer, client.batch_execute(&settings)).await?;
    Ok(client)
}

/// What is trusted where a file says so: what is in that, and nothing else.
fn only_these(file: &Path) -> Result<X509Store, Box<dyn std::error::Error>> {
    let text = open::read_all(&open::named_by_user(file)?, LARGEST_PASSWORD_FILE)?;
    let mut store = X509StoreBuilder::new()?;
    let certificates = X509::stack_from_pem(&text)?;
    if certificates.is_empty() {
        return Err("it has no certificate in it".into());
    }
    for certificate in certificates {
        store.add_cert(certificate)?;
    }
    Ok(store.build())
}

/// Of the environment, as libpq looks for it.
fn password(address: &Address) -> Result<Option<String>, StoreError> {
    if let Ok(password) = std::env::var("PGPASSWORD") {
        return Ok(Some(password));
    }
    let Some(path) = password_file().filter(|path| path.exists()) else { return Ok(None) };
    let text = private_text(&path)
        .map_err(|error| StoreError::Here(format!("cannot read {}: {error}", path.display())))?;
    let config = &address.config;
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(name)) => name.as_str(),
        _ => "localhost",
    };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let user = config.get_user().unwrap_or_default();
    let database = config.get_dbname().unwrap_or(user);
    Ok(password_of(&text, (host, port, database, user)))
}

/// The text of a file that nobody else may read.
fn private_text(path: &Path) -> io::Result<String> {
    let file = open::named_by_user(path)?;
    if file.metadata()?.mode() & 0o077 != 0 {
        let why = "other users may read it; do `chmod 600` on it";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    String::from_utf8(open::read_all(&file, LARGEST_PASSWORD_FILE)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text"))
}

fn postgres_values<'v>(values: &'v [&'v dyn Value]) -> Vec<&'v (dyn ToSql + Sync)> {
    values.iter().map(|value| *value as &(dyn ToSql + Sync)).collect()
}
