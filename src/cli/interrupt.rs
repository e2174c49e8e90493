//! Ctrl-C, SIGTERM and SIGHUP: the first asks for the end and says so, the second ends at once.

use std::io::Write;

use tokio::signal::unix::{SignalKind, signal};

use super::{CliError, Exit};
use crate::plan::Problem;
use crate::ssh::Cancel;

/// As [`on_signal`], with an error for people.
pub(super) fn listen(cancel: &Cancel, meaning: &'static str) -> Result<(), CliError> {
    on_signal(cancel, meaning).map_err(|error| {
        let message = format!("signals can not be listened to: {error}");
        CliError::new(Exit::Failed, Problem::error("maand::signals", message).help("try again"))
    })
}

/// Cancels `cancel` at the first signal, after saying `meaning` on standard error. At the second the
/// program ends at once with [`Exit::Resumable`]; what is under way then is unknown.
///
/// # Errors
/// When signals can not be listened to; then they end the program as they do by default.
pub(super) fn on_signal(cancel: &Cancel, meaning: &'static str) -> std::io::Result<()> {
    let cancel = cancel.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let (ready, listening) = std::sync::mpsc::channel();
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        runtime.block_on(async move {
            let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
            let [Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)] = kinds.map(signal) else { return };
            let _ = ready.send(());
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = hangup.recv() => {}
                }
                let mut stderr = std::io::stderr().lock();
                if cancel.is_cancelled() {
                    let _ = writeln!(stderr, "\nmaand: ended at once; what was under way is unknown");
                    std::process::exit(i32::from(Exit::Resumable as u8));
                }
                cancel.cancel();
                let _ = writeln!(stderr, "\nmaand: {meaning} (again: end at once)");
            }
        });
    })?;
    // A signal that comes right after this call must not find the default.
    listening.recv().map_err(|_| std::io::Error::other("signals can not be listened to"))
}
