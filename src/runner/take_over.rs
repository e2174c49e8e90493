//! A run is taken from a controller on another machine: what each worker remembers of it, and the fence that refuses
//! that controller from then on.
//!
//! This file asks and writes. Whether the run may be taken is for the caller to say.

use std::time::{Duration, Instant};

use crate::catalog::Fence;
use crate::engine::{ErrorKind, Outcome, StepError};
use crate::graph::TargetIx;
use crate::os::parallel_map;
use crate::ssh::{Cancel, Completion, NotRun};

use super::access::{Access, ScriptError, plain};
use super::executor::StepExecutor;
use super::preflight::{Claim, PATIENCE, SIDE_BY_SIDE, read_claim};

/// A fence waits so long for a script that is at work on the worker, and has so long itself.
const FENCE_WITHIN: Duration = Duration::from_secs(10);

/// What the worker remembers of the newest script that a controller has sent, and the claim on it.
const REMEMBERED: &str = r#"
set -uf
if [ -f "$MAAND_STATE_DIR/epoch" ]; then set -- $(head -c 300 "$MAAND_STATE_DIR/epoch"); echo "epoch $*"; fi
if [ -f "$MAAND_STATE_DIR/claim" ]; then printf 'claim '; head -c 2000 "$MAAND_STATE_DIR/claim" | tr '\n' ' '; echo; fi
"#;

/// Compare and swap: where the worker still remembers what was seen (`SEEN`), it remembers `FENCE` from now on, and
/// the claim of `RUN` is `CLAIM`, unless that is empty. A controller with a lower epoch is refused afterwards.
const FENCE_OFF: &str = r#"
set -uf
umask 077
mkdir -p "$MAAND_STATE_DIR" || exit 92
if [ -f "$MAAND_STATE_DIR/epoch" ]; then set -- $(head -c 300 "$MAAND_STATE_DIR/epoch"); else set --; fi
if [ "$*" != "$SEEN" ]; then echo "moved $*"; exit 0; fi
if [ -f "$MAAND_STATE_DIR/claim" ]; then
  there=$(head -c 2000 "$MAAND_STATE_DIR/claim")
  case "$there" in
    *"\"run\":\"$RUN\""*) ;;
    *) printf 'claim '; printf '%s' "$there" | tr '\n' ' '; echo; exit 0 ;;
  esac
fi
printf '%s\n' "$FENCE" >"$MAAND_STATE_DIR/epoch.new" || exit 92
sync "$MAAND_STATE_DIR/epoch.new" 2>/dev/null || sync
mv -f "$MAAND_STATE_DIR/epoch.new" "$MAAND_STATE_DIR/epoch" || exit 92
if [ -n "$CLAIM" ]; then
  printf '%s\n' "$CLAIM" >"$MAAND_STATE_DIR/claim.new" || exit 92
  mv -f "$MAAND_STATE_DIR/claim.new" "$MAAND_STATE_DIR/claim" || exit 92
fi
sync "$MAAND_STATE_DIR" 2>/dev/null || sync
echo fenced
"#;

/// What a worker remembers of the runs of its bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remembered {
    /// As it stands there, blanks made one; empty: nothing.
    pub text: String,
    /// The claim on it.
    pub claim: Option<Claim>,
}

/// The newest script that a worker has heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard<'a> {
    /// Of this run.
    pub run: &'a str,
    /// From a controller with this epoch.
    pub epoch: u64,
    /// Number and hash of the newest fact that it had; `None`: an older version of maand has sent it.
    pub mark: Option<(&'a str, &'a str)>,
}

impl Remembered {
    /// What it has heard of last, where it has heard of anything.
    pub fn heard(&self) -> Option<Heard<'_>> {
        let mut words = self.text.split(' ').filter(|word| !word.is_empty());
        let run = words.next()?;
        // A number beyond this is no controller's, whatever a worker says.
        let epoch = words.next().and_then(|epoch| epoch.parse().ok()).filter(|epoch| *epoch < 1 << 53);
        let epoch = epoch.unwrap_or(0);
        Some(Heard { run, epoch, mark: words.next().zip(words.next()) })
    }
}

/// What came of fencing a worker off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fenced {
    /// A controller with a lower epoch is refused there from now on.
    Done,
    /// It has heard of something else since it was asked: another controller is at work.
    Moved,
    /// Another run's claim.
    Claimed(Claim),
    /// It is there, and a script of a step is still at work on it.
    Busy,
}

/// A fence that workers are to be given.
#[derive(Clone, Debug)]
pub struct NewFence {
    /// Of this run.
    pub run: String,
    /// Controllers with a lower one are refused.
    pub epoch: u64,
    /// Number and hash of the newest fact that is known of the run.
    pub mark: String,
}

impl StepExecutor {
    /// What each of these workers remembers, in order.
    pub fn remembered(&self, targets: &[TargetIx], cancel: &Cancel) -> Vec<Result<Remembered, StepError>> {
        parallel_map(0..targets.len(), SIDE_BY_SIDE, |at| {
            let access = self.unfenced(targets[at], cancel);
            let script = access.script("read what is remembered", REMEMBERED, PATIENCE);
            access
                .run(&script, Instant::now() + PATIENCE)
                .map(|said| read(&said))
                .map_err(|error| error.into_error(&access.host, "asking what it remembers"))
        })
    }

    /// Gives each of these workers a new fence, if it still remembers what was seen; where `claim` is given, with it.
    pub fn fence_off(
        &self,
        targets: &[(TargetIx, &Remembered, Option<&Claim>)],
        fence: &NewFence,
        cancel: &Cancel,
    ) -> Vec<Result<Fenced, StepError>> {
        parallel_map(0..targets.len(), SIDE_BY_SIDE, |at| {
            let (target, seen, claim) = targets[at];
            let access = self.unfenced(target, cancel);
            let claim = claim.map(|claim| serde_json::to_string(claim).unwrap_or_default());
            let mut script = access.script("fence off the controller before", FENCE_OFF, FENCE_WITHIN);
            script.env.push(("SEEN".into(), seen.text.clone()));
            script.env.push(("RUN".into(), fence.run.clone()));
            script.env.push(("FENCE".into(), format!("{} {} {}", fence.run, fence.epoch, fence.mark)));
            script.env.push(("CLAIM".into(), claim.unwrap_or_default()));
            script.lock = true;
            let doing = "fencing it off";
            let mut connection = access
                .connect(Instant::now() + PATIENCE)
                .map_err(|error| ScriptError::Connect(error).into_error(&access.host, doing))?;
            let ended = connection.run(&script, None);
            if matches!(ended, Completion::NotRun { reason: NotRun::Locked, .. }) {
                return Ok(Fenced::Busy);
            }
            match plain(&access.host, ended) {
                Ok(said) => answer(&access, said.trim()),
                Err(error) => Err(error.into_error(&access.host, doing)),
            }
        })
    }

    /// The outcome of an attempt on a worker, or that the worker refuses this controller: a catalog says of a refused
    /// script only that it failed.
    pub(super) fn unless_fenced(&self, target: TargetIx, outcome: Outcome) -> Outcome {
        let Outcome::Failed { error } = &outcome else { return outcome };
        if error.kind != ErrorKind::Catalog {
            return outcome;
        }
        let newer = self.remembered(&[target], &Cancel::new()).into_iter().flatten().any(|remembered| {
            remembered.heard().is_some_and(|heard| heard.run == self.run && heard.epoch > self.epoch())
        });
        if !newer {
            return outcome;
        }
        let message = format!("{}: a newer controller has taken this run over", self.host(target));
        Outcome::Failed { error: StepError::new(ErrorKind::Fenced, message) }
    }

    /// Access without a fence of its own, which would be noted before the script begins.
    fn unfenced(&self, target: TargetIx, cancel: &Cancel) -> Access {
        let fence = Fence { run: String::new(), epoch: 0, mark: String::new() };
        Access { fence, ..self.access(target, cancel) }
    }
}

pub(super) fn read(said: &str) -> Remembered {
    let mut remembered = Remembered::default();
    for line in said.lines() {
        match line.split_once(' ') {
            Some(("epoch", text)) => remembered.text = text.trim().to_owned(),
            // One that cannot be read is somebody's all the same.
            Some(("claim", text)) => {
                remembered.claim = Some(read_claim(line).unwrap_or_else(|| unreadable(text)))
            }
            _ => {}
        }
    }
    remembered
}

fn answer(access: &Access, said: &str) -> Result<Fenced, StepError> {
    match said.split_once(' ').unwrap_or((said, "")) {
        ("fenced", _) => Ok(Fenced::Done),
        ("moved", _) => Ok(Fenced::Moved),
        ("claim", text) => Ok(Fenced::Claimed(read_claim(said).unwrap_or_else(|| unreadable(text)))),
        _ => Err(StepError::new(ErrorKind::Unknown, format!("{}: it answered `{said}`", access.host))),
    }
}

fn unreadable(text: &str) -> Claim {
    let unknown = || "unknown".to_owned();
    let run = crate::ssh::visible(text.trim().as_bytes());
    Claim { run, epoch: 0, who: unknown(), since: unknown(), bucket: unknown() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_worker_remembers_is_read_word_by_word() {
        let remembered = read("epoch r1 3 17 00ff\nclaim {\"run\":\"r1\"\n");
        let heard = remembered.heard().unwrap();
        assert_eq!(heard, Heard { run: "r1", epoch: 3, mark: Some(("17", "00ff")) });
        assert_eq!(remembered.claim.unwrap().who, "unknown", "half a claim is one");
        let older = Remembered { text: "r1 2".to_owned(), claim: None };
        assert_eq!(older.heard(), Some(Heard { run: "r1", epoch: 2, mark: None }));
        assert_eq!(read("").heard(), None);
    }
}
