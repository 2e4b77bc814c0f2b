// The waterfall: one row a span, a tree by indentation, a bar by time, the self time solid within the bar.
//
// Rows are built in blocks, the first at once and the rest while the browser is idle, and a block outside the view is not laid
// out (`content-visibility`), so ten thousand spans open as fast as ten.

import { details } from "/assets/trace/details.js";
import { el, withStyle } from "/assets/common/dom.js";
import * as format from "/assets/common/format.js";
import { hued } from "/assets/common/hues.js";

const BLOCK = 100;
const TICKS = 5;
// Self time is drawn as pieces of the bar; gaps below this share of the trace would not be seen.
const FINEST = 1 / 2000;

export function waterfall(traceId, trace) {
  const rows = new Map();
  const blocks = [];
  const grid = el("div", {
    class: "waterfall", role: "treegrid", "aria-label": "Spans", "aria-rowcount": trace.spans.length + 1, "aria-describedby": "keys",
    onclick: (event) => clicked(event), onkeydown: (event) => pressed(event),
  }, header(trace));
  trace.spans.forEach((span, index) => (span.index = index));

  for (let from = 0; from < trace.spans.length; from += BLOCK) {
    const spans = trace.spans.slice(from, from + BLOCK);
    const element = withStyle(el("div", { class: "block", role: "rowgroup" }), { "--rows": spans.length });
    blocks.push({ element, spans, built: false });
    grid.append(element);
  }
  build(blocks[0]);
  buildRest(1);
  rowOf(trace.spans[0]).tabIndex = 0;

  function build(block) {
    if (block.built) return;
    block.built = true;
    block.element.append(...block.spans.map((span) => {
      const element = row(span, trace);
      element.hidden = isFolded(span);
      element.span = span;
      rows.set(span, element);
      return element;
    }));
  }

  function buildRest(index) {
    if (index >= blocks.length) return;
    // Not every browser has idle callbacks; a timer then gives way to what else there is to do.
    const whenIdle = globalThis.requestIdleCallback ?? ((work) => setTimeout(() => work({ timeRemaining: () => 0 }), 0));
    whenIdle((deadline) => {
      do build(blocks[index++]);
      while (index < blocks.length && deadline.timeRemaining() > 5);
      buildRest(index);
    });
  }

  function rowOf(span) {
    build(blocks[Math.floor(span.index / BLOCK)]);
    return rows.get(span);
  }

  function clicked(event) {
    const element = event.target.closest(".span");
    if (!element || getSelection()?.toString()) return;
    focus(element.span);
    if (event.target.closest(".twisty")) fold(element.span, !element.span.folded);
    else toggleDetails(element.span);
  }

  function pressed(event) {
    const span = event.target.span;
    if (!span || event.ctrlKey || event.metaKey || event.altKey) return;
    const act = {
      ArrowDown: () => focus(neighbour(span, 1)),
      ArrowUp: () => focus(neighbour(span, -1)),
      Home: () => focus(trace.spans[0]),
      End: () => focus(neighbour({ index: trace.spans.length }, -1)),
      ArrowRight: () => (span.folded ? fold(span, false) : focus(span.children[0])),
      ArrowLeft: () => (span.children.length > 0 && !span.folded ? fold(span, true) : focus(span.parent)),
      Enter: () => toggleDetails(span),
      " ": () => toggleDetails(span),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  function neighbour(span, step) {
    for (let index = span.index + step; trace.spans[index]; index += step) if (!isFolded(trace.spans[index])) return trace.spans[index];
    return null;
  }

  /** One row at a time can be reached by Tab, as in a tree; the arrows move between them. */
  function focus(span) {
    if (!span) return;
    grid.querySelector('.span[tabindex="0"]')?.setAttribute("tabindex", "-1");
    const element = rowOf(span);
    element.tabIndex = 0;
    element.focus();
  }

  function fold(span, folded) {
    if (span.children.length === 0) return;
    span.folded = folded;
    rowOf(span).setAttribute("aria-expanded", String(!folded));
    // What is below a span follows it directly; what is below a folded one stays hidden when an outer one unfolds.
    for (let index = span.index + 1; index <= span.index + span.below; index++) {
      const below = trace.spans[index];
      setHidden(below, folded);
      if (!folded && below.folded) index += below.below;
    }
  }

  function setHidden(span, hidden) {
    const element = rows.get(span);
    if (!element) return;
    element.hidden = hidden;
    if (element.details) element.details.hidden = hidden;
  }

  function toggleDetails(span) {
    const element = rowOf(span);
    if (element.details) {
      element.details.remove();
      element.details = null;
    } else {
      element.details = el("div", { class: "details", role: "row" }, el("div", { role: "gridcell" }, details(traceId, trace, span)));
      element.after(element.details);
    }
    element.classList.toggle("open", Boolean(element.details));
  }

  return el("section", { "aria-labelledby": "waterfall-title" },
    el("h2", { id: "waterfall-title" }, "Waterfall"),
    el("p", { class: "help", id: "keys" },
      "A bar is a span; its solid part is self time, the rest is spent in its children. Click a row, or press Enter on it, for its tags and logs; ",
      el("kbd", {}, "↑"), el("kbd", {}, "↓"), " move, ", el("kbd", {}, "←"), el("kbd", {}, "→"), " fold and unfold."),
    grid);
}

function isFolded(span) {
  for (let above = span.parent; above; above = above.parent) if (above.folded) return true;
  return false;
}

function header(trace) {
  const ticks = Array.from({ length: TICKS }, (_, index) =>
    withStyle(el("span", { class: "tick" }, format.duration((trace.duration * index) / (TICKS - 1))), { "--left": `${(100 * index) / (TICKS - 1)}%` }));
  return el("div", { role: "rowgroup", class: "columns" }, el("div", { role: "row" },
    el("div", { role: "columnheader", class: "name" }, "Service and operation"),
    el("div", { role: "columnheader", class: "number" }, "Duration"),
    el("div", { role: "columnheader", class: "number" }, "Self time"),
    el("div", { role: "columnheader", class: "lane", "aria-label": "Timeline" }, ticks)));
}

function row(span, trace) {
  const parent = span.children.length > 0;
  return hued(withStyle(el("div", {
    class: span.error ? "span failed" : "span", role: "row", tabindex: "-1", "aria-level": span.depth + 1, "aria-rowindex": span.index + 2,
    "aria-expanded": parent ? String(!span.folded) : null, "data-span": span.id,
  },
  el("div", { class: "name", role: "gridcell", title: `${span.service} ${span.name}` },
    el("span", { class: parent ? "twisty" : "twisty leaf", "aria-hidden": "true" }),
    el("span", { class: "service" }, span.service), " ", el("span", { class: "operation" }, span.name),
    span.error && el("span", { class: "badge error" }, "error"),
    span.warnings.length > 0 && el("span", { class: "badge warning", title: span.warnings.join("\n") }, "warning")),
  el("div", { class: "number duration", role: "gridcell" }, format.duration(span.duration)),
  el("div", { class: "number self", role: "gridcell" }, format.duration(span.selfTime)),
  el("div", { class: "lane", role: "gridcell", "aria-label": `starts after ${format.duration(span.offset)}` }, bar(span, trace))),
  { "--depth": span.depth }), span.service);
}

function bar(span, trace) {
  const whole = trace.duration || 1;
  const percent = (part, of) => `${((100 * part) / (of || 1)).toFixed(3)}%`;
  return withStyle(el("div", { class: "bar" }, coarse(span.selfIntervals, whole * FINEST).map(([from, to]) =>
    withStyle(el("span", { class: "self-part" }), { "--left": percent(from - span.offset, span.duration), "--width": percent(to - from, span.duration) }))),
  { "--left": percent(span.offset, whole), "--width": percent(span.duration, whole) });
}

/** Joins intervals whose gaps nobody would see, so that a span of a thousand children is not drawn in a thousand pieces. */
function coarse(intervals, gap) {
  const joined = [];
  for (const [from, to] of intervals) {
    const last = joined.at(-1);
    if (last && from - last[1] < gap) last[1] = to;
    else joined.push([from, to]);
  }
  return joined;
}
