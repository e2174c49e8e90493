//! Output of steps, kept beside the facts and bounded: the beginning and the end of it.

use crate::engine::AttemptId;

use super::db::{Access, Db, Row, StoreError, values};
use super::error::failed;
use super::place::Place;
use super::run::RunId;
use super::store::Durability;
use super::{Journal, JournalError, Operation};

/// So many bytes of the beginning of an attempt's output are kept.
pub const OUTPUT_HEAD: usize = 32 << 10;
/// So many bytes of its end.
pub const OUTPUT_TAIL: usize = 32 << 10;

/// What one worker wrote during one attempt: its beginning, its end, and how much it was. However much
/// is pushed, it takes at most `2 * (OUTPUT_HEAD + OUTPUT_TAIL)` bytes of memory.
#[derive(Clone, Debug, Default)]
pub struct Output {
    total: u64,
    head: Vec<u8>,
    /// What follows `head`; of more than [`OUTPUT_TAIL`] bytes only the last count. It is cut when it
    /// has grown to twice that, so that a byte is moved once at most, however small the pieces are.
    tail: Vec<u8>,
}

impl Output {
    /// Adds what was written next.
    pub fn push(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let room = OUTPUT_HEAD.saturating_sub(self.head.len()).min(bytes.len());
        let (first, rest) = bytes.split_at(room);
        self.head.extend_from_slice(first);
        let rest = &rest[rest.len().saturating_sub(OUTPUT_TAIL)..];
        if self.tail.len() + rest.len() > 2 * OUTPUT_TAIL {
            let kept = OUTPUT_TAIL - rest.len();
            self.tail.drain(..self.tail.len() - kept);
        }
        if self.tail.len() + rest.len() > OUTPUT_TAIL {
            // Not twice what is needed, which is how a vector grows by itself.
            self.tail.reserve_exact(2 * OUTPUT_TAIL - self.tail.len());
        }
        self.tail.extend_from_slice(rest);
    }

    /// How many bytes there were in all.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The beginning.
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// The end, as far as it is not in the beginning.
    pub fn tail(&self) -> &[u8] {
        &self.tail[self.tail.len().saturating_sub(OUTPUT_TAIL)..]
    }

    /// Bytes between beginning and end that were not kept.
    pub fn left_out(&self) -> u64 {
        self.total - (self.head.len() + self.tail().len()) as u64
    }

    /// As text; what is not UTF-8 is replaced, and what was left out is said.
    pub fn text(&self) -> String {
        match self.left_out() {
            // Joined first: a character may lie on the border.
            0 => String::from_utf8_lossy(&[self.head(), self.tail()].concat()).into_owned(),
            bytes => format!(
                "{}\n[... {bytes} bytes were not kept ...]\n{}",
                String::from_utf8_lossy(self.head()),
                String::from_utf8_lossy(self.tail())
            ),
        }
    }

    /// What came after the first `from` bytes, for a reader who has seen those; what was left out of it is
    /// said.
    pub fn since(&self, from: u64) -> Vec<u8> {
        let skip = |part: &[u8], start: u64| -> usize {
            usize::try_from(from.saturating_sub(start)).unwrap_or(usize::MAX).min(part.len())
        };
        let tail_start = self.total - self.tail().len() as u64;
        let mut text = self.head[skip(&self.head, 0)..].to_vec();
        let left_out = tail_start.saturating_sub(from.max(self.head.len() as u64));
        if left_out > 0 {
            text.extend_from_slice(format!("\n[... {left_out} bytes were not kept ...]\n").as_bytes());
        }
        text.extend_from_slice(&self.tail()[skip(self.tail(), tail_start)..]);
        text
    }

    /// From the columns `total`, `head`, `tail` that begin with number `at`.
    fn of(row: &Row<'_>, at: usize) -> Result<Self, StoreError> {
        Ok(Self { total: row.count(at)?, head: row.get(at + 1)?, tail: row.get(at + 2)? })
    }
}

/// Stores the output of one run's attempts, through a connection of its own, so that it can be used in
/// another thread than the run's facts. Nothing of it is durable by itself: the sync of the next append
/// covers it, and a power cut may lose the last of it.
#[derive(Debug)]
pub struct OutputWriter {
    db: Db,
    place: Place,
    n: i64,
}

impl OutputWriter {
    /// For the attempts of `run`.
    ///
    /// # Errors
    /// [`JournalError::UnknownRun`]; others when the file cannot be opened.
    pub fn open(journal: &Journal, run: &RunId) -> Result<Self, JournalError> {
        let db = journal.connect_again(Durability::Later)?;
        Ok(Self { db, place: journal.place.clone(), n: journal.row(run)?.n })
    }

    /// Stores all that each host has written during an attempt so far, in place of what was stored of it, in
    /// one transaction. A host is a worker, or the name that the caller gives to this machine. Secrets are
    /// masked by the caller.
    ///
    /// # Errors
    /// The file cannot be written. A run can continue without its output.
    pub fn write(&mut self, attempt: AttemptId, outputs: &[(&str, Output)]) -> Result<(), JournalError> {
        let failed = failed(&self.place, Operation::Write);
        let transaction = self.db.begin(Access::Write).map_err(failed)?;
        for (host, output) in outputs {
            let (attempt, total) = (attempt.0 as i64, output.total as i64);
            transaction
                .execute(
                    "INSERT INTO output (run, attempt, host, total, head, tail) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                     ON CONFLICT (run, attempt, host) DO UPDATE
                        SET total = excluded.total, head = excluded.head, tail = excluded.tail",
                    values![self.n, attempt, host, total, output.head(), output.tail()],
                )
                .map_err(failed)?;
        }
        transaction.commit().map_err(failed)
    }
}

impl Journal {
    /// What was written during an attempt, by host, in the order of their names.
    ///
    /// # Errors
    /// [`JournalError::UnknownRun`]; others when the file cannot be read.
    pub fn read_output(&self, id: &RunId, attempt: AttemptId) -> Result<Vec<(String, Output)>, JournalError> {
        self.read_output_of(id, attempt, u32::MAX)
    }

    /// The same of so many hosts at most.
    ///
    /// # Errors
    /// As of [`Journal::read_output`].
    pub fn read_output_of(
        &self,
        id: &RunId,
        attempt: AttemptId,
        hosts: u32,
    ) -> Result<Vec<(String, Output)>, JournalError> {
        let failed = failed(&self.place, Operation::Read);
        let n = self.row(id)?.n;
        let sql = "SELECT host, total, head, tail FROM output WHERE run = ?1 AND attempt = ?2
                   ORDER BY host LIMIT ?3";
        let values = values![n, attempt.0 as i64, i64::from(hosts)];
        self.db.all(sql, values, |row| Ok((row.get(0)?, Output::of(row, 1)?))).map_err(failed)
    }

    /// How many hosts have written something during an attempt.
    ///
    /// # Errors
    /// As of [`Journal::read_output`].
    pub fn count_outputs(&self, id: &RunId, attempt: AttemptId) -> Result<usize, JournalError> {
        let n = self.row(id)?.n;
        let sql = "SELECT count(*) FROM output WHERE run = ?1 AND attempt = ?2";
        let count = self.db.one(sql, values![n, attempt.0 as i64], |row| row.count(0));
        count
            .map(|count| usize::try_from(count).unwrap_or(usize::MAX))
            .map_err(failed(&self.place, Operation::Read))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn who_follows_sees_every_byte_that_is_kept_once() {
        let mut output = Output::default();
        let (mut seen, mut from) = (Vec::new(), 0);
        for n in 0..40 {
            output.push(&[b'a' + n % 26; 1000]);
            seen.extend(output.since(from));
            from = output.total();
        }
        assert_eq!(seen, [output.head(), output.tail()].concat());
        output.push(&vec![b'x'; 100_000]);
        let late = String::from_utf8(output.since(from)).unwrap();
        assert!(late.starts_with("\n[... 67232 bytes were not kept ...]\nxxx"), "{}", &late[..60]);
        assert!(output.since(output.total()).is_empty());
    }

    #[test]
    fn gigabytes_take_bounded_memory() {
        let mut output = Output::default();
        let piece = vec![b'x'; 60_000];
        let mut total = 0;
        while total < 4 << 30 {
            output.push(&piece[..30_000 + total as usize % 30_000]);
            total += 30_000 + total % 30_000;
        }
        output.push(b"the end");
        assert_eq!(output.total(), total + 7);
        assert!(output.head.capacity() <= 2 * OUTPUT_HEAD, "{}", output.head.capacity());
        assert!(output.tail.capacity() <= 2 * OUTPUT_TAIL, "{}", output.tail.capacity());
        assert!(output.tail().ends_with(b"xthe end"));
        assert_eq!(output.left_out(), total + 7 - (OUTPUT_HEAD + OUTPUT_TAIL) as u64);
    }

    proptest! {
        #[test]
        fn the_pieces_make_no_difference(
            length in 0..300_000_usize,
            pieces in prop::collection::vec(prop_oneof![0..9_usize, 1_000..40_000_usize, 60_000..100_000_usize], 0..40),
        ) {
            let all: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
            let mut output = Output::default();
            let mut rest = all.as_slice();
            for piece in pieces {
                let (first, others) = rest.split_at(piece.min(rest.len()));
                output.push(first);
                rest = others;
            }
            output.push(rest);
            let (head, others) = all.split_at(OUTPUT_HEAD.min(length));
            prop_assert_eq!(output.total(), length as u64);
            prop_assert_eq!(output.head(), head);
            prop_assert_eq!(output.tail(), &others[others.len().saturating_sub(OUTPUT_TAIL)..]);
        }
    }
}
