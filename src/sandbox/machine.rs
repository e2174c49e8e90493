//! The life of one sandbox worker: it boots, serves, goes down when a reboot is asked for, and is
//! back with a new boot id.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::unix::pipe;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::files::START_JOBS;
use super::spawner::Guard;
use super::worker::{Control, Event, ITSELF, Worker};
use super::{FaultKind, server};

/// How many boot times a late return takes.
const LATE: u32 = 8;
/// For how many boot times logins are refused.
const NOLOGIN: u32 = 3;
/// From the reboot command to the end of everything: long enough for its caller to hear of its success,
/// as a real machine needs a moment, too.
const DOWN_AFTER: Duration = Duration::from_millis(200);
/// Longer than a first look at a worker waits for its login.
const SLOW_LOGIN: Duration = Duration::from_secs(3);
/// After how many boot times the second of two reboots comes.
const SECOND_REBOOT: f64 = 0.5;

type Requests = Lines<BufReader<pipe::Receiver>>;

/// A worker that is up.
pub(super) struct Up {
    requests: Requests,
    nologin_until: Option<Instant>,
    reboots_at: Option<Instant>,
}

/// Files, guard and boot id of one boot; the port comes after.
pub(super) async fn boot(worker: &Worker, after_reboot: bool) -> io::Result<Up> {
    let boot_id = uuid::Uuid::new_v4().to_string();
    worker.root.boot(&boot_id)?;
    let requests = pipe::OpenOptions::new().read_write(true).open_receiver(worker.root.requests())?;
    worker.set_guard(Some(Guard::start(&worker.common.program)?));
    let mut up = Up { requests: BufReader::new(requests).lines(), nologin_until: None, reboots_at: None };
    if after_reboot {
        if worker.take(&[FaultKind::ChangesHostKey]).is_some() {
            worker.set_key(super::keys::generate()?);
        }
        if worker.take(&[FaultKind::Nologin]).is_some() {
            up.nobody_logs_in(worker)?;
        }
        if worker.take(&[FaultKind::RebootsTwice]).is_some() {
            up.reboots_at = Some(Instant::now() + worker.common.boot_time.mul_f64(SECOND_REBOOT));
        }
    }
    worker.note_boot(boot_id);
    if after_reboot && let Some(guard) = worker.guard() {
        let program = worker.root.text(&format!("bin/{START_JOBS}"));
        // What it has to say stands in the worker's own log folder.
        let _ =
            guard.launch(&program, Vec::new(), &worker.root.text("home"), worker.root.environment()).await;
    }
    Ok(up)
}

impl Up {
    fn nobody_logs_in(&mut self, worker: &Worker) -> io::Result<()> {
        std::fs::write(worker.root.nologin(), "System is booting up. A fault of the sandbox.\n")?;
        self.nologin_until = Some(Instant::now() + worker.common.boot_time * NOLOGIN);
        Ok(())
    }
}

/// Why a worker goes down.
enum Down {
    Reboot,
    /// Without a word.
    Reset,
    Stop,
}

/// Lives until the sandbox stops; `up` and `listener` are from the first boot.
pub(super) async fn live(
    worker: Arc<Worker>,
    mut up: Up,
    listener: TcpListener,
    mut control: UnboundedReceiver<Control>,
) {
    let mut listener = Some(listener);
    let mut refusing = false;
    loop {
        let down = serve(&worker, &mut up, &mut listener, &mut refusing, &mut control).await;
        if matches!(down, Down::Reboot) {
            sleeps_until_stopped(&worker, Some(DOWN_AFTER)).await;
        }
        let keeps = matches!(down, Down::Reboot | Down::Reset)
            && worker.take(&[FaultKind::KeepsConnections]).is_some();
        if !keeps {
            listener = None;
        }
        worker.cut_all();
        if let Some(guard) = worker.set_guard(None) {
            guard.power_off().await;
        }
        // A connection in between found no guard.
        worker.cut_all();
        worker.note(Event::WentDown);
        if matches!(down, Down::Stop) {
            return;
        }
        let mut pause = worker.common.boot_time;
        if worker.take(&[FaultKind::ReturnsLate]).is_some() {
            pause *= LATE;
        }
        let never = worker.take(&[FaultKind::NeverReturns]).is_some();
        let stopped = tokio::select! {
            stopped = sleeps_until_stopped(&worker, (!never).then_some(pause)) => stopped,
            () = answers_nobody(&worker, listener.as_ref()) => true,
        };
        if stopped {
            return;
        }
        up = match boot(&worker, true).await {
            Ok(up) => up,
            Err(error) => {
                worker.note(Event::Note { text: format!("the worker cannot boot: {error}") });
                return;
            }
        };
    }
}

/// What stands before a worker that is away accepts connections, and nothing more.
async fn answers_nobody(worker: &Worker, listener: Option<&TcpListener>) {
    loop {
        match accept(listener).await.and_then(TcpStream::into_std) {
            Ok(stream) => worker.keep(stream),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// Whether the sandbox stopped before the time (`None`: ever) was over.
async fn sleeps_until_stopped(worker: &Worker, time: Option<Duration>) -> bool {
    let mut stop = worker.common.stop.clone();
    match time {
        Some(time) => tokio::time::timeout(time, stopped(&mut stop)).await.is_ok(),
        None => {
            stopped(&mut stop).await;
            true
        }
    }
}

/// Returns when the sandbox stops, or its owner has gone.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn serve(
    worker: &Arc<Worker>,
    up: &mut Up,
    listener: &mut Option<TcpListener>,
    refusing: &mut bool,
    control: &mut UnboundedReceiver<Control>,
) -> Down {
    let mut stop = worker.common.stop.clone();
    loop {
        if listener.is_none() && !*refusing {
            // Another process may have the port for a moment.
            *listener = TcpListener::bind(worker.address).await.ok();
        }
        let retry = listener.is_none() && !*refusing;
        tokio::select! {
            () = stopped(&mut stop) => return Down::Stop,
            accepted = accept(listener.as_ref()) => match accepted {
                Ok(stream) => connect(worker, stream),
                // Out of descriptors, or the client has gone again.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            },
            line = up.requests.next_line() => {
                if let Some(by) = request(worker, line) && obeys(worker, by) {
                    return Down::Reboot;
                }
            }
            message = control.recv() => match message {
                None => return Down::Stop,
                Some(Control::Reboot(by)) => {
                    if obeys(worker, by) {
                        return Down::Reboot;
                    }
                }
                Some(Control::Refuse(on)) => {
                    *refusing = on;
                    if on {
                        *listener = None;
                        worker.cut_all();
                    }
                }
                Some(Control::Nologin) => {
                    let _ = up.nobody_logs_in(worker);
                }
                Some(Control::Reset) => {
                    worker.note(Event::RebootAsked { by: ITSELF.into(), obeyed: true });
                    return Down::Reset;
                }
            },
            () = at(up.reboots_at) => {
                up.reboots_at = None;
                worker.note(Event::RebootAsked { by: ITSELF.into(), obeyed: true });
                return Down::Reboot;
            }
            () = at(up.nologin_until) => {
                up.nologin_until = None;
                let _ = std::fs::remove_file(worker.root.nologin());
            }
            () = tokio::time::sleep(Duration::from_millis(50)), if retry => {}
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> io::Result<TcpStream> {
    match listener {
        Some(listener) => listener.accept().await.map(|(stream, _)| stream),
        None => std::future::pending().await,
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// What a stand-in asks for: the words of a reboot, or nothing.
fn request(worker: &Worker, line: io::Result<Option<String>>) -> Option<String> {
    let line = line.ok().flatten()?;
    if let Some(text) = line.strip_prefix("note ") {
        worker.note(Event::Note { text: text.trim_end().to_owned() });
        return None;
    }
    if let Some(text) = line.strip_prefix("job ") {
        note_job(worker, text);
        return None;
    }
    if let Some(text) = line.strip_prefix("command ") {
        worker.note(match text.strip_prefix("begins") {
            Some(by) => Event::CommandBegun { by: by.trim().to_owned() },
            None => Event::CommandEnded,
        });
        return None;
    }
    line.strip_prefix("reboot").map(|by| by.trim().to_owned())
}

/// `started|stopped JOB NANOSECONDS`; without a usable time it is now.
fn note_job(worker: &Worker, text: &str) {
    let mut words = text.split_whitespace();
    let (Some(what), Some(job)) = (words.next(), words.next()) else { return };
    let at = words.next().and_then(|at| at.parse().ok()).and_then(|at| Timestamp::from_nanosecond(at).ok());
    let job = job.to_owned();
    let event = match what {
        "started" => Event::JobStarted { job },
        _ => Event::JobStopped { job },
    };
    worker.note_at(at.unwrap_or_else(Timestamp::now), event);
}

fn obeys(worker: &Worker, by: String) -> bool {
    let obeyed = worker.take(&[FaultKind::AcceptsAndNeverReboots]).is_none();
    worker.note(Event::RebootAsked { by, obeyed });
    obeyed
}

/// Hands a connection to its server; the socket's twin stays here, so that it can be cut.
fn connect(worker: &Arc<Worker>, stream: TcpStream) {
    let Ok(stream) = stream.into_std() else { return };
    let Ok(twin) = stream.try_clone() else { return };
    let Ok(mut stream) = TcpStream::from_std(stream) else { return };
    let _ = stream.set_nodelay(true);
    let keeps = worker.pending(&[FaultKind::KeepsConnections]).is_some();
    let (flow, stops) = oneshot::channel();
    let id = worker.connected(twin, keeps.then_some(flow));
    let worker = Arc::clone(worker);
    tokio::spawn(async move {
        worker.ask_scout().await;
        if worker.pending(&[FaultKind::SlowLogins]).is_some() {
            tokio::time::sleep(SLOW_LOGIN).await;
        }
        if keeps {
            let (mut near, far) = tokio::io::duplex(64 * 1024);
            let pass = async {
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut stream, &mut near) => {}
                    // The machine has gone: nothing goes over it any more, and nobody is told.
                    _ = stops => {}
                }
                drop(near);
            };
            tokio::join!(server::serve(&worker, id, far), pass);
        } else {
            server::serve(&worker, id, stream).await;
        }
        worker.disconnected(id);
    });
}
