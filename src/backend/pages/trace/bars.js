// What stands in a row's lane: the span's bar, its self time solid, the way to a callee hatched, its events as ticks, and below it
// what of the critical path is its own. And the scale above.

import { el, withStyle } from "/assets/common/dom.js";
import * as format from "/assets/common/format.js";
import { wayOf, wayText } from "/assets/trace/ways.js";

const TICKS = 5;
// Pieces closer than this share of the range would not be seen apart, so a span of a thousand children is not drawn in a thousand.
const FINEST = 1 / 2000;
// A gap as wide as this share of the range has its time written in it.
const WRITTEN = 0.1;

const percent = (part, whole) => `${((100 * part) / (whole || 1)).toFixed(3)}%`;

/** The scale of a range: times after the start of the trace. */
export function ticks({ from, to }) {
  return Array.from({ length: TICKS }, (_, index) =>
    withStyle(el("span", { class: "tick" }, format.duration(from + ((to - from) * index) / (TICKS - 1))), { "--left": percent(index, TICKS - 1) }));
}

/** What is in the lane of a row, for a range of the trace; `path`: the parts of the critical path that the row stands for. */
export function inLane(span, { from, to }, path) {
  const whole = to - from;
  const seen = (parts) => coarse(parts.filter(([start, end]) => end >= from && start <= to), whole * FINEST);
  const at = (element, [start, end]) => withStyle(element, { "--left": percent(start - from, whole), "--width": percent(end - start, whole) });
  const way = span.own === span.selfIntervals ? wayOf(span) : null;
  const end = span.offset + span.duration;
  return [
    way?.queued && at(el("div", { class: "queued" }), [way.from, span.offset]),
    at(el("div", { class: "bar" }, seen(span.own).map((part) => selfPart(part, span, way, { from, to }))), [span.offset, end]),
    // Where to look for what is not in the range.
    end < from && el("span", { class: "beyond" }, "‹"),
    span.offset > to && el("span", { class: "beyond later" }, "›"),
    seen(moments(span)).map(([moment]) => at(el("span", { class: "event" }), [moment, moment])),
    seen(path).map((part) => at(el("span", { class: "path-part" }), part)),
  ];
}

export function laneLabel(span) {
  return [`starts after ${format.duration(span.offset)}.`, wayText(span, wayOf(span))].join(" ").trim();
}

/** A client span has no work of its own: what its callee does not account for was on the way. */
function selfPart([from, to], span, way, range) {
  const hatched = way && !way.queued && !way.outlives;
  // By clocks that differ nobody can say how much of it was there and how much back.
  const written = hatched && !way.skew && from >= range.from && to <= range.to && to - from > (range.to - range.from) * WRITTEN && el("span", { class: "written" }, format.duration(to - from));
  return withStyle(el("span", { class: hatched ? "self-part way" : "self-part" }, written),
    { "--left": percent(from - span.offset, span.duration), "--width": percent(to - from, span.duration) });
}

const moments = (span) => span.eventOffsets.map((offset) => [offset, offset]);

/** Joins intervals whose gaps nobody would see. */
function coarse(intervals, gap) {
  const joined = [];
  for (const [from, to] of intervals) {
    const last = joined.at(-1);
    if (last && from - last[1] < gap) last[1] = Math.max(last[1], to);
    else joined.push([from, to]);
  }
  return joined;
}
