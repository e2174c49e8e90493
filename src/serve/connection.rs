//! One connection: what a browser, or whatever is at its other end, may take of time and memory.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep, timeout};

use crate::os::user_of_connection;

/// A request's head has come within this; also the time that a connection may be idle between two requests.
const HEAD_WITHIN: Duration = Duration::from_secs(15);
/// Who takes nothing of an answer for so long is gone.
const TAKEN_WITHIN: Duration = Duration::from_secs(20);
/// What is being answered when the server ends has this long.
const END_WITHIN: Duration = Duration::from_secs(3);
/// Bytes of a request's head.
const HEAD_BYTES: usize = 16 << 10;
/// Headers of a request.
const HEADERS: usize = 64;

/// Both ends of a connection; every request has them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    from: SocketAddr,
    to: SocketAddr,
}

impl Ends {
    /// The user whose process is at the other end; `None`: it is on another machine.
    pub(super) fn user(self) -> Option<u32> {
        user_of_connection(self.from, self.to)
    }
}

/// Answers the requests of one connection until it ends, or the server does.
pub(super) async fn carry(stream: TcpStream, router: Router, mut closing: watch::Receiver<bool>) {
    let _ = stream.set_nodelay(true);
    let ends = stream.peer_addr().and_then(|from| Ok(Ends { from, to: stream.local_addr()? })).ok();
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        if let Some(ends) = ends {
            request.extensions_mut().insert(ends);
        }
        router.call(request)
    });
    let io = TokioIo::new(Bounded::new(stream));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADERS)
        .serve_connection(io, service);
    let mut connection = std::pin::pin!(connection);
    // How a connection ends is its other end's affair.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = closed(&mut closing) => {
            connection.as_mut().graceful_shutdown();
            let _ = timeout(END_WITHIN, connection).await;
        }
    }
}

/// The server ends.
pub(super) async fn closed(closing: &mut watch::Receiver<bool>) {
    // An error: whoever would say so is gone, which is the same.
    let _ = closing.wait_for(|closing| *closing).await;
}

/// A stream that fails when what is written is not taken in time.
struct Bounded {
    stream: TcpStream,
    /// Runs while something waits to be taken.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Bounded {
    fn new(stream: TcpStream) -> Self {
        Self { stream, deadline: None }
    }

    fn within(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.deadline = None;
            return written;
        }
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(TAKEN_WITHIN)));
        if deadline.deadline() <= Instant::now() || deadline.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }
}

impl AsyncRead for Bounded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.within(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.within(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
