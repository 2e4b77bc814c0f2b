// The list of results: a card for each trace, and which two of them are to be compared.
//
// Only as many cards exist as were scrolled to, so that ten thousand results are there at once.

import { el, withStyle } from "/assets/common/dom.js";
import * as format from "/assets/common/format.js";
import { hued } from "/assets/common/hues.js";
import { keepPicked, readPicked } from "/assets/shared/picked.js";

const SERVICES_SHOWN = 8;
const ROWS_AT_ONCE = 50;
// How far below the window the next ones are made.
const AHEAD = "1500px";

/** Fields that are zero or empty may be absent from a summary of the API. */
export function readSummary(json) {
  const [start, end] = [BigInt(json.minStartTimeUnixNano ?? 0), BigInt(json.maxEndTimeUnixNano ?? 0)];
  return {
    id: json.traceId,
    address: `/trace/${encodeURIComponent(json.traceId)}`,
    service: json.rootServiceName ?? "",
    operation: json.rootOperationName ?? "",
    start,
    duration: end > start ? Number(end - start) : 0,
    spans: json.spanCount ?? 0,
    errors: json.errorSpanCount ?? 0,
    orphans: json.orphanSpanCount ?? 0,
    services: json.services ?? [],
  };
}

/**
 * Lists traces in `place` and those to compare in `tray`. `reached(trace)` hears which one the reader is at, null none. The answer's
 * `show(traces, after)` lists them and then `after`; `step(by)` goes to another one, `go(place)` to the one there; `current()` is the one that the reader is at.
 */
export function results(place, tray, { reached }) {
  let traces = [];
  let rows = [];
  let longest = 1;
  let list = null;
  const picks = picking(tray, () => rows.forEach((row, index) => (row.querySelector(".pick").checked = picks.has(traces[index]))));
  const more = new IntersectionObserver((entries) => entries.some(({ isIntersecting }) => isIntersecting) && fill(rows.length + ROWS_AT_ONCE), { rootMargin: AHEAD });
  const end = el("div", {});

  function show(found, after) {
    traces = found;
    rows = [];
    longest = Math.max(1, traces.reduce((most, { duration }) => Math.max(most, duration), 0));
    list = el("ol", { class: "results" });
    place.replaceChildren(list, end, after);
    fill(ROWS_AT_ONCE);
  }

  /** Makes the first `wanted` cards, as far as they are missing. */
  function fill(wanted) {
    const missing = traces.slice(rows.length, wanted).map((trace, index) => card(trace, rows.length + index));
    rows.push(...missing);
    list.append(...missing);
    more.unobserve(end);
    // Observed anew, it tells whether it is still near.
    if (rows.length < traces.length) more.observe(end);
  }

  const step = (by) => go(at() + by);

  /** Gives the card at a place the focus, or the one next to where there is none. */
  function go(place) {
    if (traces.length === 0) return;
    const next = Math.min(traces.length - 1, Math.max(0, place));
    if (next >= rows.length) fill(next + ROWS_AT_ONCE);
    rows[next].querySelector("a").focus();
  }

  /** The place of the card that has the focus; before the first where none has. */
  const at = () => rows.findIndex((row) => row.contains(document.activeElement));

  function mark(trace) {
    list?.querySelector(".meant")?.classList.remove("meant");
    rows[traces.indexOf(trace)]?.classList.add("meant");
  }

  function card(trace, index) {
    const title = trace.operation
      ? [el("span", { class: "service" }, trace.service || "unnamed service"), " ", el("span", { class: "operation" }, trace.operation)]
      : [el("span", { class: "operation missing" }, "root span not stored")];
    const when = format.dateTime(trace.start);
    return el("li", {
      class: trace.errors ? "result failed" : "result", "aria-posinset": index + 1, "aria-setsize": traces.length,
      onfocusin: () => reached(trace), onfocusout: () => reached(null), onpointerenter: () => reached(trace), onpointerleave: () => reached(null),
    },
    el("input", {
      type: "checkbox", class: "pick", title: "Compare it with another", "aria-label": `Compare trace ${trace.id.slice(-8)} of ${format.duration(trace.duration)}, ${when}`,
      checked: picks.has(trace), onchange: () => picks.toggle(trace),
    }),
    el("a", { class: "opens", href: trace.address, title: trace.id },
      el("span", { class: "title" }, title),
      el("span", { class: "duration" }, format.duration(trace.duration))),
    el("div", { class: "track", "aria-hidden": "true" },
      withStyle(el("div", { class: "fill" }), { "--width": `${(100 * trace.duration) / longest}%` })),
    el("p", { class: "facts" },
      el("time", { datetime: isoTime(trace.start) }, when),
      el("span", {}, format.ago(trace.start)),
      el("span", {}, format.counted(trace.spans, "span")),
      trace.errors > 0 && el("span", { class: "badge error" }, format.counted(trace.errors, "error")),
      trace.orphans > 0 && el("span", { class: "badge warning", title: "Spans whose parent is not stored" }, format.counted(trace.orphans, "orphan")),
      el("a", { class: "beside", href: `/search?at=${trace.start}`, "aria-label": `In flight then, at ${when}` }, "in flight then")),
    el("ul", { class: "chips", "aria-label": "Services" }, chips(trace.services)));
  }

  return { show, step, go, mark, current: () => traces[at()] ?? null, togglePick: () => at() >= 0 && picks.toggle(traces[at()]), compare: () => picks.compare() };
}

function isoTime(ns) {
  const date = new Date(format.toMillis(ns));
  return Number.isNaN(date.getTime()) ? null : date.toISOString();
}

function chips(services) {
  const shown = services.slice(0, SERVICES_SHOWN).map(({ name, spanCount, errorSpanCount }) =>
    hued(el("li", { class: errorSpanCount ? "chip failed" : "chip" }, el("bdi", {}, name), " ", el("span", { class: "amount" }, format.count(spanCount ?? 0)),
      errorSpanCount > 0 && el("span", { title: format.counted(errorSpanCount, "error") }, ` ✕${format.count(errorSpanCount)}`)), name));
  const more = services.length - shown.length;
  return more > 0 ? [...shown, el("li", { class: "chip more" }, `and ${format.count(more)} more`)] : shown;
}

/**
 * The one or two traces to compare. They stay while searches change and traces are looked at, as long as the tab is there: the slow one
 * and the fast one of a kind are seldom found by the same search.
 */
function picking(tray, changed) {
  let picked = readPicked();
  const has = ({ id }) => picked.some((one) => one.id === id);

  function toggle(trace) {
    // A third takes the place of the first.
    picked = has(trace) ? picked.filter(({ id }) => id !== trace.id) : [...picked.slice(-1), brief(trace)];
    keepPicked(picked);
    show();
    changed();
  }

  function compare() {
    if (picked.length === 2) location.assign(address(picked));
  }

  function show() {
    const [one, other] = picked;
    tray.hidden = !one;
    tray.replaceChildren(
      el("span", {}, "Compare"), one ? chip(one) : "",
      el("span", {}, "with"), other ? chip(other) : el("span", { class: "quiet" }, "another one: tick it"),
      other ? el("a", { class: "button primary", href: address(picked) }, "Compare") : el("button", { type: "button", class: "primary", disabled: true }, "Compare"));
  }

  function chip(trace) {
    return hued(el("span", { class: "chip" },
      el("bdi", {}, trace.name), " ", el("span", { class: "duration" }, format.duration(trace.duration)),
      el("button", { type: "button", class: "plain", "aria-label": `Do not compare trace ${trace.id.slice(-8)}`, onclick: () => toggle(trace) }, "✕")), trace.service);
  }

  show();
  return { has, toggle, compare };
}

const address = ([one, other]) => `/trace/${encodeURIComponent(one.id)}...${encodeURIComponent(other.id)}`;

const brief = ({ id, duration, service, operation, name }) =>
  ({ id, duration, service: service.slice(0, 100), name: name ?? ([service, operation].filter(Boolean).join(" ").slice(0, 100) || id) });
