//! The run lock of a bucket whose runs are in a PostgreSQL: a lease, which ends by itself.
//!
//! The server's clock says whether it has ended, so that clocks of machines need not agree. Whoever holds it renews it all
//! the time, and takes it for ended by a clock of its own before the server does: nothing is begun under a lease that
//! another may have by now. It is no fence (a process can be stopped between a look at the clock and what it does then):
//! that is the epoch, in the journal and on the workers.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::db::{Address, Db, Server, StoreError, values};
use super::error::failed;
use super::holder::Holder;
use super::lock::LockError;
use super::place::Place;
use super::postgres::make_tables;
use super::{Journal, JournalError, Operation, RunId};

/// A lease lasts so long by the server's clock, unless it is renewed.
pub const LEASE: Duration = Duration::from_secs(6);
/// So often it is renewed.
const RENEWED_EVERY: Duration = Duration::from_secs(2);
/// By so much its holder takes it for ended before the server does: for clocks that run at different speeds.
const EARLIER: Duration = Duration::from_secs(1);
/// How soon a renewal is tried again that has failed.
const AGAIN: Duration = Duration::from_millis(300);
/// An answer to a renewal that comes later is of no use.
const ANSWER: Duration = Duration::from_secs(3);
/// How often somebody who waits for the end of another's lease looks.
const POLL: Duration = Duration::from_millis(250);

/// Whether the holder of a lease may begin anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tenure {
    /// It is held.
    Held,
    /// It may have ended: the server has not been heard of in time. It may be had again.
    InDoubt,
    /// Another has it, or had it meanwhile.
    Lost,
}

/// A lease, for as long as it lives.
#[derive(Debug)]
pub(super) struct Lease {
    state: Arc<State>,
    address: Address,
    /// A message has it renewed at once, and the end of the channel no more.
    renews: Option<Sender<()>>,
    renewer: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct State {
    /// Which one: a random number. One that is counted up could be given twice by a server that has forgotten the last
    /// moments before it failed.
    token: i64,
    /// When its holder takes it for ended, in milliseconds of [`uptime`].
    until: AtomicI64,
    is_lost: AtomicBool,
    is_given_back: AtomicBool,
    /// A run is carried out under it: it is given back when that is at rest, and ends by itself where its holder dies.
    is_of_run: AtomicBool,
    /// The holder's record, where it is not written yet.
    record: Mutex<Option<String>>,
}

impl Lease {
    /// Takes the lease. One of a process that has died is waited for; of one that renews it is said who that is.
    pub(super) fn acquire(address: &Address, record: &Holder) -> Result<Self, LockError> {
        let place = Place::Server(address.to_string());
        let failed = failed(&place, Operation::Write);
        let text = text_of(record);
        let server = Server::connect_within(address, false, ANSWER).map_err(failed)?;
        let db = Db::postgres(server);
        make_tables(&db, &place)?;
        let mut first_seen = None;
        let token = random();
        let asked_at = loop {
            let asked_at = uptime();
            if try_acquire(&db, token, &text).map_err(failed)? {
                break asked_at;
            }
            let Some((holder, until)) = held_by(&db).map_err(failed)? else {
                std::thread::sleep(POLL);
                continue;
            };
            match first_seen {
                None => first_seen = Some(until),
                // It was renewed: its holder lives.
                Some(seen) if seen != until => return Err(LockError::Held(Box::new(holder))),
                Some(_) => {}
            }
            std::thread::sleep(POLL);
        };
        let state = Arc::new(State {
            token,
            until: AtomicI64::new(asked_at + millis(LEASE - EARLIER)),
            is_lost: AtomicBool::new(false),
            is_given_back: AtomicBool::new(false),
            is_of_run: AtomicBool::new(record.run.is_some()),
            record: Mutex::default(),
        });
        let (renews, told) = channel();
        let of_thread = Arc::clone(&state);
        let own = address.clone();
        let renewer = std::thread::Builder::new()
            .name("lease".into())
            .spawn(move || {
                let mut db = Some(db);
                let mut pause = RENEWED_EVERY;
                while told.recv_timeout(pause) != Err(RecvTimeoutError::Disconnected) {
                    pause = if of_thread.renew(&mut db, &own) { RENEWED_EVERY } else { AGAIN };
                    if of_thread.is_lost.load(Ordering::SeqCst) {
                        return;
                    }
                }
            })
            .map_err(|source| failed(StoreError::Here(format!("no thread could be started: {source}"))))?;
        Ok(Self { state, address: address.clone(), renews: Some(renews), renewer: Some(renewer) })
    }

    /// Whether anything may be begun under it now.
    pub(super) fn tenure(&self) -> Tenure {
        self.state.tenure()
    }

    /// Says who holds it, by a renewal that is begun at once.
    pub(super) fn write(&self, record: &Holder) {
        *self.state.record.lock().unwrap_or_else(PoisonError::into_inner) = Some(text_of(record));
        self.state.is_of_run.store(record.run.is_some(), Ordering::SeqCst);
        if let Some(renews) = &self.renews {
            // Its thread ends when the lease is lost.
            let _ = renews.send(());
        }
    }

    /// Gives it back now, if the server can be told; else it ends by itself.
    pub(super) fn give_back(&self) {
        if self.state.is_given_back.swap(true, Ordering::SeqCst) {
            return;
        }
        let Ok(server) = Server::connect_within(&self.address, false, ANSWER) else { return };
        let sql = "UPDATE lease SET until = NULL, holder = NULL WHERE token = ?1";
        let _ = Db::postgres(server).execute(sql, values![self.state.token]);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        drop(self.renews.take());
        // A run whose process ends for anything but its rest is one that a standby takes over.
        if !self.state.is_of_run.load(Ordering::SeqCst) {
            self.give_back();
        }
        if let Some(renewer) = self.renewer.take() {
            let _ = renewer.join();
        }
    }
}

impl State {
    fn tenure(&self) -> Tenure {
        if self.is_given_back.load(Ordering::SeqCst) {
            // The run is at rest: what is still done takes its claims away, which the epoch guards.
            Tenure::Held
        } else if self.is_lost.load(Ordering::SeqCst) {
            Tenure::Lost
        } else if uptime() < self.until.load(Ordering::SeqCst) {
            Tenure::Held
        } else {
            Tenure::InDoubt
        }
    }

    /// `false`: the server could not be told. A lease that has ended is had again where nobody else has had it.
    fn renew(&self, db: &mut Option<Db>, address: &Address) -> bool {
        if self.is_given_back.load(Ordering::SeqCst) {
            return true;
        }
        let asked_at = uptime();
        if db.is_none() {
            *db = Server::connect_within(address, false, ANSWER).ok().map(Db::postgres);
        }
        let Some(open) = db else { return false };
        let record = self.record.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let sql = "UPDATE lease SET until = clock_timestamp() + interval '6 seconds',
                     holder = coalesce(?2, holder) WHERE token = ?1 AND until IS NOT NULL";
        match open.execute(sql, values![self.token, record]) {
            Ok(1) => {
                self.until.store(asked_at + millis(LEASE - EARLIER), Ordering::SeqCst);
                let mut latest = self.record.lock().unwrap_or_else(PoisonError::into_inner);
                if *latest == record {
                    *latest = None;
                }
                true
            }
            Ok(_) => {
                // It may have been given back this moment.
                if !self.is_given_back.load(Ordering::SeqCst) {
                    self.is_lost.store(true, Ordering::SeqCst);
                }
                true
            }
            Err(_) => {
                *db = None;
                false
            }
        }
    }
}

impl Journal {
    /// Who carries a run out, or is about to; `None`: nobody.
    ///
    /// # Errors
    /// The server cannot be asked.
    pub fn holder(&self) -> Result<Option<Holder>, JournalError> {
        if let Place::File(path) = &self.place {
            return Ok(path.parent().and_then(super::lock::holder_of));
        }
        let holder = held_by(&self.db).map_err(failed(&self.place, Operation::Read))?;
        Ok(holder.map(|(holder, _)| holder))
    }

    /// As [`Journal::holder`], for whoever asks again and again: the lock of a file is not touched while the process of its
    /// record is alive.
    ///
    /// # Errors
    /// The server cannot be asked.
    pub fn seen_holder(&self) -> Result<Option<Holder>, JournalError> {
        match &self.place {
            Place::File(path) => Ok(path.parent().and_then(super::lock::seen_holder_of)),
            Place::Server(_) => self.holder(),
        }
    }

    /// Whether the process that carried this run out has died, or cannot be heard of: its lease has ended, and was not given
    /// back. Never of a file, of which the kernel tells who holds it.
    ///
    /// # Errors
    /// The server cannot be asked.
    pub fn is_deserted(&self, run: &RunId) -> Result<bool, JournalError> {
        if self.place.file().is_some() {
            return Ok(false);
        }
        let sql = "SELECT holder FROM lease WHERE until < clock_timestamp() AND holder IS NOT NULL";
        let record = self.db.first(sql, values![], |row| row.get::<String>(0));
        let record = record.map_err(failed(&self.place, Operation::Read))?;
        let holder = record.and_then(|record| serde_json::from_str::<Holder>(&record).ok());
        Ok(holder.is_some_and(|holder| holder.run.as_deref() == Some(run.as_str())))
    }
}

/// `false`: another holds it. Whoever else asks at this moment waits for the row, and then sees what became of it.
fn try_acquire(db: &Db, token: i64, record: &str) -> Result<bool, StoreError> {
    let sql = "UPDATE lease SET token = ?1, holder = ?2, until = clock_timestamp() + interval '6 seconds'
               WHERE until IS NULL OR until < clock_timestamp()";
    Ok(db.execute(sql, values![token, record])? == 1)
}

fn random() -> i64 {
    let [a, b, c, d, e, f, _, _, g, h, ..] = *uuid::Uuid::new_v4().as_bytes();
    i64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// Who holds it, and until when if it is not renewed, in microseconds of the server's clock.
fn held_by(db: &Db) -> Result<Option<(Holder, i64)>, StoreError> {
    let sql = "SELECT holder, (extract(epoch FROM until) * 1000000)::bigint FROM lease
               WHERE until >= clock_timestamp() AND holder IS NOT NULL";
    db.first(sql, values![], |row| {
        let holder = serde_json::from_str(row.text(0)?).unwrap_or_else(|_| super::lock::unknown_holder());
        Ok((holder, row.get(1)?))
    })
}

fn text_of(record: &Holder) -> String {
    // A record is plain data; without it a message says less.
    serde_json::to_string(record).unwrap_or_default()
}

/// Milliseconds since this machine was started. It goes on while the machine sleeps, as the server's clock does.
fn uptime() -> i64 {
    let time = clock_gettime(ClockId::Boottime);
    time.tv_sec * 1000 + time.tv_nsec / 1_000_000
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
