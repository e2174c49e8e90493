//! SIGINT and SIGTERM as messages.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;

static HANDED_ON: AtomicBool = AtomicBool::new(false);

/// From now on only SIGTERM counts here: our parent takes the terminal's signals, which reach both of
/// us, and hands on what is meant for us. Else one Ctrl-C would count twice.
pub fn handed_on() {
    HANDED_ON.store(true, Ordering::Relaxed);
}

/// Sends the signal's name for each one that arrives, for as long as the process lives. From then on
/// neither signal ends the process by itself.
///
/// # Errors
/// The system refuses to tell us.
pub fn watch<M: Send + 'static>(
    to: Sender<M>,
    message: impl Fn(&'static str) -> M + Send + 'static,
) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (ready, is_ready) = std::sync::mpsc::channel();
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        runtime.block_on(async move {
            use tokio::signal::unix::{SignalKind, signal};
            let both = signal(SignalKind::interrupt())
                .and_then(|interrupt| Ok((interrupt, signal(SignalKind::terminate())?)));
            let (mut interrupt, mut terminate) = match both {
                Ok(both) => {
                    let _ = ready.send(Ok(()));
                    both
                }
                Err(error) => {
                    let _ = ready.send(Err(error));
                    return;
                }
            };
            loop {
                let name = tokio::select! {
                    _ = interrupt.recv() => "SIGINT",
                    _ = terminate.recv() => "SIGTERM",
                };
                if HANDED_ON.load(Ordering::Relaxed) && name == "SIGINT" {
                    continue;
                }
                if to.send(message(name)).is_err() {
                    return;
                }
            }
        });
    })?;
    is_ready.recv().unwrap_or(Ok(()))
}
