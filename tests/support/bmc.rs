//! BMCs: the emulator of sushy-tools, which others wrote, behind TLS and a password; and one that says what a test lets it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::{Fleet, skipped, wait_until};

/// Who may ask an emulator, and the line of its file of users: the hash is bcrypt's.
pub(crate) const USER: &str = "maand";
pub(crate) const PASSWORD: &str = "s3cret of the bmc";
const USERS: &str = "maand:$2b$04$1HKiToUMm7Nxjd6D9KmhHOdhsMJcS2CJTI5DA4Bi7y3nTL6Y.swBi\n";
/// The name in the certificate of an emulator, beside its address.
pub(crate) const NAME: &str = "idrac-x1";

/// What a server that a test has written answers.
pub(crate) enum Reply {
    /// A status and a document.
    Json(u16, Value),
    /// These bytes, and the end of the connection.
    Raw(String),
    /// Nothing, until the test is over.
    Hang,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
    pub(crate) body: String,
}

/// A plain server on a loopback address.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    over: Arc<AtomicBool>,
}

impl Server {
    pub(crate) fn start(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, over) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (answer, book, end) = (Arc::new(answer), Arc::clone(&asked), Arc::clone(&over));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if end.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let (answer, book, end) = (Arc::clone(&answer), Arc::clone(&book), Arc::clone(&end));
                std::thread::spawn(move || serve(stream, &*answer, &book, &end));
            }
        });
        Self { address, asked, over }
    }

    /// Requests so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// How often it was told something, as resets are.
    pub(crate) fn told(&self) -> usize {
        self.asked().iter().filter(|asked| asked.method != "GET").count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(
    mut stream: TcpStream,
    answer: &dyn Fn(&Asked) -> Reply,
    book: &Mutex<Vec<Asked>>,
    over: &AtomicBool,
) {
    let Some(asked) = read(&stream) else { return };
    book.lock().unwrap().push(asked.clone());
    let bytes = match answer(&asked) {
        Reply::Json(status, document) => {
            let body = document.to_string();
            let length = body.len();
            format!(
                "HTTP/1.1 {status} x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            )
        }
        Reply::Raw(text) => text,
        Reply::Hang => {
            while !over.load(Ordering::Relaxed) {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            return;
        }
    };
    let _ = stream.write_all(bytes.as_bytes());
}

fn read(stream: &TcpStream) -> Option<Asked> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let (mut length, mut authorization) = (0, None);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        match name.to_lowercase().as_str() {
            "content-length" => length = value.trim().parse().ok()?,
            "authorization" => authorization = Some(value.trim().to_owned()),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Asked { method, path, authorization, body: String::from_utf8_lossy(&body).into_owned() })
}

/// What a well-behaved BMC of one system says at these paths; `None`: nothing is there.
pub(crate) fn redfish(path: &str, power: &str, entries: &Value) -> Option<Value> {
    let system = "/redfish/v1/Systems/1";
    let link = |to: &str| json!({"@odata.id": to});
    Some(match path {
        "/redfish/v1/Systems" => json!({"Members": [link(system)]}),
        "/redfish/v1/Systems/1" => json!({
            "PowerState": power,
            "Status": {"State": "Enabled", "Health": "Critical"},
            "LastResetTime": "2026-11-30T01:00:00Z",
            "LogServices": link("/redfish/v1/Systems/1/LogServices"),
            "Actions": {"#ComputerSystem.Reset": {
                "target": "/redfish/v1/Systems/1/Actions/ComputerSystem.Reset",
                "ResetType@Redfish.AllowableValues": ["On", "ForceOff", "ForceRestart"]
            }}
        }),
        "/redfish/v1/Systems/1/LogServices" => json!({"Members": [
            link("/redfish/v1/Systems/1/LogServices/Audit"), link("/redfish/v1/Systems/1/LogServices/Sel")
        ]}),
        "/redfish/v1/Systems/1/LogServices/Sel" => {
            json!({"Entries": link("/redfish/v1/Systems/1/LogServices/Sel/Entries")})
        }
        "/redfish/v1/Systems/1/LogServices/Sel/Entries" => json!({"Members": entries}),
        _ => return None,
    })
}

/// sushy-emulator with its driver of computers that are none.
pub(crate) struct Emulator {
    child: Child,
    pub(crate) address: SocketAddr,
    dir: tempfile::TempDir,
}

impl Emulator {
    /// With one system that has this state of power; `hears` is told of each change that is ordered, and what it answers is
    /// waited for. `None` where it is not installed.
    #[track_caller]
    pub(crate) fn start(power: &str, hears: Option<&Server>) -> Option<Self> {
        Self::of("u1", power, hears)
    }

    /// The same of a machine that has this UUID.
    #[track_caller]
    pub(crate) fn of(uuid: &str, power: &str, hears: Option<&Server>) -> Option<Self> {
        let program = installed()?;
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let certificate = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "30",
                "-subj",
                &format!("/CN={NAME}"),
            ])
            .args([
                "-addext",
                &format!("subjectAltName=DNS:{NAME}"),
                "-keyout",
                &path("key"),
                "-out",
                &path("certificate"),
            ])
            .output()
            .unwrap();
        assert!(certificate.status.success(), "{}", String::from_utf8_lossy(&certificate.stderr));
        fs::write(path("users"), USERS).unwrap();
        let address = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
        let (notifies, to) = match hears {
            Some(server) => ("True", format!("http://{}/", server.address)),
            None => ("False", String::new()),
        };
        let config = format!(
            "SUSHY_EMULATOR_LISTEN_IP = '{}'\nSUSHY_EMULATOR_LISTEN_PORT = {}\nSUSHY_EMULATOR_SSL_CERT = '{}'\n\
             SUSHY_EMULATOR_SSL_KEY = '{}'\nSUSHY_EMULATOR_AUTH_FILE = '{}'\nSUSHY_EMULATOR_STATE_DIR = '{}'\n\
             EXTERNAL_NOTIFICATION_URL = '{to}'\nSUSHY_EMULATOR_FAKE_SYSTEMS = [{{'uuid': '{uuid}', 'name': 'w1', \
             'power_state': '{power}', 'external_notifier': {notifies}, 'nics': []}}]\n",
            address.ip(),
            address.port(),
            path("certificate"),
            path("key"),
            path("users"),
            dir.path().display(),
        );
        fs::write(path("config.py"), config).unwrap();
        let log = fs::File::create(path("log")).unwrap();
        let child = Command::new(program)
            .args(["--fake", "--config", &path("config.py")])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut emulator = Self { child, address, dir };
        wait_until("the emulator listens", || {
            assert!(emulator.child.try_wait().unwrap().is_none(), "{}", emulator.log());
            TcpStream::connect(address).is_ok()
        });
        Some(emulator)
    }

    /// Its certificate, which it has signed itself.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.dir.path().join("certificate")
    }

    /// What it was asked, a line for each request that it has answered.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[track_caller]
fn installed() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("sushy-tools/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::iter::once(beside).chain(std::env::split_paths(&path));
    let found = found.map(|folder| folder.join("sushy-emulator")).find(|program| program.is_file());
    if found.is_none() {
        skipped("no sushy-emulator: tests/setup.sh installs it");
    }
    found
}

/// Lets the kernel of a host tell these numbers of its machine, until it is rebooted.
pub(crate) fn tell_numbers(fleet: &Fleet, i: usize, numbers: &[(&str, &str)]) {
    let sys = fleet.disk(i).join("sys");
    let folder = sys.join("class/dmi/id");
    fs::create_dir_all(&folder).unwrap();
    for (name, number) in numbers {
        fs::write(folder.join(name), format!("{number}\n")).unwrap();
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o400)).unwrap();
    }
    let pid = fleet.pid(i).expect("it is up").to_string();
    let mounted =
        Command::new("nsenter").args(["-t", &pid, "-m", "mount", "--bind"]).arg(&sys).arg("/sys").status();
    assert!(mounted.unwrap().success());
}

/// Lets a bucket ask BMCs: more lines of `maand.conf`, the address of the BMC of its first worker, and its password.
pub(crate) fn name_bmc(bucket: &Path, host: &str, address: &str, conf: &str) {
    let file = bucket.join("maand.conf");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{text}power = \"redfish\"\nbmc_credentials = \"bmc\"\n{conf}")).unwrap();
    let secret = bucket.join("secrets/bmc");
    fs::write(&secret, format!("* {USER} {PASSWORD}\n")).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    tag_bmc(bucket, host, address);
}

/// The address of the BMC of this worker.
pub(crate) fn tag_bmc(bucket: &Path, host: &str, address: &str) {
    let file = bucket.join("workspace/workers.json");
    let mut workers: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    for worker in workers.as_array_mut().unwrap() {
        if worker["host"] == host {
            worker["tags"] = json!({"bmc": address});
        }
    }
    fs::write(&file, workers.to_string()).unwrap();
}
