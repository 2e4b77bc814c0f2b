// All that is known of one span, shown below its row.

import * as api from "/assets/shared/api.js";
import { copyButton } from "/assets/common/copy.js";
import { el } from "/assets/common/dom.js";
import * as format from "/assets/common/format.js";
import { wayOf, wayText } from "/assets/trace/ways.js";

// By what was read of the trace, not by its ID: a trace that has grown has more lines too.
const logsOfTrace = new WeakMap();

export function details(traceId, trace, span) {
  const after = (time) => format.duration(Number(time - trace.start));
  const [baggage, tags] = [span.tags.filter(isBaggage), span.tags.filter((pair) => !isBaggage(pair))];
  const way = wayText(span, wayOf(span));
  const own = span.onPath ?? 0;
  return [
    el("p", { class: "span-links" },
      copyButton(() => addressOf(span), "a link to this span", "Copy link"), " ",
      copyButton(() => JSON.stringify(asJson(span), null, 2), "all of this span as JSON", "Copy as JSON"), " ",
      el("a", { href: kindSearch(span) }, "Traces with this operation")),
    span.warnings.length > 0 && sentences("Warnings", el("ul", {}, span.warnings.map((text) => el("li", {}, text)))),
    way && !span.warnings.includes(way) && sentences("On the way", el("p", {}, way)),
    section("Span", pairs([
      ["span ID", span.id],
      ["parent ID", span.parentId],
      ["kind", span.kind],
      ["status", [span.status, span.statusMessage].filter(Boolean).join(": ")],
      ["starts after", format.duration(span.offset)],
      ["duration", format.duration(span.duration)],
      ["self time", selfTime(span)],
      ["critical path", own > 0 ? `${format.duration(own)} (${format.share(own / (trace.duration || 1))} of the trace)` : ""],
      ["trace state", span.traceState],
      ["instrumentation", span.scope],
    ].filter(([, value]) => value !== ""))),
    section("Tags", pairs(tags, "no tags"), tags),
    baggage.length > 0 && section("Baggage", pairs(baggage), baggage),
    section(`Process (${span.service})`, pairs(span.process), span.process),
    span.events.length > 0 && section("Events", el("ol", { class: "moments" }, span.events.map((event) =>
      el("li", {}, el("span", { class: "when" }, after(event.time)), " ", el("strong", {}, event.name), pairs(event.tags, "")))), asJson(span).events),
    span.links.length > 0 && section("Links", el("ul", {}, span.links.map((link) =>
      el("li", {}, el("a", { href: `/trace/${encodeURIComponent(link.traceId)}` }, `span ${link.spanId} of trace ${link.traceId}`), pairs(link.tags, "")))), asJson(span).links),
    logsSection(traceId, trace, span),
  ];
}

/** A link to the page that shows this span at once. */
export const addressOf = (span) => `${location.origin}${location.pathname}#span=${encodeURIComponent(span.id)}`;

const kindSearch = ({ service, name }) => `/search?${new URLSearchParams({ service, operation: name })}`;

// What travels as baggage and is copied to spans has these names here; programs elsewhere mark theirs with a prefix.
const isBaggage = ([key]) => /^(baggage\.|customer\.id$|client$|tier$)/.test(key);

function asJson(span) {
  const { traceId, id, parentId, name, service, kind, status, statusMessage, warnings } = span;
  return {
    traceId, spanId: id, parentSpanId: parentId, service, name, kind, status, statusMessage,
    start: String(span.start), durationNs: span.duration, selfTimeNs: span.selfTime,
    tags: Object.fromEntries(span.tags), process: Object.fromEntries(span.process),
    events: span.events.map((event) => ({ time: String(event.time), name: event.name, tags: Object.fromEntries(event.tags) })),
    links: span.links.map((link) => ({ traceId: link.traceId, spanId: link.spanId, tags: Object.fromEntries(link.tags) })), warnings,
  };
}

/** Lines of text, which beside a list would leave a hole. */
function sentences(title, body) {
  return el("section", { class: "sentences" }, el("h3", {}, title), body);
}

/** `copied`: what its button copies, pairs as an object; without, or empty, there is none. */
function section(title, body, copied = []) {
  const isPairs = Array.isArray(copied[0]);
  return el("section", {},
    el("div", { class: "section-head" }, el("h3", {}, title),
      copied.length > 0 && copyButton(() => JSON.stringify(isPairs ? Object.fromEntries(copied) : copied, null, 2), `${title} as JSON`)),
    body);
}

function selfTime({ selfTime, duration }) {
  return duration > 0 ? `${format.duration(selfTime)} (${format.share(selfTime / duration)})` : format.duration(selfTime);
}

function pairs(list, empty = "none") {
  if (list.length === 0) return empty && el("p", { class: "help" }, empty);
  return el("dl", { class: "pairs" }, list.map(([key, value]) => el("div", {}, el("dt", {}, key), el("dd", {}, el("span", { class: "value" }, value), copyButton(() => value, key)))));
}

/** Logs come from a request of their own, one for each state of a trace, made when the first details open. */
function logsSection(traceId, trace, span) {
  const body = el("div", {}, el("p", { class: "help" }, "Loading …"));
  if (!logsOfTrace.has(trace)) logsOfTrace.set(trace, api.logs(traceId));
  logsOfTrace.get(trace).then(
    (lines) => body.replaceChildren(logLines(lines, trace, span)),
    (error) => {
      logsOfTrace.delete(trace);
      body.replaceChildren(el("p", { class: "help" }, error.status === 404 ? "none" : `Could not be loaded: ${error.message}`));
    });
  return section("Logs", body);
}

/** The lines that this span logged; its trace's other lines are in the details of the spans that logged them. */
function logLines(lines, trace, span) {
  const own = lines.filter((line) => line.span_id === span.id);
  if (own.length === 0) return el("p", { class: "help" }, lines.length === 0 ? "none" : `none of this span; ${format.counted(lines.length, "line")} of other spans`);
  return el("ol", { class: "moments" }, own.map((line) => el("li", {},
    el("span", { class: "when" }, format.duration(Number(format.fromRfc3339(line.timestamp) - trace.start))), " ",
    el("span", { class: /^(err|fatal)/i.test(line.severity) ? "badge error" : "badge" }, line.severity), " ",
    el("span", {}, text(line.body)), " ", copyButton(() => JSON.stringify(line), "this line as JSON"), pairs(Object.entries(line.attributes ?? {}).map(([key, value]) => [key, text(value)]), ""))));
}

const text = (value) => (typeof value === "string" ? value : JSON.stringify(value));
