//! A real Chromium for tests of pages, driven over WebDriver.
//!
//! A test starts with `let Some(browser) = Browser::start().await else { return };`: on a machine without Chromium it is
//! skipped with a message, unless the environment's `TRACELAB_REQUIRE` names `browser`; then it fails.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the reason, which is what a test is for")]
#![allow(dead_code, reason = "each test file that includes this uses a part of it")]

#[path = "required.rs"]
mod required;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use fantoccini::elements::Element;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use required::required;
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long a condition may take to come true: much, because a loaded machine is slow, and nothing when it is true at once.
const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);

pub struct Browser {
    client: Client,
    // Dropped in this order: the driver ends the browser, then its profile can go.
    _driver: Driver,
    _profile: TempDir,
}

impl Browser {
    /// A browser with an empty profile, or `None` where this machine has none.
    pub async fn start() -> Option<Self> {
        Self::start_with(&[]).await
    }

    /// The same, with these flags beside the ones that all need.
    pub async fn start_with(more: &[&str]) -> Option<Self> {
        let (Some(chromium), Some(chromedriver)) =
            (in_path(&["chromium", "chromium-browser", "google-chrome"]), in_path(&["chromedriver"]))
        else {
            assert!(!required("browser"), "TRACELAB_REQUIRE names browser, but chromium or chromedriver is not in PATH");
            eprintln!("skipped: this test needs chromium and chromedriver (Debian: apt-get install chromium chromium-driver)");
            return None;
        };
        let profile = tempfile::tempdir().unwrap();
        let driver = Driver::start(&chromedriver);
        let mut flags = vec![format!("--user-data-dir={}", profile.path().display())];
        flags.extend(
            [
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--lang=en-US",
                "--window-size=1280,900",
            ]
            .map(str::to_owned),
        );
        flags.extend(more.iter().map(|&flag| flag.to_owned()));
        let capabilities = json!({
            "goog:chromeOptions": {"binary": chromium, "args": flags},
            "goog:loggingPrefs": {"browser": "ALL"},
        });
        let Value::Object(capabilities) = capabilities else { unreachable!("it is written as an object above") };
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{}", driver.port))
            .await
            .expect("chromedriver starts chromium");
        Some(Self { client, _driver: driver, _profile: profile })
    }

    pub async fn goto(&self, url: &str) {
        self.client.goto(url).await.unwrap();
    }

    pub async fn back(&self) {
        self.client.back().await.unwrap();
    }

    pub async fn url(&self) -> String {
        self.client.current_url().await.unwrap().into()
    }

    /// The first element that matches, as soon as there is one.
    pub async fn find(&self, css: &str) -> Element {
        match self.client.wait().at_most(PATIENCE).every(POLL).for_element(Locator::Css(css)).await {
            Ok(element) => element,
            Err(error) => panic!("no element {css} on {}: {error}\n{}", self.url().await, self.body().await),
        }
    }

    pub async fn count(&self, css: &str) -> usize {
        self.client.find_all(Locator::Css(css)).await.unwrap().len()
    }

    pub async fn text(&self, css: &str) -> String {
        self.find(css).await.text().await.unwrap()
    }

    pub async fn click(&self, css: &str) {
        self.find(css).await.click().await.unwrap();
    }

    /// Types into a field after emptying it; special keys are characters too (`fantoccini::key::Key`).
    pub async fn fill(&self, css: &str, text: &str) {
        let field = self.find(css).await;
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    pub async fn press(&self, key: char) {
        let focused = self.client.active_element().await.unwrap();
        focused.send_keys(&key.to_string()).await.unwrap();
    }

    pub async fn select(&self, css: &str, value: &str) {
        self.find(css).await.select_by_value(value).await.unwrap();
    }

    /// The value of a JavaScript expression in the page.
    pub async fn eval(&self, expression: &str) -> Value {
        self.client.execute(&format!("return ({expression});"), Vec::new()).await.unwrap()
    }

    /// Waits until a JavaScript expression is true in the page.
    pub async fn until(&self, expression: &str) {
        let start = Instant::now();
        while self.eval(&format!("Boolean({expression})")).await != Value::Bool(true) {
            assert!(start.elapsed() < PATIENCE, "never true on {}: {expression}\n{}", self.url().await, self.body().await);
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until the first element that matches contains the text; as in [`Browser::text`], every space counts as one.
    pub async fn until_text(&self, css: &str, text: &str) {
        let shown = format!("document.querySelector({})?.innerText.replaceAll('\\u00a0', ' ')", json!(css));
        self.until(&format!("{shown}.includes({})", json!(text))).await;
    }

    /// Makes the page see this color scheme (`light` or `dark`) and this width.
    pub async fn emulate(&self, scheme: &str, width: u32) {
        self.emulate_screen(scheme, width, 900).await;
    }

    /// The same, and this height.
    pub async fn emulate_screen(&self, scheme: &str, width: u32, height: u32) {
        self.emulate_scheme(scheme).await;
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    pub async fn screenshot(&self) -> Vec<u8> {
        self.client.screenshot().await.unwrap()
    }

    /// Errors since the last time of asking: uncaught exceptions, refused by the content security policy, failed requests.
    pub async fn console_errors(&self) -> Vec<String> {
        let entries = self.issue("se/log", json!({"type": "browser"})).await;
        let entries = entries.as_array().cloned().unwrap_or_default();
        entries.iter().filter(|entry| entry["level"] == "SEVERE").map(|entry| entry["message"].to_string()).collect()
    }

    /// What this page asked of any host but its own.
    pub async fn foreign_requests(&self) -> Vec<String> {
        let names = "performance.getEntries().map((entry) => entry.name).filter((name) => /^[a-z]+:\\/\\//.test(name)";
        let found = self.eval(&format!("{names} && new URL(name).host !== location.host)")).await;
        serde_json::from_value(found).unwrap()
    }

    /// No page of ours may end in an error, or ask anything of another host.
    pub async fn assert_clean(&self) {
        assert_eq!(self.console_errors().await, Vec::<String>::new(), "console errors on {}", self.url().await);
        assert_eq!(self.foreign_requests().await, Vec::<String>::new(), "requests to other hosts on {}", self.url().await);
    }

    /// That nothing in this page keeps anybody from using it, as far as axe-core can tell, in light and in dark: nothing that it calls
    /// serious or critical. Where axe-core is not (`.ci/axe` puts it there, `TRACELAB_AXE` says where else), this is skipped with a
    /// message, unless `TRACELAB_REQUIRE` names `axe`.
    pub async fn assert_accessible(&self) {
        let Some(axe) = axe() else { return };
        for scheme in ["light", "dark"] {
            self.emulate_scheme(scheme).await;
            self.client.execute(&axe, Vec::new()).await.unwrap();
            let run = "const done = arguments[arguments.length - 1];
                axe.run(document, { resultTypes: ['violations'] }).then(
                    ({ violations }) => done(violations.filter(({ impact }) => impact === 'serious' || impact === 'critical')
                        .flatMap(({ id, help, nodes }) => nodes.map(({ target, any, all, none }) =>
                            `${id} (${help}) ${target.join(' ')}: ${[...any, ...all, ...none].map(({ message }) => message).join('; ')}`))),
                    (error) => done([String(error)]));";
            let found = self.client.execute_async(run, Vec::new()).await.unwrap();
            let found: Vec<String> = serde_json::from_value(found).unwrap();
            assert!(found.is_empty(), "{} in {scheme}:\n{}", self.url().await, found.join("\n"));
        }
    }

    async fn emulate_scheme(&self, scheme: &str) {
        self.devtools("Emulation.setEmulatedMedia", json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]})).await;
    }

    /// A command of the browser's own protocol, for what WebDriver does not know.
    pub async fn devtools(&self, command: &str, parameters: Value) {
        self.issue("goog/cdp/execute", json!({"cmd": command, "params": parameters})).await;
    }

    /// Has requests fail whose address is like this, `*` being anything, as if nobody answered; all before may pass again.
    pub async fn lose(&self, pattern: &str) {
        self.devtools("Network.enable", json!({})).await;
        self.devtools("Network.setBlockedURLs", json!({"urls": [pattern]})).await;
    }

    async fn issue(&self, path: &'static str, body: Value) -> Value {
        self.client.issue_cmd(DriverCommand { path, body }).await.unwrap()
    }

    async fn body(&self) -> String {
        self.eval("document.body.innerText").await.as_str().unwrap_or_default().to_owned()
    }
}

/// What chromedriver can do beyond WebDriver: a path below the session, and a body.
#[derive(Debug)]
struct DriverCommand {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for DriverCommand {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(self.body.to_string()))
    }
}

struct Driver {
    process: Child,
    port: u16,
    // Kept open: a driver that cannot write its log would end.
    output: BufReader<ChildStdout>,
}

impl Driver {
    /// Starts chromedriver on a port of its choice. It looks for a free one and then takes it, and may be too late for that.
    fn start(program: &Path) -> Self {
        let tries = || (0..5).find_map(|_| Self::try_start(program));
        tries().expect("chromedriver ended before it said its port, five times")
    }

    fn try_start(program: &Path) -> Option<Self> {
        let mut process = Command::new(program).arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let mut driver = Self { process, port: 0, output };
        let mut line = String::new();
        while driver.output.read_line(&mut line).unwrap() > 0 {
            if let Some((_, port)) = line.split_once("successfully on port ") {
                driver.port = port.trim().trim_end_matches('.').parse().unwrap();
                return Some(driver);
            }
            line.clear();
        }
        None
    }

    /// Asks for an orderly end, which ends the browser too: killed, the driver would leave it running.
    fn shut_down(&self) -> std::io::Result<()> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(stream, "GET /shutdown HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\n\r\n", self.port)?;
        stream.read_to_end(&mut Vec::new()).map(drop)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.shut_down();
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// axe-core's source, or `None` where this machine has none.
fn axe() -> Option<String> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(|| Some(std::env::home_dir()?.join(".cache")));
    let stored = cache.map(|cache| cache.join("tracelab-axe/axe.min.js"));
    let source = std::env::var_os("TRACELAB_AXE").map(PathBuf::from).or(stored).and_then(|path| std::fs::read_to_string(path).ok());
    if source.is_none() {
        assert!(!required("axe"), "TRACELAB_REQUIRE names axe, but axe-core is neither at TRACELAB_AXE nor where .ci/axe puts it");
        eprintln!("skipped: whether everybody can use this page takes axe-core (.ci/axe fetches it)");
    }
    source
}

fn in_path(names: &[&str]) -> Option<PathBuf> {
    let folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH")?).collect();
    names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name))).find(|path| path.is_file())
}
