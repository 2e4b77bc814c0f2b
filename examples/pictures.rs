//! Makes the pictures of README and tutorial: each page of the sandbox in light and dark, and some on a phone.
//! `cargo run --release --example pictures`, or with `-- chapter-4` those of one scene.
//!
//! A sandbox with a seed of its own stands behind each scene, so that the names in a picture stay the same from time to time; times
//! do not. What a text says of its picture is looked up before the picture is made: where it would not be true, nothing is written.

// It ends with what is wrong, as a test does.
#![allow(clippy::unwrap_used, reason = "a page that is not as expected has no picture")]

#[path = "../tests/support/browser.rs"]
mod browser;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use browser::Browser;
use serde_json::{Value, json};
use tracelab::config::Config;
use tracelab::frontend::Pick;
use tracelab::load::{self, Plan, Report};
use tracelab::mystery::{Cause, draw};
use tracelab::outbound;
use tracelab::sandbox::Sandbox;
use tracelab::server::Stop;
use tracelab::topology::{Route, ServiceName, Topology};

const SCENES: [&str; 3] = ["readme", "chapter-4", "chapter-7"];
/// Without a screen there is no mouse either, and pages would show what they show to fingers.
const MOUSE: &str = "--blink-settings=primaryHoverType=2,availableHoverTypes=2,primaryPointerType=4,availablePointerTypes=4";
const MOST_BYTES: usize = 300_000;
const SEARCH: &str = "/search?lookback=1h&sort=longest&limit=1000";
const WIDTH: u32 = 1280;
const PHONE: u32 = 360;
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);
/// A page at which nothing has changed for a while is drawn; some never come to rest.
const STILL: &str = "new Promise((done) => {
  setTimeout(done, 5000);
  let timer = setTimeout(done, 700);
  const again = () => { clearTimeout(timer); timer = setTimeout(done, 700); };
  new MutationObserver(again).observe(document.body, { subtree: true, childList: true, attributes: true, characterData: true });
})";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let only = std::env::args().nth(1);
    ensure!(
        only.as_deref().is_none_or(|scene| SCENES.contains(&scene)) && std::env::args().len() <= 2,
        "it takes no argument, or one of {}",
        SCENES.join(", ")
    );
    let wanted = |scene: &str| only.as_deref().is_none_or(|only| only == scene);
    let Some(browser) = Browser::start_with(&[MOUSE]).await else {
        bail!("the pictures are taken of chromium, by chromedriver; see above")
    };
    browser.devtools("Emulation.setScrollbarsHidden", json!({"hidden": true})).await;
    browser.devtools("Emulation.setTimezoneOverride", json!({"timezoneId": "UTC"})).await;
    let studio = Studio { browser, root: PathBuf::from(env!("CARGO_MANIFEST_DIR")) };
    if wanted("readme") {
        studio.readme().await?;
    }
    if wanted("chapter-4") {
        studio.chapter_4().await?;
    }
    if wanted("chapter-7") {
        studio.chapter_7().await?;
    }
    Ok(())
}

/// The browser, and where its pictures go.
struct Studio {
    browser: Browser,
    root: PathBuf,
}

impl Studio {
    /// README's: every page, with one service that sleeps.
    async fn readme(&self) -> anyhow::Result<()> {
        let stage = Stage::start(Cause::Sleep, Route::Straight, 32).await?;
        let browser = &self.browser;
        browser.emulate_screen("light", WIDTH, 900).await;
        browser.goto(&stage.frontend).await;
        browser.find("body[data-ready=true]").await;
        let slow = stage.culprit.number;
        for button in [3, 22, slow, 8] {
            browser.click(&format!("#buttons [data-button='{button}']")).await;
            browser.find(&format!("#last-calls [data-button='{button}'] .trace[data-state=ready]")).await;
        }
        // So slowly that nobody waits for anybody else, on a busy machine too.
        for (field, number) in [("calls", "2000"), ("concurrency", "20"), ("rate", "150")] {
            browser.fill(&format!("#run-{field}"), number).await;
        }
        browser.click("#run-start").await;
        self.until("document.querySelector('#run').dataset.running !== 'true'").await?;
        self.until("document.querySelector('#run-slowest .trace[data-state=ready]')").await?;
        self.until("document.querySelector('#map:not([hidden]) svg .node')").await?;
        browser.eval("(document.activeElement.blur(), 1)").await;
        self.in_both_schemes("sandbox", WIDTH, 1000).await?;
        self.shoot("sandbox-phone", "light", PHONE, 780).await?;
        for (part, height) in [("run", 1000), ("map", 900)] {
            browser.emulate_screen("light", WIDTH, height).await;
            browser.eval(&format!("(document.querySelector('#{part}').scrollIntoView(), 1)")).await;
            self.in_both_schemes(part, WIDTH, height).await?;
        }

        self.open(&stage, SEARCH, ".result").await?;
        self.in_both_schemes("search", WIDTH, 900).await?;
        browser.emulate_screen("light", PHONE, 780).await;
        self.open(&stage, SEARCH, ".result").await?;
        self.shoot("search-phone", "light", PHONE, 780).await?;
        browser.emulate_screen("light", WIDTH, 900).await;
        self.open(&stage, "/dependencies", ".node").await?;
        self.in_both_schemes("graph", WIDTH, 940).await?;
        self.open(&stage, "/suspects", "#suspects h2").await?;
        self.until(&format!("document.querySelector('#suspects').innerText.includes('{}')", stage.culprit)).await?;
        self.in_both_schemes("suspects", WIDTH, 900).await?;
        let before = trace_of(&stage.load(&[slow], 5).await?)?;
        self.open(&stage, &format!("/trace/{before}"), ".span").await?;
        self.in_both_schemes("trace", WIDTH, 720).await?;
        // The same press before and after the culprit was mended.
        stage.mend().await?;
        let after = trace_of(&stage.load(&[slow], 5).await?)?;
        self.open(&stage, &format!("/trace/{before}...{after}"), "#compare table").await?;
        self.in_both_schemes("compare", WIDTH, 900).await?;
        stage.sandbox.stop().await;
        Ok(())
    }

    /// The trace of a slow press, with all of its time in one service.
    async fn chapter_4(&self) -> anyhow::Result<()> {
        let stage = Stage::start(Cause::Sleep, Route::Straight, 32).await?;
        let report = stage.load(&[], 30).await?;
        let slowest = &report.slowest[0];
        ensure!(slowest.button == stage.culprit.number, "this machine is too busy to have one slow button: {:?}", report.slowest);
        self.open(&stage, &format!("/trace/{}", trace_of(&report)?), ".span").await?;
        let first = self.browser.text(".shares li:first-child").await;
        let nearly_all = (95..100).any(|share| first.contains(&format!("· {share}")));
        ensure!(first.starts_with(&stage.culprit.to_string()) && nearly_all, "most self time is {first}, not {}'s", stage.culprit);
        self.shoot_to("tutorial/04-hidden-sleep/trace.png", "light", WIDTH, 720).await?;
        stage.sandbox.stop().await;
        Ok(())
    }

    /// What the bad presses have in common: the service that spoils them.
    async fn chapter_7(&self) -> anyhow::Result<()> {
        let stage = Stage::start(Cause::Upstream, Route::Random, 4).await?;
        let report = stage.load(&[], 3000).await?;
        ensure!(report.errors == 0, "chapter 7 shows presses that are slow, and {} failed", report.errors);
        let half = report.slowest[0].latency_ms / 2.0;
        self.open(&stage, &format!("/search?lookback=1h&sort=longest&limit=20&minDuration={half:.0}ms"), ".result").await?;
        self.browser.emulate_screen("light", WIDTH, 1000).await;
        let shown = self
            .browser
            .eval("[...document.querySelectorAll('.result')].filter((result) => result.getBoundingClientRect().bottom < innerHeight).map((result) => result.innerText)")
            .await;
        let shown: Vec<String> = serde_json::from_value(shown)?;
        let spoilt = shown.iter().filter(|result| result.contains(&stage.culprit.to_string())).count();
        ensure!(
            shown.len() >= 4 && spoilt + 1 >= shown.len(),
            "{} is in {spoilt} of {} results: {shown:?}",
            stage.culprit,
            shown.len()
        );
        self.shoot_to("tutorial/07-failures/search.png", "light", WIDTH, 1000).await?;
        stage.sandbox.stop().await;
        Ok(())
    }

    async fn open(&self, stage: &Stage, path: &str, shown: &str) -> anyhow::Result<()> {
        self.browser.goto(&format!("{}{path}", stage.jaeger)).await;
        self.until(&format!("document.querySelector({})", json!(shown))).await
    }

    async fn until(&self, condition: &str) -> anyhow::Result<()> {
        let start = Instant::now();
        while self.browser.eval(&format!("Boolean({condition})")).await != Value::Bool(true) {
            ensure!(start.elapsed() < PATIENCE, "never true on {}: {condition}", self.browser.url().await);
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    async fn in_both_schemes(&self, name: &str, width: u32, height: u32) -> anyhow::Result<()> {
        for scheme in ["light", "dark"] {
            self.shoot(&format!("{name}-{scheme}"), scheme, width, height).await?;
        }
        Ok(())
    }

    async fn shoot(&self, name: &str, scheme: &str, width: u32, height: u32) -> anyhow::Result<()> {
        self.shoot_to(&format!("tutorial/pictures/{name}.png"), scheme, width, height).await
    }

    async fn shoot_to(&self, file: &str, scheme: &str, width: u32, height: u32) -> anyhow::Result<()> {
        self.browser.emulate_screen(scheme, width, height).await;
        // Whatever was clicked last is not to look as if somebody pointed at it.
        self.browser.devtools("Input.dispatchMouseEvent", json!({"type": "mouseMoved", "x": 0, "y": 0})).await;
        self.browser.eval(STILL).await;
        let errors = self.browser.console_errors().await;
        ensure!(errors.is_empty(), "{file} would be of a page with errors: {errors:?}");
        let picture = self.browser.screenshot().await;
        ensure!(
            picture.len() <= MOST_BYTES,
            "{file} has {} bytes, and may have {MOST_BYTES}: show less of the page",
            picture.len()
        );
        let path = self.root.join(file);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("")))?;
        std::fs::write(&path, &picture).with_context(|| format!("cannot write {}", path.display()))?;
        println!("{file:<40} {width:>5} × {height:<5} {:>4} kB", picture.len() / 1000);
        Ok(())
    }
}

/// A sandbox with a mystery that is known here.
struct Stage {
    sandbox: Sandbox,
    frontend: String,
    jaeger: String,
    culprit: ServiceName,
}

impl Stage {
    async fn start(cause: Cause, route: Route, seed: u64) -> anyhow::Result<Self> {
        let free = Config { port: 0, jaeger_port: 0, otlp_http_port: 0, otlp_grpc_port: 0, ..Config::default() };
        let config = Config { mystery: Pick::Cause(cause), route, seed: Some(seed), ..free };
        let topology = Topology::new(config.layers, config.width, route)?;
        let culprit = draw(seed, cause, topology, config.delay_scale)?.culprit.context("nobody is the culprit")?;
        let sandbox = Sandbox::start(&config).await?;
        let addresses = sandbox.addresses();
        let (frontend, jaeger) = (addresses.frontend.clone(), addresses.jaeger.clone());
        Ok(Self { sandbox, frontend, jaeger, culprit })
    }

    /// Puts the patched version in the culprit's place.
    async fn mend(&self) -> anyhow::Result<()> {
        let asked = json!({"service": self.culprit, "version": "v2"});
        let answer = outbound::client()?.post(format!("{}/api/redeploy", self.frontend)).json(&asked).send().await?;
        ensure!(answer.status().is_success(), "{} cannot be redeployed: {}", self.culprit, answer.text().await?);
        Ok(())
    }

    /// Calls of these buttons (of all, where none is named), few of them one after the other: nobody shall wait for anybody else.
    async fn load(&self, buttons: &[u16], calls: u64) -> anyhow::Result<Report> {
        let (concurrency, rate) = if calls > 100 { (20, Some(150.0)) } else { (1, None) };
        let plan = Plan { calls, concurrency, rate, buttons: buttons.to_vec(), ..Plan::default() };
        let report = load::run(outbound::client()?, &self.frontend.parse()?, &plan, &Stop::new(), |_| {}).await?;
        // Batches are under way for some milliseconds.
        let last = trace_of(&report)?;
        let (start, client) = (Instant::now(), outbound::client()?);
        while !client.get(format!("{}/api/v3/traces/{last}", self.jaeger)).send().await?.status().is_success() {
            ensure!(start.elapsed() < PATIENCE, "trace {last} does not arrive");
            tokio::time::sleep(POLL).await;
        }
        Ok(report)
    }
}

fn trace_of(report: &Report) -> anyhow::Result<String> {
    report.slowest.first().and_then(|call| call.trace_id.clone()).context("no call has left a trace")
}
