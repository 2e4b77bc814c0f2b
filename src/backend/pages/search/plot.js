// The plot above the results: what was found by when it began and how long it took. A click opens a trace, a range becomes the search,
// and so does a moment.

import { scatter } from "/assets/common/chart/scatter.js";
import { time } from "/assets/common/chart/scale.js";
import { el } from "/assets/common/dom.js";
import * as format from "/assets/common/format.js";
import { DEFAULTS, toLocal } from "/assets/shared/query.js";

// Longer names would push the numbers off the line below the plot.
const NAME_LENGTH = 60;

/**
 * `narrow(conditions)` searches with these fields of the query changed; `told(trace)` hears which trace the reader is at, null none.
 * The answer's `show(traces, query)` draws, `mark(trace)` rings one.
 */
export function plot(place, { narrow, told }) {
  const points = new Map();
  // What was looked through before a part of it was chosen; a link may begin with a part.
  let wider = rangeOf({ ...DEFAULTS, lookback: "all" });
  const asks = el("button", { type: "button", "aria-pressed": "false", onclick: () => ask(asks.ariaPressed !== "true") }, "Pick a moment");
  const clear = el("button", { type: "button", onclick: () => narrow(wider) }, "Clear the range");
  const drawn = scatter({
    title: "Duration by start",
    x: { scale: time, text: String, label: (from, to) => `started, ${format.dayRange(from, to)}` },
    y: { text: format.duration, label: "" },
    name: ({ trace }) => summary(trace),
    open: ({ trace }) => location.assign(trace.address),
    choose: { says: saysRange, run: (range) => narrow(rangeConditions(range)) },
    moment: { says: (x) => `In flight at ${clock(x)}?`, run: (x) => narrow({ lookback: "moment", at: String(nanos(x)) }), cancel: () => ask(false) },
    told: (point) => told(point?.trace ?? null),
  });
  drawn.element.querySelector("figcaption").after(el("div", { class: "plot-tools" }, asks, clear));
  place.append(drawn.element);

  function ask(wanted) {
    asks.ariaPressed = String(wanted);
    drawn.askMoment(wanted);
    if (wanted) drawn.element.querySelector("svg").focus();
  }

  function show(traces, query) {
    points.clear();
    const moment = query.lookback === "moment";
    for (const trace of traces) {
      const x = millis(trace.start);
      points.set(trace, { x, y: trace.duration, error: trace.errors > 0, trace, ...(moment && { to: x + trace.duration / 1e6 }) });
    }
    if (asks.ariaPressed === "true") ask(false);
    clear.disabled = !(moment || query.lookback === "custom" || query.minDuration || query.maxDuration);
    if (clear.disabled && traces.length > 0) wider = rangeOf(query);
    place.hidden = traces.length === 0;
    drawn.show([...points.values()], moment ? millis(BigInt(query.at)) : null);
  }

  return { show, ask: () => ask(true), focus: () => drawn.element.querySelector("svg").focus(), mark: (trace) => drawn.mark(points.get(trace)) };
}

/** Fractions of a millisecond, as fine as a double has them. */
const millis = (ns) => Number(ns) / 1e6;

const nanos = (x) => BigInt(Math.round(x * 1000)) * 1000n;

const clock = (x) => format.dateTime(nanos(x));

function summary(trace) {
  const name = [trace.service, trace.operation].filter(Boolean).join(" ") || "root span not stored";
  const short = name.length > NAME_LENGTH ? `${name.slice(0, NAME_LENGTH)}…` : name;
  // Between marks that isolate it: it may be written from right to left.
  return [format.duration(trace.duration), format.counted(trace.spans, "span"), trace.errors > 0 && format.counted(trace.errors, "error"),
    format.dateTime(trace.start), `\u2068${short}\u2069`].filter(Boolean).join(", ");
}

function saysRange({ x: [from, to], y: [shortest, longest], count }, held) {
  const when = from !== null && `${clock(from)} to ${clock(to)}`;
  const lasting = [shortest !== null && `${format.duration(shortest)} and more`, longest !== null && `${format.duration(longest)} at most`];
  const long = shortest !== null && longest !== null ? [`${format.duration(shortest)} to ${format.duration(longest)}`] : lasting;
  const what = [when, ...long].filter(Boolean).join(", ") || "all of it";
  return `${format.counted(count, "trace")} here. ${held ? "Let go to search." : "Enter searches."} ${what}`;
}

/** A range means the traces that are in it, with all of their time; rounded outwards, to what the form's fields can hold. */
function rangeConditions({ x: [from, to], y: [shortest, longest] }) {
  const conditions = { durationOf: "trace" };
  if (from !== null) Object.assign(conditions, { lookback: "custom", from: toLocal(Math.floor(from)), to: toLocal(Math.floor(to) + 1) });
  if (shortest !== null) conditions.minDuration = rounded(shortest, Math.floor);
  if (longest !== null) conditions.maxDuration = rounded(longest, Math.ceil);
  return conditions;
}

function rangeOf({ lookback, from, to, at, minDuration, maxDuration, durationOf }) {
  return { lookback, from, to, at, minDuration, maxDuration, durationOf };
}

/** Nanoseconds as the API reads durations, three digits of them: 12.3ms. */
function rounded(ns, round) {
  const step = 10 ** Math.max(0, Math.floor(Math.log10(Math.max(1, ns))) - 2);
  const whole = Math.max(1, round(ns / step) * step);
  const [unit, size] = [["s", 1e9], ["ms", 1e6], ["us", 1e3], ["ns", 1]].find(([, size]) => whole >= size);
  return `${Number((whole / size).toPrecision(6))}${unit}`;
}
