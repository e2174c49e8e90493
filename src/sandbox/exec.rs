//! What becomes of one command that arrived over SSH: executed, recorded, or a fault.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use russh::server::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::unix::pipe;

use super::frame::{HEADER_MAX, Header, READY};
use super::spawner::Running;
use super::worker::{Control, Event, Worker};
use super::{Fault, FaultKind};

/// The name of the stand-in that reboots a worker; a script that names it is one that reboots.
const REBOOTS: &str = "sandbox-reboot";
/// The connection is cut for a script that is longer, when it would have to be looked at.
const BODY_MAX: usize = 16 * 1024 * 1024;
/// sshd's exit status when `/etc/nologin` is there.
const NOLOGIN: i32 = 254;
/// What is printed for text that was not executed.
const RECORDED: &str = "sandbox: recorded, not executed";
/// What runs in its place.
const IN_ITS_PLACE: &str = "echo 'sandbox: recorded, not executed'";

type Output = ChannelWriteHalf<Msg>;

/// Runs one command to its end; `connection` is where it came from.
pub(super) async fn run(worker: Arc<Worker>, channel: Channel<Msg>, command: String, connection: u64) {
    let (mut input, output) = channel.split();
    if let Ok(text) = std::fs::read_to_string(worker.root.nologin()) {
        // As sshd does it (session.c, do_nologin): after the login, in place of the shell.
        let _ = output.extended_data_bytes(1, text.into_bytes()).await;
        return end(&output, NOLOGIN).await;
    }
    let framed = command.contains(READY);
    if !framed && !worker.common.execute {
        let code = 0;
        worker.note(Event::NotExecuted { text: command, code });
        let _ = output.data_bytes(format!("{RECORDED}\n").into_bytes()).await;
        return end(&output, code).await;
    }
    let Some(guard) = worker.guard() else { return };
    let args = vec!["-c".to_owned(), command];
    let launched = guard.launch("/bin/sh", args, &worker.root.text("home"), worker.root.environment()).await;
    drop(guard);
    let Running { stdin, stdout, stderr, exit } = match launched {
        Ok(running) => running,
        Err(error) => {
            let _ = output.extended_data_bytes(1, format!("sandbox: {error}\n").into_bytes()).await;
            return end(&output, 126).await;
        }
    };
    let mute = AtomicBool::new(false);
    let outcome = {
        let outputs = async {
            tokio::join!(
                copy(stdout, output.make_writer(), &mute),
                copy(stderr, output.make_writer_ext(Some(1)), &mute)
            );
            exit.await.ok()
        };
        tokio::pin!(outputs);
        let talk = async {
            if !framed {
                return feed(stdin, Vec::new(), &mut input).await;
            }
            talk(&worker, stdin, &mut input, &output, &mute).await
        };
        tokio::select! {
            code = &mut outputs => Outcome::Ended(code),
            outcome = talk => match outcome {
                // The client has left the channel; the process lives on, as it would on any worker.
                Outcome::Ended(_) => Outcome::Ended(outputs.await),
                outcome => outcome,
            }
        }
    };
    match outcome {
        // Its answer was muted by the one fault that does so.
        Outcome::Ended(_) if mute.load(Ordering::Relaxed) => worker.cut(connection),
        // Without a code the worker is going down: its connections are cut, nothing is to be said.
        Outcome::Ended(None) => {}
        Outcome::Ended(Some(code)) => end(&output, code).await,
        Outcome::Cut => worker.cut(connection),
        // Whatever comes is swallowed, until the client gives up or the worker goes down.
        Outcome::Hang => while input.wait().await.is_some() {},
    }
}

/// How a command's part ended.
enum Outcome {
    /// With this exit code of the process; `None`: it went down with its guard.
    Ended(Option<i32>),
    Cut,
    Hang,
}

async fn end(output: &Output, code: i32) {
    let _ = output.exit_status(code.cast_unsigned()).await;
    let _ = output.eof().await;
    let _ = output.close().await;
}

/// The conversation of our transport: reads the header, decides, and passes on or answers.
async fn talk(
    worker: &Arc<Worker>,
    stdin: pipe::Sender,
    input: &mut ChannelReadHalf,
    output: &Output,
    mute: &AtomicBool,
) -> Outcome {
    let mut sent = Vec::new();
    let header = loop {
        if let Some(header) = Header::read(&sent) {
            break header;
        }
        // A connection that is opened and never used ends here, as does what is no header.
        if sent.len() > HEADER_MAX || !more(input, &mut sent).await {
            return Outcome::Ended(None);
        }
    };
    worker.ask_scout().await;
    let pending = worker.pending(&[
        FaultKind::CutsBeforeCommand,
        FaultKind::CutsAfterCommand,
        FaultKind::Hangs,
        FaultKind::RebootsItself,
    ]);
    let users_own = header.users_own && !worker.common.execute;
    let mut body = String::new();
    if pending.is_some() || users_own {
        if header.length > BODY_MAX {
            worker.note(Event::Note { text: "a script that is too long to be looked at".into() });
            return Outcome::Cut;
        }
        if header.lock {
            let _ = output.data_bytes(header.go().into_bytes()).await;
        }
        while sent.len() < header.size + header.length {
            if !more(input, &mut sent).await {
                return Outcome::Ended(None);
            }
        }
        body = String::from_utf8_lossy(&sent[header.size..header.size + header.length]).into_owned();
    }
    match pending.filter(|fault| strikes(fault, &header, &body)).and_then(|fault| worker.take(&[fault.kind]))
    {
        Some(Fault { kind: FaultKind::CutsBeforeCommand, .. }) => return Outcome::Cut,
        Some(Fault { kind: FaultKind::Hangs, .. }) => return Outcome::Hang,
        Some(Fault { kind: FaultKind::RebootsItself, .. }) => {
            let _ = worker.control.send(Control::Reset);
            return Outcome::Hang;
        }
        Some(_) => mute.store(true, Ordering::Relaxed),
        None => {}
    }
    let script = header.script(&body);
    let demo = users_own && is_demo(worker, script);
    if users_own && !demo {
        worker.note(Event::NotExecuted { text: script.to_owned(), code: 0 });
        // What comes behind the body is payload, and is not read.
        return feed(stdin, header.with_script(IN_ITS_PLACE), input).await;
    }
    let users_own = header.users_own && !demo;
    worker.note(Event::Executed { users_own, lock: header.lock, bytes: header.length });
    feed(stdin, sent, input).await
}

/// Whether a fault of the connection strikes this script: with a step the first that changes
/// something or is the user's, without one the one that reboots (it names the stand-in that does so,
/// maybe in its environment).
fn strikes(fault: &Fault, header: &Header, body: &str) -> bool {
    match fault.at_step {
        // Whether it may begin at all is asked before a command, and is not its middle.
        Some(_) if fault.kind == FaultKind::RebootsItself && header.script(body).trim() == ":" => false,
        Some(_) => header.lock || header.users_own,
        None => body.contains(REBOOTS),
    }
}

/// Lines that the catalog puts before a probe.
const BEFORE_PROBES: [&str; 2] = ["cd -- \"$MAAND_JOB_DIR\" || exit\n", "unset MAAND_JOB_DIR\n"];

/// Whether a script of the user's kind is the probe of a demo job, which is ours and known by heart.
fn is_demo(worker: &Worker, script: &str) -> bool {
    let mut text = script;
    for line in BEFORE_PROBES {
        text = text.strip_prefix(line).unwrap_or(text);
    }
    worker.common.demo_texts.iter().any(|demo| demo == text.trim())
}

/// Reads on; `false` when nothing more comes.
async fn more(input: &mut ChannelReadHalf, sent: &mut Vec<u8>) -> bool {
    loop {
        match input.wait().await {
            Some(ChannelMsg::Data { data }) => {
                sent.extend_from_slice(&data);
                return true;
            }
            Some(ChannelMsg::Eof | ChannelMsg::Close) | None => return false,
            Some(_) => {}
        }
    }
}

/// Passes standard input on. Reads on after its end of file and when it is not taken any more: what
/// is not read would hold up the whole connection.
async fn feed(stdin: pipe::Sender, sent: Vec<u8>, input: &mut ChannelReadHalf) -> Outcome {
    let mut stdin = Some(stdin);
    if let Some(pipe) = stdin.as_mut()
        && pipe.write_all(&sent).await.is_err()
    {
        stdin = None;
    }
    drop(sent);
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
    Outcome::Ended(None)
}

/// Passes output on, also when the client has gone: a process must not die of a client that has gone.
async fn copy(mut from: impl AsyncRead + Unpin, to: impl AsyncWrite, mute: &AtomicBool) {
    tokio::pin!(to);
    let mut buffer = vec![0; 16 * 1024];
    let mut heard = true;
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if heard && !mute.load(Ordering::Relaxed) {
            let passed = async {
                to.write_all(&buffer[..length]).await?;
                to.flush().await
            };
            heard = passed.await.is_ok();
        }
    }
}
