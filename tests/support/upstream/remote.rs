//! Workers over OpenSSH's client, whose host keys are not checked, and what runs there.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::{Bucket, Result, log, text};

/// `bin/runner.py` on a worker. On a host of the test fleet `python3` is a shell: python may be missing
/// on the machine that runs the tests.
pub(crate) const RUNNER: &str = r#"# runner.py BUCKET TARGET --jobs A,B
for job in $(echo "$4" | tr , ' '); do
  folder=/opt/worker/$1/jobs/$job
  [ -d "$folder" ] || continue
  make -s -C "$folder" "$2" && continue
  echo 'Traceback (most recent call last):' >&2
  echo '  File "runner.py", line 23, in run_job' >&2
  echo "subprocess.CalledProcessError: Command '['make', '-s', '-C', '$folder', '$2']' returned non-zero exit status 2." >&2
  exit 1
done
"#;

/// `bin/worker.py` on a worker: exit code 1, 2 or 3 says what does not agree.
pub(crate) const WORKER: &str = r#"# worker.py BUCKET WORKER UPDATE_SEQ
file=/opt/worker/$1/worker.json
[ -e "$file" ] || exit 2
grep -q "\"bucket_id\":\"$1\"" "$file" || exit 1
grep -q "\"worker_id\":\"$2\"" "$file" || exit 2
grep -q "\"update_seq\":$3[,}]" "$file" || exit 3
"#;

/// What rsync with `--delete` does to a worker's folder. What is not in the stream goes, but for a
/// job's own `data`, `logs` and `bin`.
const SYNC: &str = r#"set -e
mkdir -p "$D/jobs"; cd "$D"
rm -rf .incoming; mkdir .incoming
tar -xf - -C .incoming
for name in worker.json jobs.json bin; do
  if [ -e ".incoming/$name" ]; then rm -rf "$name"; mv ".incoming/$name" "$name"; fi
done
if [ -n "$JOB" ]; then
  mkdir -p "jobs/$JOB"
  for entry in "jobs/$JOB"/* "jobs/$JOB"/.[!.]*; do
    case ${entry##*/} in data|logs|bin) ;; *) rm -rf "$entry" ;; esac
  done
  if [ -d ".incoming/jobs/$JOB" ]; then cp -R ".incoming/jobs/$JOB/." "jobs/$JOB/"; fi
  rmdir "jobs/$JOB" 2>/dev/null || true
fi
rm -rf .incoming
"#;

/// How to reach workers: user and key from `maand.conf`.
pub(crate) struct Remote {
    user: String,
    key: String,
    port: String,
    sudo: bool,
    /// `ssh_port`, which `health_check` alone dials.
    pub(crate) health_port: u16,
}

impl Remote {
    pub(crate) fn new(bucket: &Bucket) -> Result<Self> {
        let conf =
            fs::read_to_string(bucket.path("maand.conf")).map_err(|error| text("maand.conf")(&error))?;
        let conf: toml::Table = conf.parse().map_err(|error: toml::de::Error| text("maand.conf")(&error))?;
        let word = |name: &str, otherwise: &str| {
            conf.get(name).and_then(toml::Value::as_str).unwrap_or(otherwise).to_owned()
        };
        let key = bucket.path("secrets").join(word("ssh_key", "worker.key"));
        let port = fs::read_to_string(bucket.path("stand-in/port"));
        let health = conf.get("ssh_port").and_then(toml::Value::as_integer).unwrap_or(22);
        Ok(Self {
            user: word("ssh_user", "agent"),
            key: key.display().to_string(),
            port: port.map_or_else(|_| "22".to_owned(), |port| port.trim().to_owned()),
            sudo: conf.get("use_sudo").and_then(toml::Value::as_bool).unwrap_or(true),
            health_port: u16::try_from(health).map_err(|error| text("ssh_port")(&error))?,
        })
    }

    /// Runs a script there, for this job if there is one, with `input` as its standard input. Its output
    /// comes on our standard error.
    pub(crate) fn run(&self, host: &str, job: &str, script: &str, input: &[u8]) -> Result<()> {
        let quoted = format!("'{}'", script.replace('\'', r"'\''"));
        let shell = if self.sudo { "sudo -n -E bash -c" } else { "bash -c" };
        let mut child = Command::new("ssh")
            .args(["-F", "/dev/null", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"])
            .args(["-o", "LogLevel=ERROR", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10"])
            .args(["-o", "IdentitiesOnly=yes", "-i", &self.key, "-p", &self.port])
            // The default is ten times as much work, on each of some hundred connections of a test.
            .args(["-o", "KexAlgorithms=curve25519-sha256"])
            .arg(format!("{}@{host}", self.user))
            .arg(format!("{shell} {quoted}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| text("ssh")(&error))?;
        std::thread::scope(|scope| {
            let (out, err) = (child.stdout.take(), child.stderr.take());
            scope.spawn(move || show(host, job, '|', out));
            scope.spawn(move || show(host, job, '!', err));
            if let Some(mut pipe) = child.stdin.take() {
                // A worker that has gone does not read it; the exit code says so.
                let _ = pipe.write_all(input);
            }
        });
        end(child)
    }

    /// Runs `bin/NAME.py` there.
    pub(crate) fn python(
        &self,
        host: &str,
        job: &str,
        bucket_id: &str,
        name: &str,
        arguments: &str,
        env: &str,
    ) -> Result<()> {
        let script = format!("{env} python3 /opt/worker/{bucket_id}/bin/{name}.py {bucket_id} {arguments}");
        self.run(host, job, &script, &[])
    }

    /// Brings what is in `tmp/workers/HOST` to the worker: the bucket's own files, and those of one job,
    /// which are none where its folder has gone meanwhile. Without the worker's own folder it fails.
    pub(crate) fn sync(&self, bucket: &Bucket, host: &str, bucket_id: &str, job: Option<&str>) -> Result<()> {
        let staged = bucket.path("tmp/workers").join(host);
        if !staged.is_dir() {
            let staged = staged.display();
            log::err(&tagged(
                host,
                job.unwrap_or_default(),
                '!',
                &format!("rsync: [sender] change_dir \"{staged}\" failed: No such file or directory (2)"),
            ));
            return Err("rsync failed: command execution failed (exit 23)".to_owned());
        }
        let mut tar = tar::Builder::new(Vec::new());
        let job_folder = job.map(|job| format!("jobs/{job}"));
        for name in ["worker.json", "jobs.json", "bin"].into_iter().chain(job_folder.as_deref()) {
            add(&mut tar, &staged.join(name), name).map_err(|error| text("sync")(&error))?;
        }
        let stream = tar.into_inner().map_err(|error| text("sync")(&error))?;
        let job = job.unwrap_or_default();
        let script = format!("D=/opt/worker/{bucket_id} JOB={job}\n{SYNC}");
        self.run(host, job, &script, &stream)?;
        for line in
            ["building file list ... done", "", "sent 611 bytes  received 15 bytes  1,252.00 bytes/sec"]
        {
            log::err(&tagged(host, job, '|', line));
        }
        log::err(&tagged(host, job, '|', &format!("total size is {}  speedup is 9.49", stream.len())));
        Ok(())
    }
}

/// A line of output as upstream shows it.
fn tagged(host: &str, job: &str, stream: char, line: &str) -> String {
    if job.is_empty() { format!("{host} {stream} {line}") } else { format!("{job}@{host} {stream} {line}") }
}

fn add(tar: &mut tar::Builder<Vec<u8>>, path: &Path, name: &str) -> std::io::Result<()> {
    let added =
        if path.is_dir() { tar.append_dir_all(name, path) } else { tar.append_path_with_name(path, name) };
    match added {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn show(host: &str, job: &str, mark: char, stream: Option<impl Read>) {
    let Some(stream) = stream else { return };
    for line in BufReader::new(stream).lines() {
        let Ok(line) = line else { break };
        log::err(&tagged(host, job, mark, &line));
    }
}

fn end(mut child: Child) -> Result<()> {
    let status = child.wait().map_err(|error| text("ssh")(&error))?;
    match status.code() {
        Some(0) => Ok(()),
        code => Err(format!("command execution failed (exit {})", code.unwrap_or(-1))),
    }
}

/// Does it for each of them side by side; the errors name the workers.
pub(crate) fn each(hosts: &[String], work: impl Fn(&str) -> Result<()> + Sync) -> Result<()> {
    let work = &work;
    let errors: Vec<String> = std::thread::scope(|scope| {
        let all: Vec<_> = hosts.iter().map(|host| (host, scope.spawn(move || work(host)))).collect();
        all.into_iter()
            .filter_map(|(host, thread)| match thread.join() {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(format!("worker {host}: {error}")),
                Err(_) => Some(format!("worker {host}: panicked")),
            })
            .collect()
    });
    if errors.is_empty() { Ok(()) } else { Err(errors.join("\n")) }
}
