//! Listening, and ending.

use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::answer::Words;
use super::connection::{carry, closed};
use super::control::{Controls, ServeControl};
use super::guard::{Authority, OwnNames};
use super::metrics::Metrics;
use super::reads::{AT_ONCE, Reads};
use super::routes::{App, router};
use super::sessions::NoRandomness;
use super::watchers::Watchers;
use crate::bucket::Bucket;
use crate::report::Hint;

/// So many connections at the same time.
const CONNECTIONS: usize = 512;
/// Of them so many that get events.
pub(super) const VIEWERS: usize = 256;
/// Whoever comes when all are taken.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
/// Accepting fails for want of open files, for example: then it is tried again after this.
const AGAIN: Duration = Duration::from_millis(200);

/// What a server serves, and where.
pub struct ServeOptions {
    /// Whose runs.
    pub bucket: Arc<Bucket>,
    /// Where it listens; port 0: any.
    pub listen: SocketAddr,
    /// What to type next about a run.
    pub hint: Hint,
    /// What commands say of an error: what is wrong, and what to do about it.
    pub words: Words,
    /// Names that it answers to besides its own.
    pub allowed: Vec<Authority>,
    /// How runs are controlled; `None`: they are only looked at.
    pub control: Option<ServeControl>,
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The machine refuses what a server needs.
    #[error("the server cannot be started: {0}")]
    Start(io::Error),
    /// There is no token to be had.
    #[error(transparent)]
    Token(#[from] NoRandomness),
}

/// A server that listens, and answers as soon as it runs.
pub struct Server {
    runtime: tokio::runtime::Runtime,
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
    closing: watch::Sender<bool>,
    token: Option<String>,
}

/// Ends a server from another thread.
#[derive(Clone)]
pub struct Ending(watch::Sender<bool>);

impl Ending {
    /// From now on it accepts nobody; streams of events end at once.
    pub fn end(&self) {
        self.0.send_replace(true);
    }
}

impl Server {
    /// Listens.
    ///
    /// # Errors
    /// The address is taken, not of this machine, or not allowed.
    pub fn bind(options: ServeOptions) -> Result<Self, ServeError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            // And one for what is asked of a run.
            .max_blocking_threads(AT_ONCE + 1)
            .build()
            .map_err(ServeError::Start)?;
        let address = options.listen;
        let listen = |source| ServeError::Listen { address, source };
        let listener = runtime.block_on(TcpListener::bind(address)).map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let (closing, closed) = watch::channel(false);
        let control = options.control.map(|control| Controls::new(address.port(), control)).transpose()?;
        let (controls, token) = control.unzip();
        let app = App {
            metrics: Metrics::new(&options.bucket),
            names: Arc::new(OwnNames::new(address, options.allowed)),
            controls,
            watchers: Watchers::new(options.bucket, options.hint, options.words),
            reads: Reads::new(),
            viewers: Arc::new(Semaphore::new(VIEWERS)),
            closing: closed,
        };
        Ok(Self { runtime, listener, address, router: router(app), closing, token })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The token that opens a session, if runs can be controlled. It is kept nowhere else.
    pub fn take_token(&mut self) -> Option<String> {
        self.token.take()
    }

    /// What ends it.
    pub fn ending(&self) -> Ending {
        Ending(self.closing.clone())
    }

    /// Answers until it is ended.
    pub fn run(self) {
        let Self { runtime, listener, router, closing, .. } = self;
        runtime.block_on(accept(&listener, &router, &closing));
        // A read that hangs does not keep the process.
        runtime.shutdown_background();
    }
}

async fn accept(listener: &TcpListener, router: &Router, closing: &watch::Sender<bool>) {
    let mut ended = closing.subscribe();
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = closed(&mut ended) => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) if connections.len() >= CONNECTIONS => refuse(stream),
            Ok((stream, _)) => drop(connections.spawn(carry(stream, router.clone(), closing.subscribe()))),
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
    }
    while connections.join_next().await.is_some() {}
}

/// There is no place for it.
fn refuse(stream: TcpStream) {
    // Whether it is heard is the other end's affair; a new connection has room for this.
    if let Ok(mut stream) = stream.into_std() {
        let _ = stream.write_all(FULL).and_then(|()| stream.shutdown(Shutdown::Write));
    }
}
