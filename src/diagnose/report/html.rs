//! A page of one file: it asks no network for anything, and without scripts it is a picture.
//!
//! `maud` escapes every text and attribute that a span brought; styles get numbers only. What would slip through could neither load
//! nor send anything: the page's own policy forbids it.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::flame::{self, Box, What};
use super::histogram::Histogram;
use super::{Report, words};
use crate::diagnose::effect::Outcome;
use crate::diagnose::model::Text;
use crate::diagnose::profile::Profile;
use crate::diagnose::{Charge, Effect, Suspect, figures};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// A frame narrower than this part of its graph has no room for a name.
const THIN: f64 = 0.02;

/// Where nothing stands out, the traces that take more than this times the median are shown apart.
const SLOW: f64 = 3.0;

impl Report<'_> {
    /// The diagnosis as a whole HTML document: the suspects, how long traces take with the first suspect's share, and where the time
    /// of critical paths goes.
    pub fn html(&self) -> String {
        let outcomes = self.outcomes();
        let now = words::now(&outcomes);
        let first = self.diagnosis.suspects.first();
        let title = words::title(self);
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta http-equiv="Content-Security-Policy" content=(POLICY);
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (title) " – Tracelab" }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    header.top { strong.brand { "Tracelab" } " " span.quiet { "diagnosis" } }
                    main {
                        (self.summary(&title, &now))
                        @if self.traces.is_empty() {
                            p { (words::NO_TRACES) }
                        } @else {
                            (self.suspects())
                            (latency(&outcomes, first))
                            (self.paths(&outcomes, &now, first))
                        }
                    }
                    script { (PreEscaped(SCRIPT)) }
                }
            }
        }
        .into_string()
    }

    fn summary(&self, title: &str, now: &Effect) -> Markup {
        let traces = self.traces;
        let remarks = self.remarks();
        html! {
            div.head {
                h1 { bdi { (title) } }
                p.quiet.source { "From " bdi { (self.source) } }
                dl.figures {
                    (figure("traces", &figures::thousands(traces.len() as u64)))
                    (figure("spans", &figures::thousands(traces.span_count() as u64)))
                    (figure("services", &figures::thousands(self.services() as u64)))
                    @if !traces.is_empty() {
                        (figure("p50", &figures::duration(now.p50_ms.now)))
                        (figure("p99", &figures::duration(now.p99_ms.now)))
                        (figure("failing", &figures::share(now.error_share.now)))
                    }
                }
                @if !remarks.is_empty() {
                    ul.notice { @for remark in &remarks { li { (remark) } } }
                }
            }
        }
    }

    fn suspects(&self) -> Markup {
        let suspects = &self.diagnosis.suspects;
        html! {
            section {
                @if suspects.is_empty() { p.looked-at { (words::LOOKED_AT) } } @else { h2 { "Suspects" } }
                ol.suspects { @for (at, suspect) in suspects.iter().enumerate() { (self.card(at + 1, suspect)) } }
            }
        }
    }

    fn card(&self, rank: usize, suspect: &Suspect) -> Markup {
        let percent = words::sure(suspect);
        let changes = words::changes(&suspect.effect);
        html! {
            li.suspect.panel {
                header {
                    span.rank { (rank) }
                    div {
                        h3.place { (words::place(suspect)) }
                        p { span.badge { (words::cause(suspect.cause)) } " " (words::meaning(suspect.cause)) }
                    }
                    div.sure {
                        (percent) " % sure"
                        span.track { span.fill style={ "--width:" (percent) "%" } {} }
                    }
                }
                div.columns {
                    ul.evidence { @for line in &suspect.evidence { li { (line) } } }
                    @if !changes.is_empty() {
                        table.effect {
                            caption { "If fixed" }
                            @for (what, now, fixed) in &changes {
                                tr { th scope="row" { (what) } td { (now) } td.better { "→ " (fixed) } }
                            }
                            tr { th scope="row" { "concerns" } td colspan="2" { (figures::counted(suspect.effect.traces, "trace")) } }
                        }
                    }
                }
                @if !suspect.examples.is_empty() {
                    ul.examples {
                        @for trace in &suspect.examples {
                            li.id {
                                @if let Some(link) = self.link(*trace) { a href=(link) { (self.traces.name(*trace)) } } @else { (self.traces.name(*trace)) }
                            }
                        }
                    }
                }
            }
        }
    }

    /// A graph of the traces that the first suspect concerns beside one of the others; where nothing stands out, of the slow ones beside
    /// the others; one of all where either would be empty.
    fn paths(&self, outcomes: &[Outcome], now: &Effect, first: Option<&Suspect>) -> Markup {
        let slow = |outcome: &Outcome| outcome.duration as f64 / 1e6 > now.p50_ms.now * SLOW;
        let (chosen, which, others) = match first {
            Some(first) => {
                let mut concerned = vec![false; self.traces.len()];
                for charge in &first.charged {
                    if let Some(concerned) = concerned.get_mut(charge.trace as usize) {
                        *concerned = true;
                    }
                }
                (concerned, " that the first suspect concerns", " that it does not concern")
            }
            None => (outcomes.iter().map(slow).collect(), " that take over three times the median", " that take less"),
        };
        let [with, without] = self.profiles(|trace| chosen[trace]);
        let accused = first.and_then(|first| self.traces.texts.find(first.service.as_deref()?));
        let both = with.traces() > 0 && without.traces() > 0;
        html! {
            section {
                h2 { "Critical paths" }
                p.help {
                    "What the end of a trace waited for, added up over traces. A box is an operation of a service, as wide as the time that \
                     it and what it called took; the boxes below it are what it waited for, and where there is none it was busy itself."
                    @if accused.is_some() { " The first suspect stands out." }
                }
                @for (profile, which) in [(&with, which), (&without, others)] {
                    @if profile.traces() > 0 { (self.graph(profile, if both { which } else { "" }, accused)) }
                }
            }
        }
    }

    fn graph(&self, profile: &Profile, which: &str, accused: Option<Text>) -> Markup {
        let boxes = flame::boxes(profile, self.traces);
        let rows = boxes.iter().map(|one| one.depth + 1).max().unwrap_or(0);
        let all: u64 = boxes.iter().filter(|one| one.depth == 0).map(|one| one.inclusive).sum();
        let each = |ns: u64| figures::duration(ns as f64 / 1e6 / profile.traces().max(1) as f64);
        html! {
            div.graph.panel {
                header {
                    h3 { (figures::counted(profile.traces(), "trace")) (which) ": " (each(all)) " each on average" }
                    button.whole type="button" hidden { "Whole graph" }
                }
                div.flame style={ "--rows:" (rows) } {
                    @for one in &boxes {
                        (self.frame(one, accused, &each))
                    }
                }
                p.caption aria-live="polite" {}
            }
        }
    }

    fn frame(&self, one: &Box, accused: Option<Text>, each: &impl Fn(u64) -> String) -> Markup {
        let (name, class, hue) = match one.what {
            What::Frame { service, operation } => {
                let name = self.traces.texts.get(service);
                (
                    format!("{name} {}", self.traces.texts.get(operation)),
                    if accused == Some(service) { " accused" } else { "" },
                    hue(name),
                )
            }
            What::Others(count) => (figures::counted(count as u64, "other"), " together", 0),
        };
        let title = format!(
            "{name}: {} a trace, {} of all, {} of it its own; {}",
            each(one.inclusive),
            figures::share(one.width),
            each(one.exclusive),
            figures::counted(one.spans, "span")
        );
        let thin = if one.width < THIN { " thin" } else { "" };
        let place = format!("--l:{:.6};--w:{:.6};--depth:{};--hue:{hue}", one.left, one.width, one.depth);
        html! {
            div class={ "frame" (class) (thin) } style=(place) title=(title) { (name) }
        }
    }
}

fn figure(label: &str, value: &str) -> Markup {
    html! { div { dt { (label) } dd { (value) } } }
}

fn latency(outcomes: &[Outcome], first: Option<&Suspect>) -> Markup {
    let charged: &[Charge] = first.map_or(&[], |first| &first.charged);
    let histogram = Histogram::of(outcomes, charged);
    let highest = histogram.highest() as f64;
    let height = |count: u64| format!("--height:{:.2}%", count as f64 / highest * 100.0);
    let sum = |count: fn(&super::histogram::Column) -> u64| histogram.columns.iter().map(count).sum::<u64>();
    let (others, concerned) = (sum(|column| column.others), sum(|column| column.concerned));
    // A suspect that only fails requests changes no time.
    let faster = charged.iter().any(|charge| charge.excess > 0);
    let p99 = first.map(|first| first.effect.p99_ms).filter(|_| faster);
    let round = |ms: f64| (ms.log10() - ms.log10().round()).abs() < 1e-9;
    // On a narrow page these make way, where a scale remains without them.
    let minor = |ms: f64| !round(ms) && histogram.ticks.iter().filter(|(_, ms)| round(*ms)).count() > 1;
    let mark = |ms: f64| format!("--left:{:.2}%", histogram.place(ms * 1e6) * 100.0);
    html! {
        section {
            h2 { "How long traces take" }
            div.panel {
                div.plot {
                    @for column in &histogram.columns {
                        @let all = column.others + column.concerned;
                        @let range = format!("{} to {}: {}", figures::duration(column.from), figures::duration(column.to), figures::counted(all, "trace"));
                        @let parts = if charged.is_empty() { String::new() } else { format!(", {} concerned; {} if fixed", column.concerned, column.fixed) };
                        div.column title={ (range) (parts) } {
                            @if column.concerned > 0 { i.concerned style=(height(column.concerned)) {} }
                            @if column.others > 0 { i.others style=(height(column.others)) {} }
                            @if faster && column.fixed > 0 { span.fixed style=(height(column.fixed)) {} }
                        }
                    }
                    @if let Some(p99) = p99 {
                        span.mark.now style=(mark(p99.now)) {}
                        span.mark.then style=(mark(p99.fixed)) {}
                    }
                }
                div.axis aria-hidden="true" {
                    @for (place, ms) in &histogram.ticks {
                        @let class = match () { () if *place < 0.04 => "first", () if *place > 0.96 => "last", () if minor(*ms) => "minor", () => "" };
                        span class=(class) style={ "--left:" (format!("{:.2}", place * 100.0)) "%" } { (figures::duration(*ms)) }
                    }
                }
                ul.legend {
                    @if charged.is_empty() {
                        li { span.key.others {} (figures::counted(others, "trace")) }
                    } @else {
                        li { span.key.concerned {} (figures::counted(concerned, "trace")) " that the first suspect concerns" }
                        li { span.key.others {} (figures::counted(others, "other")) }
                        @if faster { li { span.key.line {} "all of them, if fixed" } }
                    }
                    @if let Some(p99) = p99 {
                        li { span.key.mark-key.now {} "p99 " (figures::duration(p99.now)) }
                        li { span.key.mark-key.then {} "p99 if fixed " (figures::duration(p99.fixed)) }
                    }
                }
            }
        }
    }
}

/// The same for a service on every page; close ones may meet, which the names beside them tell.
fn hue(service: &str) -> u32 {
    let hash = service.bytes().fold(2_166_136_261_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(16_777_619));
    (hash ^ hash >> 15) % 24 * 15
}
