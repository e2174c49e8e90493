//! What becomes of one command that arrived over SSH: executed, recorded, or a fault.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use russh::server::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::unix::pipe;

use super::frame::Frame;
use super::spawner::Running;
use super::worker::{Event, Worker};
use super::{Fault, FaultKind};

/// The name of the stand-in that reboots a worker; a script that names it is one that reboots.
const REBOOTS: &[u8] = b"sandbox-reboot";
/// So much of a script is looked at to tell whether it reboots.
const LOOKED_AT: usize = 1024 * 1024;
/// A sender that pauses this long in the middle of a script that is looked at has sent all of it.
const PAUSE: Duration = Duration::from_millis(500);

/// A command with what is known of its sender.
pub(super) struct Request {
    /// The text of the exec request.
    pub(super) command: String,
    /// The client has marked it as text of our own.
    pub(super) own: bool,
    /// On which connection.
    pub(super) connection: u64,
}

/// Runs one command to its end.
pub(super) async fn run(worker: Arc<Worker>, channel: Channel<Msg>, request: Request) {
    let (mut input, output) = channel.split();
    let mut sent = Sent::default();
    let fault = match fault_for(&worker, &mut input, &mut sent).await {
        Some(fault) if fault.kind == FaultKind::CutsBeforeCommand => return worker.cut(request.connection),
        Some(fault) if fault.kind == FaultKind::Hangs => {
            // Whatever comes is swallowed, until the client gives up or the worker goes down.
            while input.wait().await.is_some() {}
            return;
        }
        fault => fault,
    };
    let mute = fault.is_some();
    let code = if own_or_demo(&worker, &request, &mut input, &mut sent).await {
        worker.note(Event::Executed { command: request.command.clone() });
        let mut stdout: Box<dyn AsyncWrite + Send + Unpin> =
            if mute { Box::new(tokio::io::sink()) } else { Box::new(Box::pin(output.make_writer())) };
        let mut stderr: Box<dyn AsyncWrite + Send + Unpin> =
            if mute { Box::new(tokio::io::sink()) } else { Box::new(Box::pin(output.make_writer_ext(Some(1)))) };
        execute(&worker, &request.command, sent, &mut input, &mut stdout, &mut stderr).await
    } else {
        let frame = Frame::read(&request.command, &sent.bytes);
        worker.note(Event::NotExecuted { text: frame.text.clone(), code: 0 });
        if !mute {
            let _ = output.data_bytes(frame.answer(0)).await;
        }
        Some(0)
    };
    if fault.is_some() {
        return worker.cut(request.connection);
    }
    // Without a code the worker is going down: its connections are cut, and nothing is to be said.
    if let Some(code) = code {
        let _ = output.exit_status(code.cast_unsigned()).await;
        let _ = output.eof().await;
        let _ = output.close().await;
    }
}

/// Whether this may run: text of our own, the demo jobs' probes, or anything with `--execute`.
async fn own_or_demo(worker: &Worker, request: &Request, input: &mut ChannelReadHalf, sent: &mut Sent) -> bool {
    if request.own || worker.common.execute {
        return true;
    }
    sent.read(input, LOOKED_AT, PAUSE).await;
    let frame = Frame::read(&request.command, &sent.bytes);
    worker.common.demo_texts.iter().any(|text| text == frame.text.trim())
}

/// What of the standard input has been read already.
#[derive(Default)]
pub(super) struct Sent {
    pub(super) bytes: Vec<u8>,
    pub(super) ended: bool,
}

impl Sent {
    /// Reads on until the end, `most` bytes, or a pause.
    pub(super) async fn read(&mut self, input: &mut ChannelReadHalf, most: usize, pause: Duration) {
        while !self.ended && self.bytes.len() < most {
            match tokio::time::timeout(pause, input.wait()).await {
                Ok(Some(ChannelMsg::Data { data })) => self.bytes.extend_from_slice(&data),
                Ok(Some(ChannelMsg::Eof | ChannelMsg::Close) | None) => self.ended = true,
                Ok(Some(_)) => {}
                Err(_paused) => return,
            }
        }
    }
}

/// The fault that strikes this command, if one does.
async fn fault_for(worker: &Worker, input: &mut ChannelReadHalf, sent: &mut Sent) -> Option<Fault> {
    let kinds = [FaultKind::CutsBeforeCommand, FaultKind::CutsAfterCommand, FaultKind::Hangs];
    let fault = worker.pending(&kinds)?;
    if fault.at_step.is_none() {
        sent.read(input, LOOKED_AT, PAUSE).await;
        if !sent.bytes.windows(REBOOTS.len()).any(|window| window == REBOOTS) {
            return None;
        }
    }
    worker.take(&[fault.kind])
}

/// Runs the command as a local process below the worker's guard. `None`: the guard has gone.
async fn execute(
    worker: &Worker,
    command: &str,
    sent: Sent,
    input: &mut ChannelReadHalf,
    stdout: &mut (dyn AsyncWrite + Send + Unpin),
    stderr: &mut (dyn AsyncWrite + Send + Unpin),
) -> Option<i32> {
    let guard = worker.guard()?;
    let args = vec!["-c".to_owned(), command.to_owned()];
    let launched = guard.launch("/bin/sh", args, &worker.root.text("home"), worker.root.environment()).await;
    drop(guard);
    let Running { stdin, stdout: mut from_stdout, stderr: mut from_stderr, exit } = match launched {
        Ok(running) => running,
        Err(error) => {
            let _ = stderr.write_all(format!("sandbox: {error}\n").as_bytes()).await;
            return Some(126);
        }
    };
    let outputs = async {
        let _ = tokio::join!(copy(&mut from_stdout, stdout), copy(&mut from_stderr, stderr));
        exit.await.ok()
    };
    tokio::pin!(outputs);
    tokio::select! {
        code = &mut outputs => code,
        () = feed(stdin, sent, input) => outputs.await,
    }
}

/// Passes standard input on. Reads on after its end of file and when nobody takes it any more: what
/// nobody reads would hold up the whole connection.
async fn feed(stdin: pipe::Sender, sent: Sent, input: &mut ChannelReadHalf) {
    let mut stdin = Some(stdin);
    if let Some(pipe) = stdin.as_mut()
        && (pipe.write_all(&sent.bytes).await.is_err() || sent.ended)
    {
        stdin = None;
    }
    while let Some(message) = input.wait().await {
        match message {
            ChannelMsg::Data { data } => {
                if let Some(pipe) = stdin.as_mut()
                    && pipe.write_all(&data).await.is_err()
                {
                    stdin = None;
                }
            }
            ChannelMsg::Eof | ChannelMsg::Close => stdin = None,
            _ => {}
        }
    }
}

async fn copy(
    from: &mut (dyn AsyncRead + Send + Unpin),
    to: &mut (dyn AsyncWrite + Send + Unpin),
) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let length = tokio::io::AsyncReadExt::read(from, &mut buffer).await?;
        if length == 0 {
            return to.flush().await;
        }
        to.write_all(&buffer[..length]).await?;
        to.flush().await?;
    }
}
