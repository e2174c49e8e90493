//! Output of steps, kept beside the facts and bounded: the beginning and the end of it.

use rusqlite::{OptionalExtension, TransactionBehavior, params};

use crate::engine::AttemptId;
use crate::plan::Problem;

use super::Journal;
use super::error::problem;
use super::run::RunId;

/// So many bytes of the beginning of an attempt's output are kept.
pub const OUTPUT_HEAD: usize = 32 << 10;
/// So many bytes of its end.
pub const OUTPUT_TAIL: usize = 32 << 10;

/// What one worker wrote during one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Which worker; for `local` steps the name that the runner gave it.
    pub host: String,
    /// How many bytes there were in all.
    pub total: u64,
    /// The beginning.
    pub head: Vec<u8>,
    /// The end, as far as it is not in `head`.
    pub tail: Vec<u8>,
}

impl Output {
    /// Bytes between `head` and `tail` that were not kept.
    pub fn left_out(&self) -> u64 {
        self.total - (self.head.len() + self.tail.len()) as u64
    }

    /// As text; what is not UTF-8 is replaced, and what was left out is said.
    pub fn text(&self) -> String {
        match self.left_out() {
            // Joined first: a character may lie on the border.
            0 => String::from_utf8_lossy(&[self.head.as_slice(), &self.tail].concat()).into_owned(),
            bytes => format!(
                "{}\n[... {bytes} bytes were not kept ...]\n{}",
                String::from_utf8_lossy(&self.head),
                String::from_utf8_lossy(&self.tail)
            ),
        }
    }

    /// What came after the first `from` bytes, for somebody who has seen those; what was left out of it is
    /// said.
    pub fn since(&self, from: u64) -> Vec<u8> {
        let skip = |part: &[u8], start: u64| -> usize {
            usize::try_from(from.saturating_sub(start)).unwrap_or(usize::MAX).min(part.len())
        };
        let tail_start = self.total - self.tail.len() as u64;
        let mut text = self.head[skip(&self.head, 0)..].to_vec();
        let left_out = tail_start.saturating_sub(from.max(self.head.len() as u64));
        if left_out > 0 {
            text.extend_from_slice(format!("\n[... {left_out} bytes were not kept ...]\n").as_bytes());
        }
        text.extend_from_slice(&self.tail[skip(&self.tail, tail_start)..]);
        text
    }

    fn add(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let room = OUTPUT_HEAD.saturating_sub(self.head.len()).min(bytes.len());
        let (first, rest) = bytes.split_at(room);
        self.head.extend_from_slice(first);
        self.tail.extend_from_slice(rest);
        let surplus = self.tail.len().saturating_sub(OUTPUT_TAIL);
        self.tail.drain(..surplus);
    }
}

impl Journal {
    /// Adds to what `host` wrote during an attempt. Secrets are masked by the caller. Not durable by
    /// itself: the sync of the next append covers it, and a crash may lose the last of it.
    ///
    /// # Errors
    /// See [`super::codes`]. A run can go on without its output.
    pub fn output(
        &mut self,
        id: &RunId,
        attempt: AttemptId,
        host: &str,
        bytes: &[u8],
    ) -> Result<(), Problem> {
        let path = self.path.clone();
        let failed = |error| problem(&path, "write to", error);
        let n = self.row(id)?.n;
        let db = self.unsynced()?;
        let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let key = params![n, attempt.0 as i64, host];
        let found = transaction
            .query_row(
                "SELECT total, head, tail FROM output WHERE run = ?1 AND attempt = ?2 AND host = ?3",
                key,
                |row| {
                    let total = row.get::<_, i64>(0)?.unsigned_abs();
                    Ok(Output { host: host.to_owned(), total, head: row.get(1)?, tail: row.get(2)? })
                },
            )
            .optional()
            .map_err(failed)?;
        let mut output = found.unwrap_or_else(|| Output {
            host: host.to_owned(),
            total: 0,
            head: Vec::new(),
            tail: Vec::new(),
        });
        output.add(bytes);
        transaction
            .execute(
                "INSERT OR REPLACE INTO output (run, attempt, host, total, head, tail)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![n, attempt.0 as i64, host, output.total as i64, output.head, output.tail],
            )
            .map_err(failed)?;
        transaction.commit().map_err(failed)
    }

    /// What was written during an attempt, by host.
    ///
    /// # Errors
    /// See [`super::codes`].
    pub fn read_output(&self, id: &RunId, attempt: AttemptId) -> Result<Vec<Output>, Problem> {
        let failed = |error| problem(&self.path, "read", error);
        let n = self.row(id)?.n;
        let mut statement = self
            .db
            .prepare(
                "SELECT host, total, head, tail FROM output WHERE run = ?1 AND attempt = ?2 ORDER BY host",
            )
            .map_err(failed)?;
        let rows = statement
            .query_map(params![n, attempt.0 as i64], |row| {
                Ok(Output {
                    host: row.get(0)?,
                    total: row.get::<_, i64>(1)?.unsigned_abs(),
                    head: row.get(2)?,
                    tail: row.get(3)?,
                })
            })
            .map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_follows_sees_every_byte_that_is_kept_once() {
        let mut output = Output { host: "h".into(), total: 0, head: Vec::new(), tail: Vec::new() };
        let (mut seen, mut from) = (Vec::new(), 0);
        for n in 0..40 {
            output.add(&[b'a' + n % 26; 1000]);
            seen.extend(output.since(from));
            from = output.total;
        }
        assert_eq!(seen, [output.head.as_slice(), &output.tail].concat());
        output.add(&vec![b'x'; 100_000]);
        let late = String::from_utf8(output.since(from)).unwrap();
        assert!(late.starts_with("\n[... 67232 bytes were not kept ...]\nxxx"), "{}", &late[..60]);
        assert!(output.since(output.total).is_empty());
    }
}
