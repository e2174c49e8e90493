//! Preflight: every selected worker is looked at before anything is touched, and all problems are
//! found together. Then, and only for a run that will take place, a claim is written on each.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::bucket::Host;
use crate::catalog::Fence;
use crate::engine::{Check, ErrorKind, StepError};
use crate::graph::TargetIx;
use crate::os::parallel_map;
use crate::plan::{StepKind, Tool};
use crate::ssh::{Cancel, HostProfile, Remote, missing_tools};

use super::access::Access;
use super::attempts::fit_to_keep;
use super::executor::StepExecutor;
use super::{probe, reboot_command};

/// For one worker, connecting included: patient, since a fleet's slowest host decides.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Workers that are looked at side by side; handshakes are bounded by the transport.
pub(super) const SIDE_BY_SIDE: usize = 64;

/// Looks, and touches nothing. `TOOLS` are the programs that the plan needs.
const LOOK: &str = r#"
set -u
first=$(cat "$BOOT_ID_FILE" 2>/dev/null)
for tool in $TOOLS; do
  command -v "$tool" >/dev/null 2>&1 || echo "missing $tool"
done
if [ -f "$MAAND_STATE_DIR/claim" ]; then printf 'claim '; head -c 2000 "$MAAND_STATE_DIR/claim" | tr '\n' ' '; echo; fi
echo "boot_id $first"
MAAND_ANY
echo "again $(cat "$BOOT_ID_FILE" 2>/dev/null)"
"#;

/// Writes the claim, unless another run's is there.
const CLAIM: &str = r#"
set -u
umask 077
mkdir -p "$MAAND_STATE_DIR" || exit 92
if [ -f "$MAAND_STATE_DIR/claim" ]; then
  there=$(head -c 2000 "$MAAND_STATE_DIR/claim")
  case "$there" in
    *"\"run\":\"$MAAND_RUN\""*) ;;
    *) epoch=${there#*\"epoch\":}; epoch=${epoch%%[!0-9]*}
       for stale in $STALE; do
         case "$there" in
           *"\"run\":\"${stale%:*}\""*) if [ "${epoch:-0}" -le "${stale##*:}" ]; then there=; fi ;;
         esac
       done
       if [ -n "$there" ]; then printf 'claim '; printf '%s' "$there" | tr '\n' ' '; echo; exit 0; fi ;;
  esac
fi
printf '%s\n' "$CLAIM" > "$MAAND_STATE_DIR/claim.new" || exit 92
mv "$MAAND_STATE_DIR/claim.new" "$MAAND_STATE_DIR/claim" || exit 92
echo claimed
"#;

/// Takes the claim away, if it is still this run's and no newer controller of it has been there (or, with `ANY`,
/// whosever it is).
const RELEASE: &str = r#"
set -u
[ -f "$MAAND_STATE_DIR/claim" ] || { echo none; exit 0; }
run= epoch=
[ ! -f "$MAAND_STATE_DIR/epoch" ] || read -r run epoch rest <"$MAAND_STATE_DIR/epoch"
if [ "$ANY" != yes ] && [ "$run" = "$MAAND_RUN" ] && [ "$epoch" -gt "$MAAND_EPOCH" ]; then echo others; exit 0; fi
case "$(head -c 2000 "$MAAND_STATE_DIR/claim")" in
  *"\"run\":\"$MAAND_RUN\""*) rm -f "$MAAND_STATE_DIR/claim"; echo released ;;
  *) if [ "$ANY" = yes ]; then rm -f "$MAAND_STATE_DIR/claim"; echo released; else echo others; fi ;;
esac
"#;

/// What stands on a worker while a run has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The run.
    pub run: String,
    /// Its controller's epoch when it was written.
    pub epoch: u64,
    /// `user@host` of the controller.
    pub who: String,
    /// RFC 3339.
    pub since: String,
    /// The bucket's folder on the controller.
    pub bucket: String,
}

/// The folder for claims, receipts and locks that a worker's profile names.
pub(super) fn state_dir(profile: &HostProfile) -> String {
    let folder = if profile.use_sudo { &profile.state_dir } else { &profile.state_dir_in_home };
    folder.to_string_lossy().into_owned()
}

impl StepExecutor {
    /// Looks at every target; the answer has one entry for each, in order. A claim of a run that is
    /// not `finished` is an error of kind [`ErrorKind::Claimed`].
    pub fn preflight(
        &self,
        finished: &dyn Fn(&Claim) -> bool,
        left_alone: &dyn Fn(TargetIx) -> Option<String>,
        cancel: &Cancel,
        progress: &(dyn Fn(TargetIx, &Check) + Sync),
    ) -> Vec<Check> {
        let tools = self.tools();
        let targets: Vec<TargetIx> = self.graph.target_indices().collect();
        let alone: Vec<Option<String>> = targets.iter().map(|target| left_alone(*target)).collect();
        let looked = parallel_map(0..targets.len(), SIDE_BY_SIDE, |at| {
            let target = targets[at];
            let (check, claim) = match &alone[at] {
                Some(reason) => (Check::LeftAlone { reason: reason.clone() }, None),
                None => self.look_at(target, &tools, cancel),
            };
            progress(target, &check);
            (check, claim)
        });
        let mut checks: Vec<Check> = Vec::with_capacity(looked.len());
        for (check, claim) in looked {
            checks.push(match claim {
                Some(claim) if !finished(&claim) => Check::Unreachable { error: claimed(&claim) },
                _ => check,
            });
        }
        self.find_same_hosts(&mut checks);
        checks
    }

    fn look_at(&self, target: TargetIx, tools: &str, cancel: &Cancel) -> (Check, Option<Claim>) {
        let access = self.access(target, cancel);
        let text = format!("{}{}", reboot_command::FUNCTIONS, LOOK.replace("MAAND_ANY", reboot_command::ANY));
        let mut script = access.script("preflight", &text, PATIENCE);
        script.env.push(("TOOLS".into(), tools.into()));
        match access.run(&script, Instant::now() + PATIENCE) {
            Ok(said) => read(&access.host, &access.state_dir, &said),
            Err(trouble) => {
                let error = trouble.into_error(&access.host, "preflight");
                (Check::Unreachable { error: error.masked(fit_to_keep) }, None)
            }
        }
    }

    /// Programs that the plan's steps need on a worker, besides a POSIX shell.
    fn tools(&self) -> String {
        let steps = self.graph.plan.steps.iter();
        let mut tools: BTreeSet<Tool> =
            steps.flat_map(|step| step.kind.traits().tools.iter().copied()).collect();
        if self.catalog.capabilities().contacts_every_worker {
            tools.retain(|tool| !matches!(tool, Tool::Make | Tool::Tar));
        }
        tools.into_iter().map(Tool::name).collect::<Vec<_>>().join(" ")
    }

    /// Two names for one host, or the controller itself: both would be down when one is rebooted, and which of two that
    /// share a kernel has come back could not be told. Where nothing is rebooted containers on one host are fine.
    fn find_same_hosts(&self, checks: &mut [Check]) {
        if !self.graph.plan.steps.iter().any(|step| matches!(step.kind, StepKind::Reboot { .. })) {
            return;
        }
        let own = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let mut seen: HashMap<String, usize> = HashMap::new();
        for (at, check) in checks.iter_mut().enumerate() {
            let Check::Ready { boot_id, .. } = check else { continue };
            let host = self.host(TargetIx(at as u32));
            let message = match seen.get(boot_id) {
                Some(other) => Some(format!(
                    "{host} and {} are one host, or containers on one: both have the boot id {boot_id}, and a \
                     reboot of one would take both down",
                    self.host(TargetIx(*other as u32))
                )),
                None if *boot_id == own.trim() => {
                    Some(format!("{host} is this machine: rebooting it would end the run"))
                }
                None => None,
            };
            seen.entry(boot_id.clone()).or_insert(at);
            if let Some(message) = message {
                *check = Check::Unreachable { error: StepError::new(ErrorKind::SameHost, message) };
            }
        }
    }

    /// Writes this run's claim on every target that is ready; those where that fails are no longer.
    /// Claims of the runs in `stale` are replaced.
    pub fn claim(&self, checks: &mut [Check], claim: &Claim, stale: &[String], cancel: &Cancel) {
        let ready: Vec<TargetIx> = (0..checks.len())
            .filter(|at| matches!(checks[*at], Check::Ready { .. }))
            .map(|at| TargetIx(at as u32))
            .collect();
        for (target, error) in ready.iter().zip(self.claim_each(&ready, claim, stale, cancel)) {
            let check = &mut checks[target.0 as usize];
            if let Some(error) = error {
                *check = Check::Unreachable { error };
            } else if let Check::Ready { boot_id, .. } = check {
                self.remember_boot(*target, boot_id);
            }
        }
    }

    /// Writes this run's claim on each of these; the answers say, in order, why it is not there. Claims of the runs in
    /// `stale` are replaced: each with the epoch of its last controller, as in `RUN:EPOCH`.
    pub fn claim_each(
        &self,
        targets: &[TargetIx],
        claim: &Claim,
        stale: &[String],
        cancel: &Cancel,
    ) -> Vec<Option<StepError>> {
        let text = serde_json::to_string(claim).unwrap_or_default();
        parallel_map(0..targets.len(), SIDE_BY_SIDE, |at| {
            let access = self.access(targets[at], cancel);
            let mut script = access.script("claim", CLAIM, PATIENCE);
            script.env.push(("CLAIM".into(), text.clone()));
            script.env.push(("STALE".into(), stale.join(" ")));
            match access.change(script, Instant::now() + PATIENCE) {
                Ok(said) if said.trim() == "claimed" => None,
                Ok(said) => Some(match read_claim(said.trim()) {
                    Some(other) => claimed(&other),
                    None => StepError::new(
                        ErrorKind::Claimed,
                        format!("{}: the claim was not written: `{}`", access.host, said.trim()),
                    ),
                }),
                Err(trouble) => Some(trouble.into_error(&access.host, "claiming")),
            }
        })
    }

    /// What takes this run's claims away, as far as the workers can be reached; it holds nothing of the run.
    pub fn release(&self, targets: &[TargetIx], cancel: &Cancel) -> impl FnOnce() + use<> {
        let workers: Vec<Access> = targets.iter().map(|target| self.access(*target, cancel)).collect();
        move || {
            parallel_map(0..workers.len(), SIDE_BY_SIDE, |at| {
                // A worker that cannot be reached keeps the claim of a finished run, which counts for nothing.
                let _ = release(&workers[at], false);
            });
        }
    }
}

/// Takes the claim of whichever run away from a worker; `false`: there was none.
///
/// # Errors
/// Why the worker could not be reached.
pub fn release_claim(remote: &Arc<dyn Remote>, host: &Host) -> Result<bool, StepError> {
    release(&bystander(remote, host), true)
}

/// What may take a worker down that no step of a run waits for any more: a reboot command that still runs there, a
/// shutdown that it has left scheduled. `None`: nothing, or it does not answer within `patience`.
pub fn pending_reboot(remote: &Arc<dyn Remote>, host: &Host, patience: Duration) -> Option<String> {
    let text = format!("{}{}", reboot_command::FUNCTIONS, reboot_command::ANY);
    let access = bystander(remote, host);
    let said = access.run(&access.script("look for a reboot", &text, patience), Instant::now() + patience);
    reboot_command::pending(&said.ok()?)
}

/// Access for who carries no run out.
fn bystander(remote: &Arc<dyn Remote>, host: &Host) -> Access {
    let profile = remote.profile(host);
    Access {
        remote: Arc::clone(remote),
        host: host.clone(),
        state_dir: state_dir(&profile),
        profile,
        fence: Fence { run: String::new(), epoch: 0, mark: String::new() },
        cancel: Cancel::new(),
    }
}

/// `false`: there was none, or it is another run's and `any` is not set.
fn release(access: &Access, any: bool) -> Result<bool, StepError> {
    let mut script = access.script("release", RELEASE, PATIENCE);
    script.env.push(("ANY".into(), if any { "yes" } else { "no" }.into()));
    access
        .run(&script, Instant::now() + PATIENCE)
        .map(|said| said.trim() == "released")
        .map_err(|trouble| trouble.into_error(&access.host, "releasing the claim"))
}

fn claimed(claim: &Claim) -> StepError {
    StepError::new(
        ErrorKind::Claimed,
        format!(
            "run {} of {} (bucket {}) has claimed it since {}",
            claim.run, claim.who, claim.bucket, claim.since
        ),
    )
}

pub(super) fn read_claim(line: &str) -> Option<Claim> {
    serde_json::from_str(line.strip_prefix("claim ")?.trim()).ok()
}

pub(super) fn read(host: &Host, state_dir: &str, said: &str) -> (Check, Option<Claim>) {
    let unreachable = |kind, message: String| Check::Unreachable {
        error: StepError::new(kind, message).masked(fit_to_keep),
    };
    let mut found: BTreeMap<&str, &str> = BTreeMap::new();
    let mut missing = Vec::new();
    let mut claim = None;
    for line in said.lines() {
        match line.split_once(' ') {
            Some(("missing", tool)) => missing.push(tool),
            Some(("claim", _)) => claim = read_claim(line),
            Some((name, value)) => {
                found.insert(name, value.trim());
            }
            None => {}
        }
    }
    let (first, again) = (found.get("boot_id").copied(), found.get("again").copied());
    let check = match (first, again) {
        (Some(first), Some(again)) if probe::is_boot_id(first) && first == again => {
            if let Some(pending) = reboot_command::pending(said) {
                let message = format!("{host} may go down at any time: {pending}");
                unreachable(ErrorKind::RebootPending, message)
            } else if missing.is_empty() {
                Check::Ready { boot_id: first.to_owned(), state_dir: state_dir.to_owned() }
            } else {
                let message = format!(
                    "{host} lacks {}; {}",
                    missing.join(", "),
                    missing_tools(host.as_str(), &missing).remedy
                );
                unreachable(ErrorKind::MissingTool, message)
            }
        }
        (first, again) => unreachable(
            ErrorKind::BootIdUnreadable,
            format!(
                "{host} has no stable boot id (read `{}`, then `{}`)",
                first.unwrap_or_default(),
                again.unwrap_or_default()
            ),
        ),
    };
    (check, claim)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "3e1a9df5-9c6d-4c86-b1a8-3f2f4a7e0c11";
    const OTHER: &str = "99999999-9c6d-4c86-b1a8-3f2f4a7e0c11";

    fn looked(said: &str) -> (Check, Option<Claim>) {
        read(&Host::parse("w1").unwrap(), "/var/lib/maand", said)
    }

    #[track_caller]
    fn refused(said: &str, kind: ErrorKind, words: &str) {
        match looked(said).0 {
            Check::Unreachable { error } => {
                assert_eq!(error.kind, kind, "{said}");
                assert!(error.message.contains(words), "{}", error.message);
            }
            other => panic!("{said}: {other:?}"),
        }
    }

    #[test]
    fn a_worker_is_ready_with_a_boot_id_that_is_the_same_when_read_twice() {
        let ready = Check::Ready { boot_id: ID.to_owned(), state_dir: "/var/lib/maand".to_owned() };
        assert_eq!(looked(&format!("boot_id {ID}\nagain {ID}\n")), (ready, None));
        refused(&format!("boot_id {ID}\nagain {OTHER}\n"), ErrorKind::BootIdUnreadable, "no stable boot id");
        refused("boot_id x\nagain x\n", ErrorKind::BootIdUnreadable, "read `x`");
        refused(&format!("boot_id {ID}\n"), ErrorKind::BootIdUnreadable, "then ``");
    }

    #[test]
    fn all_tools_that_are_missing_are_named_together() {
        let said = format!("missing make\nmissing tar\nboot_id {ID}\nagain {ID}\n");
        refused(&said, ErrorKind::MissingTool, "w1 lacks make, tar");
    }

    #[test]
    fn a_command_that_may_take_the_worker_down_keeps_it_out() {
        let said = format!("boot_id {ID}\nruns reboot-r1-reboot.pid\nagain {ID}\n");
        refused(&said, ErrorKind::RebootPending, "still runs there (reboot-r1-reboot)");
        let said = format!("boot_id {ID}\nscheduled 1764457200000000 reboot\nagain {ID}\n");
        refused(&said, ErrorKind::RebootPending, "reboot at 2025-11-29");
    }

    #[test]
    fn a_claim_says_whose_it_is() {
        let claim = Claim {
            run: "r7".to_owned(),
            epoch: 3,
            who: "ann@desk".to_owned(),
            since: "2025-11-29T23:00:00Z".to_owned(),
            bucket: "/srv/bucket".to_owned(),
        };
        let json = serde_json::to_string(&claim).unwrap();
        assert_eq!(looked(&format!("claim {json}\nboot_id {ID}\nagain {ID}\n")).1, Some(claim.clone()));
        let error = claimed(&claim);
        assert!(error.kind.is_final() && error.message.contains("run r7 of ann@desk"), "{}", error.message);
    }
}
