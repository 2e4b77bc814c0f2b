// /trace/{id}: fetches one trace, waits for it a while where it is not there yet, and shows its head and its spans.

import * as api from "/assets/shared/api.js";
import { copyButton } from "/assets/common/copy.js";
import { el, failure, figures, notice, withStyle } from "/assets/common/dom.js";
import * as format from "/assets/common/format.js";
import { hued } from "/assets/common/hues.js";
import { register } from "/assets/common/keys.js";
import { readTrace } from "/assets/shared/trace_model.js";
import { spansOf } from "/assets/trace/spans.js";
import { skews, wayOf, wayText } from "/assets/trace/ways.js";

// A trace arrives some seconds after its last span: programs export in batches.
const RETRY_AFTER_MS = [500, 500, 1000, 1000, 2000, 2000, 3000];
// So long after its last span a trace may still grow: other services send theirs at other times.
const SETTLED_AFTER_MS = 10_000;
const GROWTH_CHECK_MS = 1000;
// A clock that runs ahead would have us wait for ever.
const GROWTH_CHECKS = 30;
const SERVICES_SHOWN = 8;
const SKEWS_SHOWN = 5;
const status = document.getElementById("status");
const place = document.getElementById("trace");
// The spans that are shown, once there are some.
let spans = null;

function idFromAddress() {
  const segment = location.pathname.split("/")[2] ?? "";
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

async function load(id) {
  showInstead();
  status.textContent = "Loading the trace …";
  for (let attempt = 0; ; attempt++) {
    try {
      const trace = readTrace(await api.trace(id));
      if (trace.spans.length > 0) {
        show(id, trace);
        return grow(id, trace);
      }
    } catch (error) {
      if (error.status !== 404) return failed(id, error);
    }
    const last = attempt === RETRY_AFTER_MS.length;
    missing(id, last);
    if (last) return;
    await pause(RETRY_AFTER_MS[attempt]);
  }
}

const pause = (millis) => new Promise((resume) => setTimeout(resume, millis));

/** Shows what arrives after the page was opened, unless the reader is at work in the trace: then it only says so. */
async function grow(id, trace) {
  const isSettled = () => Date.now() - format.toMillis(trace.start) - trace.duration / 1e6 > SETTLED_AFTER_MS;
  for (let checks = 0; checks < GROWTH_CHECKS && !isSettled(); checks++) {
    await pause(GROWTH_CHECK_MS);
    const latest = await api.trace(id).then(readTrace, () => null);
    if (!latest) return;
    if (latest.spans.length === trace.spans.length) continue;
    if (place.contains(document.activeElement) || place.querySelector(".details")) {
      status.replaceChildren("More spans of this trace have arrived. ", el("button", { type: "button", onclick: () => show(id, latest) }, "Show them"));
      return;
    }
    trace = latest;
    show(id, trace);
  }
}

/** What stands where the trace would be. */
function showInstead(...content) {
  place.replaceChildren(el("h1", {}, "Trace"), ...content);
}

function missing(id, givenUp) {
  status.textContent = givenUp ? "No longer looking." : "Not here yet: looking again …";
  if (!place.querySelector(".missing-trace")) {
    showInstead(el("div", { class: "missing-trace" },
      notice("empty", "No trace with this ID is stored", el("p", { class: "id" }, id), el("ul", {},
        el("li", {}, "It may not have arrived yet: programs send their spans in batches, seconds after they end."),
        el("li", {}, "It may have been evicted: the backend keeps the newest traces in bounded memory."),
        el("li", {}, "It may not have been kept by sampling: then it was never sent."))),
      el("p", { class: "actions" }, el("a", { href: "/search" }, "Search what is stored"))));
  }
  if (givenUp) place.querySelector(".actions").prepend(el("button", { type: "button", onclick: () => load(id) }, "Try again"), " ");
}

function failed(id, error) {
  status.textContent = "The trace could not be loaded.";
  showInstead(
    error.status === 400
      ? notice("error", "This is not a trace ID", el("p", { class: "id" }, id), el("p", {}, error.message),
          el("p", {}, "A trace ID is 32 hexadecimal digits (16 in older systems). ", el("a", { href: "/search" }, "Search what is stored")))
      : failure(error, () => load(id)));
}

function show(id, trace) {
  status.textContent = "";
  const root = trace.roots[0];
  document.title = `${root.service} ${root.name} · Tracelab`;
  for (const span of trace.spans) {
    const way = wayOf(span);
    if (way?.skew) span.warnings.push(wayText(span, way));
  }
  spans?.end();
  spans = spansOf(id, trace, () => tellFolded(trace));
  place.replaceChildren(head(id, trace, root), ...remarks(trace), shares(trace), spans.element);
  spans.fromAddress();
}

function head(id, trace, root) {
  return el("section", { class: "trace-head", "aria-labelledby": "trace-title" },
    el("h1", { id: "trace-title" }, el("span", { class: "service" }, root.service), " ", el("span", { class: "operation" }, root.name)),
    el("p", { class: "ways-on" },
      el("a", { href: `/compare?one=${encodeURIComponent(id)}` }, "Is that usual?"),
      el("a", { href: `/trace/${encodeURIComponent(id)}...` }, "Compare with another"),
      el("a", { href: `/search?${new URLSearchParams({ service: root.service, operation: root.name })}` }, "Others of its kind"),
      el("a", { href: `/api/v3/traces/${encodeURIComponent(id)}`, download: `trace-${id}.json` }, "Download as JSON")),
    figures(
      ["Duration", format.duration(trace.duration)],
      ["Start", el("time", { datetime: new Date(format.toMillis(trace.start)).toISOString() }, format.dateTime(trace.start))],
      ["Services", format.count(trace.services.length)],
      ["Spans", format.count(trace.spans.length)],
      ["Depth", format.count(trace.depth)],
      ["Errors", el("span", { class: trace.errors ? "badge error" : "" }, format.count(trace.errors))],
      ["Trace ID", el("span", { class: "id" }, id), " ", copyButton(() => id, "the trace's ID")]));
}

/** What is odd about the whole, so that nobody has to find the marked spans first. */
function remarks(trace) {
  const orphans = trace.spans.filter((span) => span.orphan).length;
  const lines = [];
  if (orphans > 0) {
    lines.push(el("li", {}, `${format.counted(orphans, "span has", "spans have")} a parent that is not stored. `
      + "If this trace is only seconds old, reload; else look for a service that loses the trace context or sends no spans."));
  }
  const roots = trace.roots.filter((span) => !span.parentId).length;
  if (roots > 1) lines.push(el("li", {}, `${format.count(roots)} spans have no parent: more than one claims to be the first.`));
  for (const [pair, most] of skews(trace).slice(0, SKEWS_SHOWN)) {
    lines.push(el("li", {}, "The clocks of ", el("bdi", {}, pair), ` differ by ${format.duration(most)} or more: bars of the one are not where they should be beside those of the other.`));
  }
  return lines.length > 0 ? [el("ul", { class: "notice warning" }, lines)] : [];
}

/** Where the time went, which is the legend of the colours too. */
function shares(trace) {
  const whole = trace.services.reduce((sum, service) => sum + service.selfTime, 0) || 1;
  const callers = new Set(trace.spans.filter((span) => span.children.length > 0).map((span) => span.service));
  const line = (service) => hued(withStyle(el("li", { class: "share" },
    el("div", { class: "whose" },
      el("span", { class: "swatch", "aria-hidden": "true" }),
      el("span", { class: "service" }, service.name),
      service.errors > 0 && el("span", { class: "badge error" }, format.counted(service.errors, "error")),
      callers.has(service.name) && el("button", {
        type: "button", class: "fold", "data-service": service.name, "aria-pressed": "false", "aria-label": `Fold ${service.name}`, title: "Fold what is below its spans",
        onclick: (event) => spans.foldService(service.name, event.currentTarget.getAttribute("aria-pressed") !== "true"),
      }, "fold")),
    el("span", { class: "track", "aria-hidden": "true" }, el("span", { class: "fill" })),
    el("span", { class: "amount" }, `${format.duration(service.selfTime)} · ${format.share(service.selfTime / whole)}`)),
  { "--width": `${(100 * service.selfTime) / whole}%` }), service.name);
  const [first, rest] = [trace.services.slice(0, SERVICES_SHOWN), trace.services.slice(SERVICES_SHOWN)];
  return el("section", { class: "shares", "aria-labelledby": "shares-title" },
    el("h2", { id: "shares-title" }, "Self time by service"),
    el("ul", {}, first.map(line)),
    rest.length > 0 && el("details", {}, el("summary", {}, `and ${format.counted(rest.length, "more service")}`), el("ul", {}, rest.map(line))));
}

/** The buttons of the services say what is so, whoever folded it. */
function tellFolded(trace) {
  const open = new Set(trace.spans.filter((span) => span.children.length > 0 && !span.folded).map((span) => span.service));
  for (const button of place.querySelectorAll(".fold")) button.setAttribute("aria-pressed", String(!open.has(button.dataset.service)));
}

const key = (keys, what, name) => ({ keys, what, run: () => spans?.keys[name]() });
register(
  key("j", "next row", "down"), key("k", "previous row", "up"),
  { keys: "Enter", what: "details of the row" },
  { keys: "ArrowRight", what: "unfold the row, or go into it" },
  { keys: "ArrowLeft", what: "fold the row, or go to its parent" },
  key("/", "find in this trace", "find"), key("n", "next match", "next"), key("N", "previous match", "previous"),
  key("e", "next error", "error"),
  key("f", "flame graph, and back", "flame"), key("c", "critical path", "path"),
  key("v", "one row a visit to a service", "visits"),
  key("]", "fold all", "foldAll"), key("[", "unfold all", "unfoldAll"), key("p", "fold one level", "foldOne"), key("o", "unfold one level", "unfoldOne"),
  key("+", "nearer in time", "nearer"), key("-", "farther", "farther"), key("a", "earlier", "left"), key("d", "later", "right"),
  key("z", "as near as the row is long", "zoomTo"), key("0", "the whole trace", "whole"));
// A link to another span of the trace that is shown.
addEventListener("hashchange", () => spans?.fromAddress());
load(idFromAddress());
