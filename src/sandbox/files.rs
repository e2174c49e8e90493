//! The folder that plays a worker's root: its layout, and the stand-ins for programs that must not
//! be the machine's own there.
//!
//! The stand-ins come first on the worker's PATH: `sudo` gives nothing, `make` runs the demo
//! Makefile only, `systemctl` and `shutdown` speak to the sandbox. They tell it through a FIFO.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode};

use super::FaultKind;
use crate::os::quote;

/// The Makefile of every job in a sandbox: needs make and a shell, nothing else.
pub const DEMO_MAKEFILE: &str = r#"# A demo job of the sandbox: needs make and a shell, nothing else. `start` leaves one idle process
# behind; its number is noted where a reboot loses it.
JOB := $(lastword $(subst /, ,$(CURDIR)))
PID := $(if $(MAAND_SANDBOX),$(MAAND_SANDBOX)/run,data)/$(JOB).pid
DETACHED := $(shell command -v setsid)
ALIVE = test -s "$(PID)" && kill -0 "$$(cat "$(PID)")" 2>/dev/null

.PHONY: start stop restart reload status

start:
	@mkdir -p data logs
	@if $(ALIVE); then echo "$(JOB) is running already"; else \
	  $(DETACHED) sleep 100000000 </dev/null >/dev/null 2>&1 & echo $$! >"$(PID)"; \
	  echo "start $$NEW_VERSION" >>logs/$(JOB).log; echo "$(JOB) started"; fi

stop:
	@if $(ALIVE); then kill "$$(cat "$(PID)")"; fi; rm -f "$(PID)"; echo "$(JOB) stopped"

restart:
	@$(MAKE) --no-print-directory stop
	@$(MAKE) --no-print-directory start

reload:
	@echo "$(JOB) reloaded"

status:
	@if $(ALIVE); then echo "$(JOB) is running"; else echo "$(JOB) is not running"; exit 3; fi
"#;

/// The command that a demo job's health check runs on the worker.
pub fn demo_probe(job: &str) -> String {
    format!("demo-probe {job}")
}

/// Where things are below a worker's root.
#[derive(Clone, Debug)]
pub(super) struct Root(PathBuf);

impl Root {
    /// The layout below `path`, which is an absolute path in UTF-8.
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// As text; the folder was checked to be UTF-8 when the sandbox was made.
    pub(super) fn text(&self, below: &str) -> String {
        self.0.join(below).to_string_lossy().into_owned()
    }

    pub(super) fn boot_id(&self) -> PathBuf {
        self.0.join("proc/sys/kernel/random/boot_id")
    }

    pub(super) fn nologin(&self) -> PathBuf {
        self.0.join("run/nologin")
    }

    pub(super) fn requests(&self) -> PathBuf {
        self.0.join("run/requests")
    }

    fn flag(&self, kind: FaultKind) -> PathBuf {
        self.0.join("etc/fault").join(kind.name())
    }

    /// Puts a fault's file there, with a number of seconds in it, or takes it away.
    pub(super) fn set_flag(&self, kind: FaultKind, seconds: Option<u64>) -> io::Result<()> {
        if let Some(seconds) = seconds {
            return std::fs::write(self.flag(kind), seconds.to_string());
        }
        match std::fs::remove_file(self.flag(kind)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Makes the tree and its stand-ins; `make` is the machine's own. What is there stays.
    pub(super) fn create(&self, make: &Path, execute: bool) -> io::Result<()> {
        for folder in [
            "bin",
            "etc/enabled",
            "etc/fault",
            "home",
            "opt/worker",
            "proc/sys/kernel/random",
            "run",
            "tmp",
            "var/lib/maand",
            "var/log",
        ] {
            std::fs::create_dir_all(self.0.join(folder))?;
        }
        std::fs::write(self.0.join("etc/Makefile"), DEMO_MAKEFILE)?;
        if execute {
            std::fs::write(self.0.join("etc/execute"), "")?;
        }
        let head = format!(
            "#!/bin/sh\n# A stand-in of the sandbox.\nroot={}\n{TELL}",
            quote(self.text("").trim_end_matches('/'))
        );
        let make = format!("make={}\n", quote(&make.to_string_lossy()));
        for (name, body) in [
            ("sandbox-reboot", SANDBOX_REBOOT),
            (START_JOBS, BOOT),
            ("demo-probe", DEMO_PROBE),
            ("sudo", SUDO),
            ("id", ID),
            ("systemctl", SYSTEMCTL),
            ("shutdown", SHUTDOWN),
            ("reboot", REBOOT),
            ("poweroff", REBOOT),
            ("halt", REBOOT),
            ("make", MAKE),
        ] {
            let path = self.0.join("bin").join(name);
            std::fs::write(&path, format!("{head}{make}{body}"))?;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
        }
        Ok(())
    }

    /// What a boot does to the files: `run/` is empty, the boot id is new.
    pub(super) fn boot(&self, boot_id: &str) -> io::Result<()> {
        for folder in ["run", "tmp"] {
            let folder = self.0.join(folder);
            match std::fs::remove_dir_all(&folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => std::fs::create_dir_all(&folder)?,
            }
        }
        let fresh = self.0.join("proc/sys/kernel/random/boot_id.new");
        std::fs::write(&fresh, format!("{boot_id}\n"))?;
        std::fs::rename(&fresh, self.boot_id())?;
        rustix::fs::mknodat(rustix::fs::CWD, self.requests(), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        Ok(())
    }

    /// The whole environment of a process on the worker.
    pub(super) fn environment(&self) -> Vec<(String, String)> {
        // Without the sbin folders: nothing finds the machine's own `shutdown`.
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", self.text("bin"));
        [
            ("PATH", path),
            ("HOME", self.text("home")),
            ("USER", "sandbox".into()),
            ("LOGNAME", "sandbox".into()),
            ("SHELL", "/bin/sh".into()),
            ("TMPDIR", self.text("tmp")),
            ("LANG", "C.UTF-8".into()),
            ("MAAND_SANDBOX", self.0.to_string_lossy().into_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}

/// One line to the sandbox; without a sandbox there is no FIFO and nothing to wait for.
const TELL: &str = r#"tell() {
  [ -p "$root/run/requests" ] || return 1
  printf '%s\n' "$(printf %s "$*" | tr '\n' ' ' | cut -c1-2000)" >"$root/run/requests"
}
"#;

const SANDBOX_REBOOT: &str = r#"tell "command begins $*"
if [ -e "$root/etc/fault/reboot_fails" ]; then
  tell "command ends"
  echo "Failed to start reboot.target: a fault of the sandbox" >&2
  exit 1
fi
[ ! -e "$root/etc/fault/reboots_late" ] || sleep "$(cat "$root/etc/fault/reboots_late")"
tell "reboot $*"
"#;

/// The stand-in for what starts a host's jobs when it boots.
pub(super) const START_JOBS: &str = "sandbox-start-jobs";

/// As units that are enabled: what was started comes back, what was stopped in good order does not.
const BOOT: &str = r#"for unit in "$root"/etc/enabled/*; do
  [ -f "$unit" ] || continue
  path=$(cat "$unit")
  [ -d "$path" ] && make -C "$path" start </dev/null >>"$root/var/log/boot.log" 2>&1
done
exit 0
"#;

const DEMO_PROBE: &str = r#"fault=$root/etc/fault
if [ -e "$fault/health_never_well" ]; then
  echo "$1 is not well: a fault of the sandbox" >&2
  exit 1
fi
if [ -e "$fault/health_flaps" ]; then
  looks=$(cat "$root/run/looks" 2>/dev/null || echo 0)
  echo $((looks + 1)) >"$root/run/looks"
  if [ $((looks % 2)) = 0 ]; then
    echo "$1 is not well this time: a fault of the sandbox" >&2
    exit 1
  fi
fi
[ -e "$root/run/$1.recorded" ] && exit 0
pid=$(cat "$root/run/$1.pid" 2>/dev/null) && kill -0 "$pid" 2>/dev/null && exit 0
echo "$1 is not running" >&2
exit 1
"#;

const SUDO: &str = r#"if [ -e "$root/etc/fault/sudo_password" ]; then
  echo "sudo: a password is required" >&2
  exit 1
fi
while [ $# -gt 0 ]; do
  case $1 in
    --) shift; break ;;
    -u | -g | -p | -C | -h) shift; [ $# -gt 0 ] && shift ;;
    -*) shift ;;
    [A-Za-z_]*=*) export "$1"; shift ;;
    *) break ;;
  esac
done
[ $# -eq 0 ] && exit 0
exec "$@"
"#;

/// No user is root there, so that scripts go by way of sudo even where the sandbox's owner is root.
const ID: &str = r#"[ "$*" = -u ] && { echo 1000; exit 0; }
PATH=/usr/bin:/bin exec id "$@"
"#;

const SYSTEMCTL: &str = r#"for word; do
  case $word in
    is-system-running) echo running; exit 0 ;;
    reboot | poweroff | halt | kexec | soft-reboot) exec "$root/bin/sandbox-reboot" "systemctl $*" ;;
  esac
done
tell "note systemctl $*"
"#;

const SHUTDOWN: &str = r#"exec "$root/bin/sandbox-reboot" "shutdown $*"
"#;

const REBOOT: &str = r#"exec "$root/bin/sandbox-reboot" "${0##*/} $*"
"#;

const MAKE: &str = r#"if [ -e "$root/etc/fault/deploy_fails" ]; then
  echo "make: *** [Makefile: $*] Error 1 (a fault of the sandbox)" >&2
  exit 2
fi
unset MAKEFLAGS MAKEFILES MFLAGS
folder=. want= other= target=
for word; do
  if [ -n "$want" ]; then folder=$word want=; continue; fi
  case $word in
    -C | --directory) want=folder ;;
    -C*) folder=${word#-C} ;;
    --directory=*) folder=${word#--directory=} ;;
    -f* | --file* | --makefile* | -I* | --include-dir* | --eval* | -E*) other=yes ;;
    SHELL=* | MAKE*=* | JOB=* | PID=* | DETACHED=* | ALIVE=*) other=yes ;;
    start | stop | restart | reload) target=$word ;;
  esac
done
path=$(cd "$folder" 2>/dev/null && pwd -P) || path=$PWD
job=${path##*/}
# What becomes of a job is told when it happened: this line may be read much later.
case $target in stop | restart) tell "job stopped $job $(date +%s%N)" ;; esac
done_well() {
  case $target in
    stop) rm -f "$root/etc/enabled/$job" ;;
    start | restart)
      printf '%s\n' "$path" >"$root/etc/enabled/$job"
      tell "job started $job $(date +%s%N)"
      ;;
  esac
}
for name in GNUmakefile makefile; do
  [ -e "$folder/$name" ] && other=yes
done
if [ -e "$root/etc/execute" ] ||
  { [ -z "$other" ] && [ "$(cat "$folder/Makefile" 2>/dev/null)" = "$(cat "$root/etc/Makefile")" ]; }; then
  "$make" "$@" || exit
  done_well
  exit 0
fi
# Answered as if it had run: the demo probe takes the job for running or stopped.
case $target in
  stop) rm -f "$root/run/$job.recorded" ;;
  start | restart | reload) : >"$root/run/$job.recorded" ;;
esac
done_well
tell "note not executed: make $*"
echo "sandbox: recorded, not executed: make $*"
"#;

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn root() -> (tempfile::TempDir, Root) {
        let folder = tempfile::Builder::new().prefix("it's a ").tempdir().unwrap();
        let root = Root::new(folder.path().join("root"));
        root.create(Path::new("/usr/bin/make"), false).unwrap();
        root.boot("one").unwrap();
        (folder, root)
    }

    fn run(root: &Root, script: &str) -> (i32, String) {
        let output = Command::new("/bin/sh")
            .args(["-c", script])
            .current_dir(root.path().join("home"))
            .env_clear()
            .envs(root.environment())
            .output()
            .unwrap();
        let text =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.code().unwrap(), text)
    }

    /// Keeps the FIFO open, so that those who tell do not wait for a reader.
    fn requests(root: &Root) -> std::fs::File {
        std::fs::OpenOptions::new().read(true).write(true).open(root.requests()).unwrap()
    }

    #[test]
    fn a_makefile_of_the_users_is_not_executed() {
        let (_folder, root) = root();
        let _open = requests(&root);
        let job = root.path().join("home/job");
        std::fs::create_dir(&job).unwrap();
        std::fs::write(job.join("Makefile"), "start:\n\ttouch EXECUTED\n").unwrap();
        for call in ["make -C job start", "cd job && make start", "sudo -n -E make -Cjob start"] {
            let (code, text) = run(&root, call);
            assert_eq!(code, 0, "{text}");
            assert!(text.contains("recorded, not executed"), "{text}");
        }
        assert!(!job.join("EXECUTED").exists());
        // It counts as running, until it is stopped.
        assert_eq!(run(&root, "demo-probe job").0, 0);
        assert_eq!(run(&root, "make -C job stop && demo-probe job").0, 1);
    }

    #[test]
    fn the_demo_job_starts_answers_and_stops() {
        let (_folder, root) = root();
        let _open = requests(&root);
        let job = root.path().join("home/api");
        std::fs::create_dir(&job).unwrap();
        std::fs::write(job.join("Makefile"), DEMO_MAKEFILE).unwrap();
        assert_eq!(run(&root, "demo-probe api").0, 1);
        assert_eq!(
            run(&root, "make -C api start && demo-probe api && make -C api restart && demo-probe api").0,
            0
        );
        root.set_flag(FaultKind::HealthNeverWell, Some(1)).unwrap();
        assert_eq!(run(&root, "demo-probe api").0, 1);
        root.set_flag(FaultKind::HealthNeverWell, None).unwrap();
        assert_eq!(run(&root, "make -C api status && make -C api stop").0, 0);
        assert_eq!(run(&root, "make -C api status").0, 2);
    }

    #[test]
    fn what_was_started_comes_back_with_a_boot_and_what_was_stopped_does_not() {
        let (_folder, root) = root();
        let mut told = requests(&root);
        for job in ["api", "db"] {
            let job = root.path().join("home").join(job);
            std::fs::create_dir(&job).unwrap();
            std::fs::write(job.join("Makefile"), DEMO_MAKEFILE).unwrap();
        }
        assert_eq!(run(&root, "make -C api start && make -C db start && cd db && make stop").0, 0);
        let mut lines = [0; 512];
        let length = std::io::Read::read(&mut told, &mut lines).unwrap();
        let lines = String::from_utf8_lossy(&lines[..length]).into_owned();
        let words: Vec<_> = lines.lines().map(|line| line.rsplit_once(' ').unwrap().0).collect();
        assert_eq!(words, ["job started api", "job started db", "job stopped db"]);
        run(&root, "make -C api stop && make -C api start");

        drop(told);
        assert_eq!(run(&root, "kill $(cat \"$MAAND_SANDBOX/run/api.pid\")").0, 0);
        root.boot("two").unwrap();
        let _open = requests(&root);
        assert_eq!(run(&root, "demo-probe api").0, 1);
        assert_eq!(run(&root, START_JOBS).0, 0);
        assert_eq!(run(&root, "demo-probe api").0, 0);
        assert_eq!(run(&root, "demo-probe db").0, 1);
        assert_eq!(run(&root, "make -C api stop").0, 0);
    }

    #[test]
    fn sudo_gives_nothing_and_may_want_a_password() {
        let (_folder, root) = root();
        assert_eq!(run(&root, "sudo -n -E sh -c 'echo here'"), (0, "here\n".into()));
        root.set_flag(FaultKind::SudoPassword, Some(1)).unwrap();
        let (code, text) = run(&root, "sudo -n true");
        assert_eq!((code, text.as_str()), (1, "sudo: a password is required\n"));
    }

    #[test]
    fn shutdown_is_the_stand_in() {
        let (_folder, root) = root();
        let mut open = requests(&root);
        assert_eq!(run(&root, "sudo shutdown -r now").0, 0);
        let mut line = [0; 128];
        let length = std::io::Read::read(&mut open, &mut line).unwrap();
        assert_eq!(&line[..length], b"command begins shutdown -r now\nreboot shutdown -r now\n");
    }
}
