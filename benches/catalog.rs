//! The build of 1,000 workers with 50 jobs each: the first one, and one that changes nothing.
#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use maand::bucket::{Bucket, Host};
use maand::catalog::{Builtin, Call, Catalog, Cuts};
use maand::ssh::{Cancel, ConnectError, Connection, HostProfile, Remote};

fn main() {
    divan::main();
}

/// A build contacts nobody.
struct Nobody;

impl Remote for Nobody {
    fn connect(&self, _: &Host, _: Instant, _: &Cancel) -> Result<Box<dyn Connection>, ConnectError> {
        Err(ConnectError::Cancelled)
    }

    fn profile(&self, host: &Host) -> HostProfile {
        HostProfile::real(Path::new("/opt/worker"), "bench", host, false)
    }
}

fn bucket(workers: usize, jobs: usize) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let put = |path: &str, text: &str| {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    put("maand.conf", "bucket_id = \"9b2f8a52-6f3c-4a43-9a38-1d8d8b1f0c11\"\n");
    let hosts: Vec<_> = (0..workers)
        .map(|n| format!("{{\"host\": \"10.{}.{}.1\", \"labels\": [\"app\"]}}", n / 256, n % 256))
        .collect();
    put("workspace/workers.json", &format!("[{}]", hosts.join(",")));
    for n in 0..jobs {
        put(
            &format!("workspace/jobs/job{n}/manifest.json"),
            "{\"selectors\": [\"app\"], \"resources\": {\"ports\": {\"http\": {}}}}",
        );
        put(&format!("workspace/jobs/job{n}/Makefile"), "start stop restart:\n\ttrue\n");
    }
    dir
}

fn build(dir: &Path) {
    let builtin = Builtin::new(Arc::new(Bucket::open(dir).unwrap()), Arc::new(Nobody));
    let call = Call {
        stopping: Cancel::new(),
        cancel: Cancel::new(),
        until: Instant::now() + Duration::from_secs(600),
        output: Arc::new(|_, _| {}),
        fence: None,
        cuts: Cuts::default(),
    };
    builtin.build(&call).unwrap();
}

#[divan::bench(sample_count = 5)]
fn first_build(bencher: divan::Bencher<'_, '_>) {
    bencher.with_inputs(|| bucket(1000, 50)).bench_refs(|dir| build(dir.path()));
}

#[divan::bench(sample_count = 5)]
fn build_without_a_change(bencher: divan::Bencher<'_, '_>) {
    let dir = bucket(1000, 50);
    build(dir.path());
    bencher.bench_local(|| build(dir.path()));
}
