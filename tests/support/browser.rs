//! A real browser for tests: Chromium without a window, driven by chromedriver over WebDriver.
//!
//! ```ignore
//! let Some(browser) = Browser::start() else { return };   // says why it skips; with CI=true it fails instead
//! browser.open("file:///tmp/run.html");
//! browser.wait_until("the list is there", "return document.querySelectorAll('li').length > 3");
//! browser.assert_quiet("http://127.0.0.1:8080/");         // no error, no violation, no request elsewhere
//! ```
//! Nothing leaves the machine: no name has an address but 127.0.0.1, and rebound.test, which points there, too. Everything ends with the [`Browser`], and also when
//! the test process is killed. Every command has a deadline. In one process one browser is at work at a time.

use std::future::Future;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::Method;
use base64ct::{Base64, Encoding};
use fantoccini::actions::{InputSource, KeyAction, KeyActions};
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::{PATIENCE, rustix_root};

/// A browser and its driver are heavy: one at a time in a process (nextest's group does the same between processes).
static ONE: Mutex<()> = Mutex::new(());

/// What each document does before its own scripts.
const WATCH: &str = "window.violations = []; document.addEventListener('securitypolicyviolation', \
    (event) => window.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`));";

const AXE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/axe/axe.min.js");

/// A browser with one window.
pub(crate) struct Browser {
    client: Client,
    runtime: Runtime,
    // In this order: the processes end before their folder goes and before the next browser may start.
    _driver: Driver,
    _one: MutexGuard<'static, ()>,
}

/// The driver's processes, in a group of their own and, as root, in a pid namespace, which takes the browser's along.
struct Driver {
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
}

/// Why there is no browser here, if so.
fn obstacle() -> Option<String> {
    let has = |tool: &str| {
        ["/usr/bin", "/bin", "/usr/local/bin"].iter().any(|at| Path::new(at).join(tool).exists())
    };
    let mut missing: Vec<_> =
        ["chromedriver", "setpriv", "unshare"].into_iter().filter(|tool| !has(tool)).collect();
    // The driver itself chooses the one that belongs to it.
    if !has("chromium") && !has("google-chrome") {
        missing.push("chromium");
    }
    (!missing.is_empty()).then(|| format!("not installed: {} (run tests/setup.sh)", missing.join(", ")))
}

impl Driver {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        if rustix_root() {
            command.args(["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        }
        // Not with `--allowed-ips`: with it the driver listens on every address and only then looks who asks.
        command.args(["chromedriver", "--port=0"]).env("HOME", folder.path()).env("TMPDIR", folder.path());
        command.env_remove("XDG_CONFIG_HOME").env_remove("XDG_CACHE_HOME");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut driver = Self { child: command.spawn().unwrap(), port: 0, folder };
        let stdout = driver.child.stdout.take().unwrap();
        let (said, lines) = std::sync::mpsc::channel();
        // Reads on to the end, so that the driver never waits for a reader.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = said.send(line);
            }
        });
        let end = Instant::now() + PATIENCE;
        while driver.port == 0 {
            let line = lines.recv_timeout(end.saturating_duration_since(Instant::now()));
            let line = line.expect("chromedriver says its port");
            let port = line.strip_prefix("ChromeDriver was started successfully on port ");
            driver.port = port.map_or(0, |port| port.trim_end_matches('.').parse().unwrap());
        }
        driver
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let group = Pid::from_raw(self.child.id().cast_signed()).unwrap();
        let _ = kill_process_group(group, Signal::KILL);
        let _ = self.child.wait();
    }
}

impl Browser {
    /// A browser with an empty page. `None` where none is installed, which is said; with `CI=true` it fails instead.
    #[track_caller]
    pub(crate) fn start() -> Option<Self> {
        if let Some(why) = obstacle() {
            super::skipped(&format!("a real browser: {why}"));
            return None;
        }
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let driver = Driver::start();
        let client = within(&runtime, "a session", async {
            let http = hyper_util::client::legacy::connect::HttpConnector::new();
            let Value::Object(capabilities) = capabilities(driver.folder.path()) else { unreachable!() };
            let url = format!("http://127.0.0.1:{}", driver.port);
            ClientBuilder::new(http).capabilities(capabilities).connect(&url).await.unwrap()
        });
        let browser = Self { client, runtime, _driver: driver, _one: one };
        browser.cdp("Page.addScriptToEvaluateOnNewDocument", json!({"source": WATCH}));
        browser.open("about:blank");
        // What the browser did at its start is not of the test.
        browser.log("browser");
        browser.log("performance");
        Some(browser)
    }

    /// The port of the driver, on loopback.
    pub(crate) fn driver_port(&self) -> u16 {
        self._driver.port
    }

    /// Goes to an address, and returns when its document is loaded.
    #[track_caller]
    pub(crate) fn open(&self, url: &str) {
        self.within(url, self.client.goto(url)).unwrap();
    }

    /// What a script returns, with `arguments`.
    #[track_caller]
    pub(crate) fn ask(&self, script: &str, arguments: &[Value]) -> Value {
        self.within(script, self.client.execute(script, arguments.to_vec())).unwrap()
    }

    /// What a script calls its last argument with, or what it is rejected with.
    #[track_caller]
    pub(crate) fn ask_later(&self, script: &str, arguments: &[Value]) -> Value {
        self.within(script, self.client.execute_async(script, arguments.to_vec())).unwrap()
    }

    /// Waits until a script returns something that is true.
    #[track_caller]
    pub(crate) fn wait_until(&self, what: &str, script: &str) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let value = self.ask(script, &[]);
            if value != Value::Null && value != Value::Bool(false) {
                return value;
            }
            assert!(
                Instant::now() < end,
                "timed out waiting for: {what}; the page says: {}",
                self.text("body")
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The text of an element as it is shown.
    #[track_caller]
    pub(crate) fn text(&self, css: &str) -> String {
        let text = async {
            loop {
                match self.client.find(Locator::Css(css)).await?.text().await {
                    Err(error) if error.is_stale_element_reference() => {}
                    text => return text,
                }
            }
        };
        self.within(css, text).unwrap()
    }

    /// Clicks on an element, which has to be visible and not covered.
    #[track_caller]
    pub(crate) fn click(&self, css: &str) {
        // A page that is served puts new elements in the place of old ones, also between the two commands.
        let click = async {
            loop {
                match self.client.find(Locator::Css(css)).await?.click().await {
                    Err(error) if error.is_stale_element_reference() => {}
                    clicked => return clicked,
                }
            }
        };
        self.within(css, click).unwrap();
    }

    /// Gives an element the focus.
    #[track_caller]
    pub(crate) fn focus(&self, css: &str) {
        self.ask("document.querySelector(arguments[0]).focus()", &[css.into()]);
    }

    /// Types at the element that has the focus.
    #[track_caller]
    pub(crate) fn types(&self, keys: &str) {
        for key in keys.chars() {
            let down_and_up = KeyActions::new("keyboard".to_owned())
                .then(KeyAction::Down { value: key })
                .then(KeyAction::Up { value: key });
            self.within("a key", self.client.perform_actions(down_and_up)).unwrap();
        }
    }

    /// A command of the browser's own protocol.
    #[track_caller]
    pub(crate) fn cdp(&self, command: &str, parameters: Value) -> Value {
        self.raw("goog/cdp/execute", json!({"cmd": command, "params": parameters}))
    }

    /// A window of another size; below 600 it is that of a telephone.
    pub(crate) fn size(&self, width: u32, height: u32) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.cdp("Emulation.setDeviceMetricsOverride", size);
    }

    /// The medium (`screen`, `print`) with features such as `("prefers-color-scheme", "dark")`.
    pub(crate) fn media(&self, medium: &str, features: &[(&str, &str)]) {
        let features: Vec<_> =
            features.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        self.cdp("Emulation.setEmulatedMedia", json!({"media": medium, "features": features}));
    }

    /// What was said since it was last asked for: of the console (with errors of loading and violations of the policy).
    #[track_caller]
    pub(crate) fn console(&self) -> Vec<String> {
        let line = |entry: &Value| format!("{} {}", entry["level"].as_str().unwrap(), entry["message"]);
        self.log("browser").iter().map(line).collect()
    }

    /// Every address that was asked for since it was last asked.
    #[track_caller]
    pub(crate) fn requests(&self) -> Vec<String> {
        let mut urls = Vec::new();
        for entry in self.log("performance") {
            let message: Value = serde_json::from_str(entry["message"].as_str().unwrap()).unwrap();
            let message = &message["message"];
            let url = match message["method"].as_str().unwrap() {
                "Network.requestWillBeSent" => &message["params"]["request"]["url"],
                "Network.webSocketCreated" => &message["params"]["url"],
                _ => continue,
            };
            urls.push(url.as_str().unwrap().to_owned());
        }
        urls
    }

    /// Nothing was said by the console, nothing broke the page's policy, and nothing was asked for but addresses that
    /// begin with `own`.
    #[track_caller]
    pub(crate) fn assert_quiet(&self, own: &str) {
        assert_eq!(self.console(), [] as [String; 0]);
        assert_eq!(self.ask("return window.violations", &[]), json!([]));
        let requests = self.requests();
        let others: Vec<_> = requests.iter().filter(|url| !url.starts_with(own)).collect();
        assert!(others.is_empty(), "{own}: {others:?}");
    }

    /// What axe-core finds, one line for each element: empty if nothing is wrong.
    #[track_caller]
    pub(crate) fn accessibility(&self) -> Vec<String> {
        if self.ask("return typeof window.axe", &[]) != "object" {
            let axe = std::fs::read_to_string(AXE).unwrap();
            // As the debugger does it: the page's policy forbids any other script.
            self.cdp("Runtime.evaluate", json!({"expression": axe, "silent": false}));
        }
        let found = self.ask_later(
            "const done = arguments[arguments.length - 1];
             const runOnly = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
             axe.run(document, {runOnly, resultTypes: ['violations']}).then(
               (result) => done({passes: result.passes.length, lines: result.violations.flatMap((of) => of.nodes.map(
                 (node) => `${of.id} (${of.impact}): ${node.target.join(' ')}: ${node.any.concat(node.all, node.none).map(
                   (check) => check.message).join('; ')} ${node.html.slice(0, 160)}`))}),
               (error) => done({passes: 0, lines: [String(error)]}))",
            &[],
        );
        assert!(found["passes"].as_u64().unwrap() > 0, "it has looked at nothing: {found}");
        serde_json::from_value(found["lines"].clone()).unwrap()
    }

    /// For how long the page's own thread was busy, after `Performance.enable`.
    #[track_caller]
    pub(crate) fn busy_ms(&self) -> f64 {
        let metrics = self.cdp("Performance.getMetrics", json!({}));
        let metrics = metrics["metrics"].as_array().unwrap();
        1000.0 * metrics.iter().find(|of| of["name"] == "TaskDuration").unwrap()["value"].as_f64().unwrap()
    }

    /// The page as it would be printed.
    pub(crate) fn pdf(&self) -> Vec<u8> {
        let printed = self.cdp("Page.printToPDF", json!({"printBackground": false}));
        Base64::decode_vec(printed["data"].as_str().unwrap()).unwrap()
    }

    fn log(&self, kind: &str) -> Vec<Value> {
        let Value::Array(entries) = self.raw("se/log", json!({"type": kind})) else { panic!("no list") };
        entries
    }

    #[track_caller]
    fn raw(&self, path: &'static str, body: Value) -> Value {
        self.within(path, self.client.issue_cmd(Raw { path, body })).unwrap()
    }

    #[track_caller]
    fn within<T>(&self, what: &str, future: impl Future<Output = T>) -> T {
        within(&self.runtime, what, future)
    }
}

impl Drop for Browser {
    /// Asks the browser to end, so that it ends in order; what is left then is killed.
    fn drop(&mut self) {
        let closed = self.client.clone().close();
        let _ = self.runtime.block_on(async { tokio::time::timeout(Duration::from_secs(5), closed).await });
    }
}

#[track_caller]
fn within<T>(runtime: &Runtime, what: &str, future: impl Future<Output = T>) -> T {
    let done = runtime.block_on(async { tokio::time::timeout(PATIENCE, future).await });
    done.unwrap_or_else(|_| panic!("timed out after {PATIENCE:?}: {what}"))
}

/// A command of this driver that is not of the standard.
#[derive(Debug)]
struct Raw {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Raw {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap(), self.path))
    }

    fn method_and_body(&self, _: &url::Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
}

fn capabilities(folder: &Path) -> Value {
    let profile = format!("--user-data-dir={}", folder.join("profile").display());
    let mut arguments = vec![
        "--headless=new",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-crash-reporter",
        "--disable-extensions",
        "--host-resolver-rules=MAP rebound.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        "--window-size=1280,900",
        &profile,
    ];
    // Chromium's own sandbox does not work as root.
    if rustix_root() {
        arguments.push("--no-sandbox");
    }
    json!({
        "browserName": "chrome",
        "unhandledPromptBehavior": "ignore",
        "timeouts": {"script": PATIENCE.as_millis() as u64, "pageLoad": PATIENCE.as_millis() as u64},
        "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        "goog:perfLoggingPrefs": {"enableNetwork": true, "enablePage": false},
        "goog:chromeOptions": {"args": arguments},
    })
}
