//! The plans of `examples/load-balancers`, with the real HAProxy and the real nginx: while workers are rebooted behind them,
//! requests come in without a pause. None fails, and none reaches a worker whose job is not up.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::run_bench::RunBench;
use crate::support::http::get;
use crate::support::{unpacked, wait_until};

/// What each worker serves, on one port of its own address: a request is answered after a moment, and noted where the job
/// is not up when it comes or when it is answered.
struct Services {
    port: u16,
    answered: Arc<Vec<AtomicUsize>>,
    wrong: Arc<Mutex<Vec<String>>>,
}

impl Services {
    fn start(bench: &Arc<RunBench>) -> Self {
        let count = bench.fleet.len();
        let listeners = (0..20).find_map(|_| {
            let first = TcpListener::bind((bench.host(0).as_str(), 0)).ok()?;
            let port = first.local_addr().ok()?.port();
            let others = (1..count).map(|i| TcpListener::bind((bench.host(i).as_str(), port)));
            std::iter::once(Ok(first)).chain(others).collect::<Result<Vec<_>, _>>().ok()
        });
        let listeners = listeners.expect("a port that is free on all");
        let port = listeners[0].local_addr().unwrap().port();
        let answered: Arc<Vec<AtomicUsize>> = Arc::new((0..count).map(|_| AtomicUsize::new(0)).collect());
        let wrong = Arc::new(Mutex::new(Vec::new()));
        for (i, listener) in listeners.into_iter().enumerate() {
            let (bench, answered, wrong) = (Arc::clone(bench), Arc::clone(&answered), Arc::clone(&wrong));
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let (bench, answered, wrong) =
                        (Arc::clone(&bench), Arc::clone(&answered), Arc::clone(&wrong));
                    std::thread::spawn(move || {
                        let began = bench.is_up(i);
                        if read_request(&stream).is_none() {
                            return;
                        }
                        std::thread::sleep(Duration::from_millis(20));
                        if !(began && bench.is_up(i)) {
                            wrong.lock().unwrap().push(format!("{} was asked, and is not up", bench.host(i)));
                        }
                        answered[i].fetch_add(1, Ordering::Relaxed);
                        let mut stream = stream;
                        let _ = stream.write_all(
                            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nup\n",
                        );
                    });
                }
            });
        }
        Self { port, answered, wrong }
    }
}

fn read_request(stream: &TcpStream) -> Option<()> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next()?.ok()?;
    lines.map_while(Result::ok).find(|line| line.is_empty())?;
    (!first.is_empty()).then_some(())
}

/// Requests without a pause, until it is asked what they came to.
struct Traffic {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<(usize, Vec<String>)>>,
}

impl Traffic {
    fn start(address: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let one = |_| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                let (mut count, mut failed) = (0, Vec::new());
                while !stop.load(Ordering::Relaxed) {
                    let answer = get(address, "/");
                    count += 1;
                    if answer.status != 200 {
                        failed.push(format!("{} {}", answer.status, answer.body));
                    }
                }
                (count, failed)
            })
        };
        Self { threads: (0..3).map(one).collect(), stop }
    }

    /// How many there were, and what was not answered well.
    fn end(self) -> (usize, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let ends: Vec<_> = self.threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        (ends.iter().map(|(count, _)| count).sum(), ends.into_iter().flat_map(|(_, failed)| failed).collect())
    }
}

/// A load balancer, until it is dropped.
struct Balancer {
    child: Child,
    address: SocketAddr,
    dir: tempfile::TempDir,
}

impl Balancer {
    fn start(program: &Path, arguments: &[&str], config: impl Fn(&Path, SocketAddr) -> String) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let address = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
        fs::write(dir.path().join("config"), config(dir.path(), address)).unwrap();
        let log = fs::File::create(dir.path().join("log")).unwrap();
        let mut command = Command::new(program);
        command.current_dir(dir.path()).args(arguments).stdin(Stdio::null());
        let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let mut started = Self { child, address, dir };
        wait_until("the load balancer listens", || {
            let said = || fs::read_to_string(started.dir.path().join("log")).unwrap_or_default();
            assert!(started.child.try_wait().unwrap().is_none(), "{}", said());
            TcpStream::connect(address).is_ok()
        });
        started
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        // Its own processes end with it; killed they would stay.
        let pid = rustix::process::Pid::from_raw(self.child.id().cast_signed()).unwrap();
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}

/// The example, without what takes long in a real fleet, in the bucket.
fn example(bench: &RunBench, name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/load-balancers").join(name);
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains("settle: 10s"), "{name}");
    bench.own_plan(&text.replace("settle: 10s", "settle: 0s"))
}

/// Applies the plan while requests come in.
fn roll(bench: &RunBench, services: &Services, balancer: &Balancer, path: &str, plan: &[&str]) {
    let boots = bench.boots();
    let traffic = Traffic::start(balancer.address);
    let output = bench.command(plan).env("PATH", path).output().unwrap();
    let (count, failed) = traffic.end();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    bench.assert_rebooted_once(&boots, "behind a load balancer");
    assert!(failed.is_empty(), "of {count} requests these failed: {failed:?}");
    let wrong = services.wrong.lock().unwrap();
    assert!(wrong.is_empty(), "{wrong:?}");
    let each: Vec<usize> = services.answered.iter().map(|count| count.load(Ordering::Relaxed)).collect();
    assert!(each.iter().all(|count| *count > 5), "all of them have a part: {each:?}");
    // And they are back: the next requests go to all.
    let before: Vec<usize> = each;
    wait_until("all answer again", || {
        let answer = get(balancer.address, "/");
        assert_eq!(answer.status, 200);
        let now = services.answered.iter().map(|count| count.load(Ordering::Relaxed));
        now.zip(&before).all(|(now, before)| now > *before)
    });
}

fn path_with(program: &Path) -> String {
    format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap_or_default())
}

#[test]
fn behind_haproxy_no_request_fails_and_none_reaches_a_worker_that_is_out() {
    let (Some(program), Some(_)) = (unpacked("haproxy", "haproxy"), unpacked("haproxy", "socat")) else {
        return;
    };
    let Some(bench) = RunBench::new(2).map(Arc::new) else { return };
    let services = Services::start(&bench);
    let servers: Vec<String> = (0..bench.fleet.len())
        .map(|i| format!("  server {0} {0}:{1}\n", bench.host(i), services.port))
        .collect();
    let balancer = Balancer::start(&program, &["-db", "-f", "config"], |dir, address| {
        format!(
            "global\n  stats socket {}/admin.sock mode 600 level admin\n\
             defaults\n  mode http\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n\
             frontend front\n  bind {address}\n  default_backend web\n\
             backend web\n  balance roundrobin\n{}",
            dir.display(),
            servers.concat()
        )
    });
    let plan = example(&bench, "haproxy.yaml");
    let at = format!("haproxies=UNIX-CONNECT:{}", balancer.path("admin.sock").display());
    let path = path_with(&program);
    roll(&bench, &services, &balancer, &path, &["plan", "apply", &plan, "--yes", "--set", &at]);
    // What HAProxy does not know, and a socket that is not there, fail in its own words, before the worker is touched.
    let boots = bench.boots();
    for (set, why) in [("backend=other", "No such"), ("haproxies=UNIX-CONNECT:/nowhere", "/nowhere")] {
        let arguments = ["plan", "apply", &plan, "--yes", "--set", &at, "--set", set];
        let output = bench.command(&arguments).env("PATH", &path).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && said.contains(why), "{set}: {said}");
        bench.expect(0, &["plan", "abort"]);
    }
    assert_eq!(bench.boots(), boots);
}

#[test]
fn behind_nginx_no_request_fails_and_none_reaches_a_worker_that_is_out() {
    let Some(program) = unpacked("nginx", "nginx") else { return };
    let Some(bench) = RunBench::new(2).map(Arc::new) else { return };
    let services = Services::start(&bench);
    let arguments = ["-p", ".", "-c", "config", "-e", "error.log"];
    let balancer = Balancer::start(&program, &arguments, |dir, address| {
        let root = dir.display();
        fs::create_dir_all(dir.join("upstream")).unwrap();
        fs::create_dir_all(dir.join("tmp")).unwrap();
        for i in 0..bench.fleet.len() {
            let host = bench.host(i);
            fs::write(
                dir.join(format!("upstream/{host}.conf")),
                format!("server {host}:{};\n", services.port),
            )
            .unwrap();
        }
        let temps: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|what| format!("{what}_temp_path {root}/tmp; "))
            .collect();
        // A request that failed is not sent once more: the test sees each.
        format!(
            "user root;\nworker_processes 1;\ndaemon off;\npid {root}/pid;\nerror_log {root}/error.log;\nevents {{}}\n\
             http {{\n  access_log off;\n  {temps}\n  upstream web {{ include {root}/upstream/*.conf; }}\n\
             \x20 server {{\n    listen {address};\n    location / {{ proxy_pass http://web; proxy_next_upstream off; }}\n  }}\n}}\n"
        )
    });
    let plan = example(&bench, "nginx.yaml");
    let root = balancer.dir.path().display().to_string();
    let sets = [
        format!("upstream={root}/upstream"),
        format!("port={}", services.port),
        format!("pid={root}/pid"),
        format!("nginx={} -p {root} -c config -e error.log", program.display()),
    ];
    let mut arguments = vec!["plan", "apply", &plan, "--yes"];
    for set in &sets {
        arguments.extend(["--set", set.as_str()]);
    }
    roll(&bench, &services, &balancer, &path_with(&program), &arguments);
}
