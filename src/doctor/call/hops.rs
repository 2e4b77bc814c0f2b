//! Is a trace what it should be? A pure function of its spans, of the way that the call took, and of what else the services left.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::diagnose::figures;
use crate::diagnose::model::{Kind, Parent, Span, Text, Traces};
use crate::diagnose::repair::COARSE;
use crate::doctor::Finding;
use crate::topology::ServiceName;

const HOPS: &str = "hops";
const KINDS: &str = "span-kinds";
const PARENTS: &str = "parents";
const CLOCKS: &str = "clocks-in-trace";
const BAGGAGE: &str = "baggage";

/// What the call was sent with as baggage. Our services copy it to their spans, so that a reader knows whose call it was.
pub(super) const CLIENT: (&str, &str) = ("client", "tracelab-doctor");
/// The resources of services of ours have it.
const OURS: &str = "tracelab.layer";

/// The frontend's own name, unless its span says another one.
const FRONTEND: &str = "frontend";
/// It is a game too.
const GAME: &str = "if a mystery is running here, this may be it";

/// The services that a call passed, and who called whom.
#[derive(Clone, Debug)]
pub(super) struct Way {
    /// The frontend first, a service once.
    hops: Vec<Hop>,
}

#[derive(Clone, Debug)]
struct Hop {
    service: String,
    /// In the order of their calls; the frontend has none.
    callers: Vec<usize>,
}

impl Way {
    /// `path` is what the services say of it: each before those that it called.
    pub fn of(path: &[String]) -> Self {
        let mut hops = vec![Hop { service: FRONTEND.to_owned(), callers: Vec::new() }];
        // Of each that was called, in the order of calls: its hop and its layer.
        let mut called: Vec<(usize, Option<u16>)> = Vec::new();
        for service in path.iter().filter(|service| !service.is_empty()) {
            let layer = service.parse::<ServiceName>().ok().map(|name| name.layer);
            let latest = called.last().map_or(0, |(hop, _)| *hop);
            // On route `all` a service of the layer before is called next after a whole branch.
            let caller = match layer {
                Some(0) => 0,
                Some(own) => called.iter().rfind(|(_, layer)| *layer == Some(own - 1)).map_or(latest, |(hop, _)| *hop),
                None => latest,
            };
            let hop = hops.iter().position(|hop| hop.service == *service).unwrap_or_else(|| {
                hops.push(Hop { service: service.clone(), callers: Vec::new() });
                hops.len() - 1
            });
            if hop != caller && !hops[hop].callers.contains(&caller) {
                hops[hop].callers.push(caller);
            }
            called.push((hop, layer));
        }
        Self { hops }
    }

    /// The frontend's spans have the name of whoever made the span `id`.
    pub fn with_frontend(mut self, traces: &Traces, id: Option<u64>) -> Self {
        let span = traces.spans().iter().find(|span| Some(span.id) == id);
        if let Some(span) = span {
            let name = traces.texts.get(traces.service(span));
            // A gateway may answer in the frontend's place, and is not it.
            if !traces.spans().iter().any(|span| traces.texts.get(traces.service(span)) == FRONTEND) {
                name.clone_into(&mut self.hops[0].service);
            }
        }
        self
    }

    pub fn services(&self) -> impl Iterator<Item = &str> {
        self.hops.iter().map(|hop| hop.service.as_str())
    }

    pub fn missing<'a>(&'a self, traces: &Traces) -> Vec<&'a str> {
        let there = services(traces);
        self.services().filter(|service| !there.contains(service)).collect()
    }

    /// What is missing, what tells most first: a few of those that one service called stand for the others.
    pub fn telling<'a>(&'a self, traces: &Traces) -> Vec<&'a str> {
        let there = services(traces);
        let mut siblings: BTreeMap<Option<usize>, usize> = BTreeMap::new();
        let missing = self.hops.iter().filter(|hop| !there.contains(hop.service.as_str()));
        let mut ranked: Vec<(usize, &str)> = missing
            .map(|hop| {
                let before = siblings.entry(hop.callers.first().copied()).or_default();
                *before += 1;
                (*before, hop.service.as_str())
            })
            .collect();
        ranked.sort_by_key(|(rank, _)| *rank);
        ranked.into_iter().map(|(_, service)| service).collect()
    }

    fn callees(&self, of: usize) -> impl Iterator<Item = &Hop> {
        self.hops.iter().filter(move |hop| hop.callers.contains(&of))
    }

    /// Did what is there behind a hop that is not come by way of it?
    fn passed_on(&self, traces: &Traces, at: usize) -> bool {
        let spans = traces.spans();
        let name = |span: &Span| traces.texts.get(traces.service(span));
        self.callees(at).any(|callee| {
            let is_caller = |service: &str| callee.callers.iter().any(|caller| self.hops[*caller].service == service);
            spans.iter().filter(|span| name(span) == callee.service).any(|span| match span.parent {
                Parent::Root => false,
                Parent::Missing => true,
                Parent::Span(parent) => {
                    let above = name(&spans[parent as usize]);
                    above != callee.service && !is_caller(above)
                }
            })
        })
    }
}

/// What a service that is missing in the trace left elsewhere while the call was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Elsewhere {
    /// A trace begins with a span of its.
    pub begins: bool,
    /// There are spans of its at all.
    pub any: bool,
}

/// Every hop there, and nothing that waits for its parent: more will not come.
pub(super) fn is_whole(traces: &Traces, way: &Way) -> bool {
    way.missing(traces).is_empty() && orphans(traces) == 0
}

/// All that can be said of the one trace in `traces`, which holds spans.
pub(super) fn judge(traces: &Traces, way: &Way, elsewhere: &BTreeMap<String, Elsewhere>) -> Vec<Finding> {
    let mut findings = breaks(traces, way, elsewhere);
    findings.push(kinds(traces, way));
    findings.push(parents(traces, way));
    findings.push(clocks(traces));
    findings.extend(baggage(traces, way));
    findings
}

fn services(traces: &Traces) -> BTreeSet<&str> {
    traces.spans().iter().map(|span| traces.texts.get(traces.service(span))).collect()
}

/// Spans whose parents are not there; the one above all others has the doctor's own for a parent, which nobody records.
fn orphans(traces: &Traces) -> usize {
    traces.spans().iter().filter(|span| span.parent == Parent::Missing).count().saturating_sub(1)
}

/// Where the trace ends too early, and whose doing that is. Whoever is not in `elsewhere` was not asked about.
pub(super) fn breaks(traces: &Traces, way: &Way, elsewhere: &BTreeMap<String, Elsewhere>) -> Vec<Finding> {
    let there = services(traces);
    let is_there = |hop: &Hop| there.contains(hop.service.as_str());
    let left = |hop: &Hop| elsewhere.get(&hop.service).copied();
    let begins = |hop: &Hop| left(hop).is_some_and(|left| left.begins);
    if way.hops.iter().all(is_there) {
        let beside: Vec<&str> = there.iter().copied().filter(|service| !way.services().any(|hop| hop == *service)).collect();
        let beside = if beside.is_empty() { String::new() } else { format!(", and beside them {}", figures::some(&beside)) };
        let all = figures::some(&way.services().collect::<Vec<_>>());
        return vec![Finding::ok(HOPS, format!("all hops are in one trace: {all}{beside}"))];
    }
    // Where one of them went on with the trace, context does travel.
    let behind = &way.hops[1..];
    let known: Vec<&str> = behind.iter().filter(|hop| left(hop).is_some()).map(|hop| hop.service.as_str()).collect();
    if known.len() > 1 && !behind.iter().any(is_there) && behind.iter().all(|hop| left(hop).is_none_or(|left| left.begins)) {
        let every = if known.len() < behind.len() { "every service that was looked for" } else { "every service" };
        let saw = format!("{every} begins a trace of its own: {}", figures::some(&known));
        let way_out = "no context travels at all: start frontend and services with the same propagators, without \
                       OTEL_PROPAGATORS or with OTEL_PROPAGATORS=tracecontext,baggage (key propagators)";
        return vec![Finding::failure(HOPS, saw, way_out)];
    }
    // Each with the place that it is about.
    let mut findings: Vec<(usize, Finding)> = Vec::new();
    // What one caller did to many is one line.
    let mut broken: BTreeMap<usize, Broken<'_>> = BTreeMap::new();
    for (at, hop) in way.hops.iter().enumerate().filter(|(_, hop)| !is_there(hop)) {
        if way.passed_on(traces, at) {
            findings.push((at, silent(&hop.service)));
            continue;
        }
        let Some(caller) = hop.callers.iter().copied().find(|caller| is_there(&way.hops[*caller])).or(hop.callers.first().copied())
        else {
            // Nothing of the call is there: whoever begins a trace of its own says more.
            if !way.callees(0).any(begins) {
                findings.push((at, silent(&hop.service)));
            }
            continue;
        };
        let above = &way.hops[caller];
        // Behind a break everything is missing, and only the first is to be explained, unless the trace breaks there again.
        if !is_there(above) && !(begins(hop) && (caller == 0 || begins(above))) {
            continue;
        }
        let callees: Vec<&Hop> = way.callees(at).filter(|callee| !is_there(callee)).collect();
        let behind: Vec<&str> = callees.iter().filter(|callee| begins(callee)).map(|hop| hop.service.as_str()).collect();
        let Some(left) = left(hop) else {
            broken.entry(caller).or_default().unknown.push(&hop.service);
            continue;
        };
        if left.begins {
            broken.entry(caller).or_default().begin.push(&hop.service);
        } else if !behind.is_empty() {
            findings.push((caller, mute(&hop.service, &behind)));
        } else {
            let callees: Vec<&str> = callees.iter().map(|hop| hop.service.as_str()).collect();
            findings.push((caller, nothing(&above.service, &hop.service, &callees, left)));
        }
    }
    for (caller, broken) in broken {
        findings.extend(broken.findings(&way.hops[caller].service).map(|finding| (caller, finding)));
    }
    findings.sort_by_key(|(place, _)| *place);
    findings.into_iter().map(|(_, finding)| finding).collect()
}

/// What one service called that is not in its trace.
#[derive(Debug, Default)]
struct Broken<'a> {
    /// They begin traces of their own.
    begin: Vec<&'a str>,
    /// Nobody looked for more of theirs.
    unknown: Vec<&'a str>,
}

impl Broken<'_> {
    fn findings(&self, caller: &str) -> impl Iterator<Item = Finding> {
        let dropped = (!self.begin.is_empty()).then(|| dropped(caller, &self.begin));
        let unknown = (!self.unknown.is_empty()).then(|| unknown(caller, &self.unknown));
        dropped.into_iter().chain(unknown)
    }
}

fn silent(service: &str) -> Finding {
    let saw = format!("{service} passes the trace context on, but none of its own spans are in the trace");
    let way_out = format!(
        "where that is not meant (instrumentation = propagate, a mesh, a program of your own without spans): have {service} export \
         where the others do (OTEL_EXPORTER_OTLP_ENDPOINT), unset its OTEL_SDK_DISABLED and OTEL_TRACES_EXPORTER, and see whether its \
         log says that telemetry is lost"
    );
    Finding::warning(HOPS, saw, way_out)
}

fn dropped(caller: &str, callees: &[&str]) -> Finding {
    let list = figures::some(callees);
    let (who, own) =
        if let [callee] = callees { (*callee, "begins traces of its own") } else { ("these", "begin traces of their own") };
    let saw = format!("the trace breaks between {caller} and {list}: {who} {own}, so {caller} drops the context");
    let callee = callees.first().copied().unwrap_or_default();
    let way_out = format!(
        "look at the headers of what {caller} sends to {callee}: without traceparent, {caller} has to inject the context of the request \
         that it is answering; with it, {callee} does not read it, or the two have different OTEL_PROPAGATORS; a proxy between them may take \
         it out; {GAME}"
    );
    Finding::failure(HOPS, saw, way_out)
}

fn unknown(caller: &str, callees: &[&str]) -> Finding {
    let count = figures::counted(callees.len() as u64, "service");
    let saw = format!(
        "nothing of {count} called by {caller} is in the trace, and what else they left was not looked at: {}",
        figures::some(callees)
    );
    let way_out = "where other lines are about services called by the same, what they say most likely holds for these too: mend that, and ask again";
    Finding::failure(HOPS, saw, way_out)
}

fn mute(service: &str, behind: &[&str]) -> Finding {
    let saw = format!(
        "the trace breaks at {service}: it makes no spans, and behind it {} begins traces of its own, so {service} drops the context",
        figures::some(behind)
    );
    let way_out = format!(
        "have {service} pass on at least the headers traceparent, tracestate and baggage as they came (instrumentation = propagate), \
         better with spans of its own (full); instrumentation = none, or a program of your own without tracing, breaks every trace here"
    );
    Finding::failure(HOPS, saw, way_out)
}

fn nothing(caller: &str, service: &str, callees: &[&str], left: Elsewhere) -> Finding {
    let behind = if callees.is_empty() { String::new() } else { format!(", nor of {} behind it", figures::some(callees)) };
    let saw = match left.any {
        true => format!("{service}, called by {caller}, has spans of other calls, but none of this one{behind}"),
        false => format!("{service}, called by {caller}, has left no span{behind}"),
    };
    let way_out = match left.any {
        true => format!(
            "ask again: if that differs from call to call, spans are lost on their way (the log of {service} says so), or {service} \
             samples by itself (OTEL_TRACES_SAMPLER; parentbased_… keeps the caller's decision)"
        ),
        false => format!(
            "if {service} is a program of your own, have it read traceparent, make a span and export it by OTLP; if it is at instrumentation \
             = none or has OTEL_SDK_DISABLED or OTEL_TRACES_EXPORTER set, undo that; or else it exports somewhere else \
             (OTEL_EXPORTER_OTLP_ENDPOINT), or its spans are lost, which its log says"
        ),
    };
    Finding::failure(HOPS, saw, way_out)
}

/// Who called whom is told by pairs of CLIENT and SERVER spans; much of Jaeger's and our own arithmetic rests on them.
fn kinds(traces: &Traces, way: &Way) -> Finding {
    let spans = traces.spans();
    let name = |span: &Span| traces.texts.get(traces.service(span));
    let (mut no_server, mut no_client) = (BTreeSet::new(), BTreeSet::new());
    let mut pairs = 0;
    for hop in &way.hops {
        let mut own = spans.iter().filter(|span| name(span) == hop.service).peekable();
        if own.peek().is_none() {
            continue;
        }
        let caller_of = |span: &Span| match span.parent {
            Parent::Span(parent) => Some(&spans[parent as usize]).filter(|parent| name(parent) != hop.service),
            Parent::Root | Parent::Missing => None,
        };
        let is_entry = |span: &&Span| caller_of(span).is_some() || !matches!(span.parent, Parent::Span(_));
        for entry in own.filter(is_entry) {
            if entry.kind != Kind::Server {
                no_server.insert(hop.service.as_str());
                continue;
            }
            let Some(caller) = caller_of(entry) else { continue };
            // What lies between two hops, such as a gateway, has kinds of its own.
            match caller.kind {
                Kind::Client => pairs += 1,
                _ if way.services().any(|service| service == name(caller)) => drop(no_client.insert(name(caller))),
                _ => {}
            }
        }
    }
    let list = |services: &BTreeSet<&str>| figures::some(&services.iter().collect::<Vec<_>>());
    let mut saw = Vec::new();
    if !no_server.is_empty() {
        saw.push(format!("what {} does with a request is no span of kind SERVER", list(&no_server)));
    }
    if !no_client.is_empty() {
        saw.push(format!("calls of {} are no spans of kind CLIENT", list(&no_client)));
    }
    if saw.is_empty() {
        return Finding::ok(KINDS, format!("{} of CLIENT and SERVER spans, one a call", figures::counted(pairs, "pair")));
    }
    let way_out = "set the kind where the span is started (SpanKind::Server around a request, SpanKind::Client around a call, which \
                   the HTTP instrumentations of OpenTelemetry do); without both, time on the network cannot be told from a service's own, \
                   and service graphs lack an arrow";
    Finding::warning(KINDS, saw.join("; "), way_out)
}

fn parents(traces: &Traces, way: &Way) -> Finding {
    let spans = traces.spans();
    let name = |span: &Span| traces.texts.get(traces.service(span));
    let mut orphans: Vec<&Span> = spans.iter().filter(|span| span.parent == Parent::Missing).collect();
    // One has the doctor's for a parent, unless the frontend began the trace: that of whoever was called first. Times may be wrong.
    let place = |span: &Span| way.services().position(|service| service == name(span)).unwrap_or(usize::MAX);
    if !spans.iter().any(|span| span.parent == Parent::Root)
        && let Some(ours) = (0..orphans.len()).min_by_key(|at| place(orphans[*at]))
    {
        orphans.remove(ours);
    }
    if orphans.is_empty() {
        return Finding::ok(PARENTS, format!("the parents of all {} are there", figures::counted(spans.len() as u64, "span")));
    }
    let of: BTreeSet<&str> = orphans.iter().map(|span| name(span)).collect();
    let of: Vec<&str> = of.into_iter().collect();
    let saw =
        format!("parents are not there: those of {} of {}", figures::counted(orphans.len() as u64, "span"), figures::some(&of));
    let way_out = "whoever called them makes a span and does not deliver it: its exporter leads elsewhere, loses spans (its log says so), or \
                   it samples otherwise than its callees (OTEL_TRACES_SAMPLER=parentbased_always_on everywhere); a service that ends in a \
                   crash loses its last ones";
    Finding::warning(PARENTS, saw, way_out)
}

/// A call that begins before it was made, or ends after it was answered though it took less long, was timed by another clock.
fn clocks(traces: &Traces) -> Finding {
    let spans = traces.spans();
    let mut off: BTreeMap<(&str, &str), i128> = BTreeMap::new();
    let mut compared = 0_u64;
    for span in spans {
        let Parent::Span(parent) = span.parent else { continue };
        let parent = &spans[parent as usize];
        if parent.resource == span.resource || span.kind == Kind::Consumer || span.duration() > parent.duration() + COARSE {
            continue;
        }
        compared += 1;
        let early = parent.start.saturating_sub(span.start);
        let late = span.end.saturating_sub(parent.end);
        if early.max(late) <= COARSE {
            continue;
        }
        // As if the call lay in the middle of the span that made it: what is not known is how long it took to get there.
        let middle = |span: &Span| (i128::from(span.start) + i128::from(span.end)) / 2;
        let pair = (traces.texts.get(traces.service(parent)), traces.texts.get(traces.service(span)));
        let by = middle(span) - middle(parent);
        let most = off.entry(pair).or_insert(by);
        *most = if by.abs() > most.abs() { by } else { *most };
    }
    if off.is_empty() {
        return match compared {
            0 => Finding::skipped(CLOCKS, "no two programs called each other in this trace"),
            _ => {
                Finding::ok(CLOCKS, format!("no call begins before it was made ({} compared)", figures::counted(compared, "call")))
            }
        };
    }
    let by = |by: i128| figures::duration(by.unsigned_abs() as f64 / 1e6);
    let words: Vec<String> = off
        .iter()
        .map(|((caller, callee), offset)| {
            let side = if *offset < 0 { "behind" } else { "ahead of" };
            format!("that of {callee} is about {} {side} that of {caller}", by(*offset))
        })
        .collect();
    let way_out = "keep the clocks of their machines by one time service (chrony, systemd-timesyncd; `chronyc tracking` says how far off it \
                   is); containers have their machine's clock, and a virtual machine that slept (Docker Desktop) is right again after a \
                   restart; until then Jaeger's page and `tracelab diagnose` move such spans, and their times are estimates";
    Finding::warning(CLOCKS, format!("clocks differ: {}", figures::some(&words)), way_out)
}

/// Does baggage travel as the context does? What others than ours do with it their spans need not tell, but what is behind them does.
fn baggage(traces: &Traces, way: &Way) -> Option<Finding> {
    let there = services(traces);
    let named = |(key, value): &(Text, Text)| (traces.texts.get(*key), traces.texts.get(*value));
    let has_it = |span: &&Span| traces.attributes(span).iter().any(|pair| named(pair) == CLIENT);
    let of = |span: &&Span| traces.texts.get(traces.service(span));
    let carriers: BTreeSet<&str> = traces.spans().iter().filter(has_it).map(|span| of(&span)).collect();
    let is_ours = |span: &&Span| traces.resources[span.resource as usize].attributes.iter().any(|pair| named(pair).0 == OURS);
    let ours: BTreeSet<&str> = traces.spans().iter().filter(is_ours).map(|span| of(&span)).collect();

    let mut reached: Vec<bool> = way.hops.iter().map(|hop| carriers.contains(hop.service.as_str())).collect();
    // From the last to the first: it came by way of whoever called.
    for at in (1..reached.len()).rev() {
        if reached[at] {
            way.hops[at].callers.iter().filter(|caller| **caller < at).for_each(|caller| reached[*caller] = true);
        }
    }
    let is_there = |at: usize| there.contains(way.hops[at].service.as_str());
    if !reached[0] {
        let way_out = format!("what came with the call, {}={}, is on nobody's span; {TRAVELS}", CLIENT.0, CLIENT.1);
        // Without a span of ours nobody was to copy it.
        let says = is_there(0) || !ours.is_empty();
        return says.then(|| Finding::warning(BAGGAGE, "baggage gets nowhere: the frontend does not read it", way_out));
    }
    let mut lost: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (at, hop) in way.hops.iter().enumerate().filter(|(at, hop)| !reached[*at] && ours.contains(hop.service.as_str())) {
        // Whoever is not in the trace may pass it on all the same: the next above it counts.
        let mut above = hop.callers.first().copied().unwrap_or(0);
        while !is_there(above) && above > 0 && way.hops[above].callers.first().is_some_and(|caller| *caller < above) {
            above = way.hops[above].callers[0];
        }
        if reached[above] && above != at {
            lost.entry(&way.hops[above].service).or_default().push(&hop.service);
        }
    }
    if lost.is_empty() {
        let last: Vec<&str> = way.services().filter(|service| carriers.contains(service)).collect();
        return Some(Finding::ok(BAGGAGE, format!("what the call was sent with is on spans of {}", figures::some(&last))));
    }
    let pairs: Vec<String> = lost.iter().map(|(caller, callees)| format!("{caller} and {}", figures::some(callees))).collect();
    let saw = format!("baggage does not travel as the context does: it is lost between {}", pairs.join(", and between "));
    Some(Finding::warning(BAGGAGE, saw, TRAVELS))
}

/// What has baggage travel.
const TRAVELS: &str = "have everything started with propagators that carry it (OTEL_PROPAGATORS=tracecontext,baggage, key propagators), and \
                       programs of your own pass the header baggage on; a proxy may take it out; without it a trace does not tell whose \
                       call it was, and what is slow for one customer only is not found";
