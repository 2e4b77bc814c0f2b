// The waterfall: one row a span, a tree by indentation, a bar by time, the self time solid within the bar.
//
// Only the rows in view and a few around them exist, so ten thousand spans open and scroll as ten do; the others are space above and
// below. What is not there the browser cannot find, so the page has a search of its own (`spans`).

import { inLane, laneLabel, ticks } from "/assets/trace/bars.js";
import { rowsOf } from "/assets/trace/folding.js";
import { details } from "/assets/trace/details.js";
import { el, withStyle } from "/assets/common/dom.js";
import * as format from "/assets/common/format.js";
import { hued } from "/assets/common/hues.js";

// Rows that exist above and below what is seen: scrolling shows them before the next are built.
const AROUND = 12;
// Until details were seen nobody knows how high they are.
const DETAILS_HEIGHT = 320;
// Deeper than this the indentation no longer tells how deep.
const DEEP = 20;

/** `onFold()` after the reader folded by hand, `onDetails(span, open)` when details open or close. */
export function waterfall(traceId, trace, { onFold, onDetails }) {
  let byVisit = false;
  let rows = rowsOf(trace, byVisit);
  let range = { from: 0, to: trace.duration || 1 };
  let current = trace.spans[0];
  let marked = new Set();
  let path = new Map();
  let rowHeight = 28;
  let waiting = false;
  let fallingBack = false;
  // Spans with a row that exists, and details: those that are open, by span.
  const built = new Map();
  const opened = new Map();
  // Where the open ones are among the rows, and how high all above them are.
  let steps = [];
  const scale = el("div", { role: "columnheader", class: "lane", "aria-label": "Timeline" });
  const body = el("div", { class: "rows", role: "rowgroup" });
  const grid = el("div", {
    class: "waterfall", role: "treegrid", "aria-label": "Spans", "aria-describedby": "keys", onclick: clicked, onkeydown: pressed, onfocus: entered,
  }, header(scale), body);
  const resized = new ResizeObserver((entries) => {
    let changed = false;
    for (const { target } of entries) {
      const one = opened.get(target.span);
      // What was taken out has no height, and keeps what it had.
      if (one === undefined || !target.isConnected) continue;
      const { height } = target.getBoundingClientRect();
      if (height !== one.height) changed = true;
      one.height = height;
    }
    if (changed) measured();
  });
  const widthSeen = new ResizeObserver(() => measureRow());
  widthSeen.observe(grid);
  addEventListener("scroll", later, { passive: true });
  addEventListener("resize", later);
  scale.replaceChildren(...ticks(range));
  measured();

  // Where rows are.

  function topOf(place) {
    let height = 0;
    for (const step of steps) {
      if (step.place >= place) break;
      height = step.sum;
    }
    return place * rowHeight + height;
  }

  /** The row at a height, its details included. */
  function placeAt(height) {
    let [low, high] = [0, rows.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (topOf(middle) <= height) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  function measureRow() {
    // To the fraction of a pixel: ten thousand of them add up, and rows that are not quite where they were move under the reader's eye.
    const height = body.querySelector(".span")?.getBoundingClientRect().height;
    if (height && height !== rowHeight) {
      rowHeight = height;
      measured();
    }
  }

  function measured() {
    let sum = 0;
    steps = rows.flatMap((span, place) => (opened.has(span) ? [{ place, sum: (sum += opened.get(span).height) }] : []));
    grid.setAttribute("aria-rowcount", rows.length + steps.length + 1);
    render();
  }

  // What exists of them.

  function later() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      render();
    });
  }

  function render() {
    if (grid.isConnected && grid.getClientRects().length === 0) return;
    const box = body.getBoundingClientRect();
    const first = Math.max(0, placeAt(-box.top) - AROUND);
    const last = Math.min(rows.length - 1, placeAt(innerHeight - box.top) + AROUND);
    const had = grid.contains(document.activeElement);
    const wanted = [];
    const kept = new Set();
    let opens = steps.filter(({ place }) => place < first).length;
    for (let place = first; place <= last; place++) {
      const span = rows[place];
      kept.add(span);
      const element = built.get(span) ?? build(span);
      number(element, place + opens + 2);
      wanted.push(element);
      if (opened.has(span)) {
        opens += 1;
        const { element: more } = opened.get(span);
        number(more, place + opens + 2);
        wanted.push(more);
      }
    }
    put(wanted);
    for (const span of built.keys()) if (!kept.has(span)) built.delete(span);
    // Not by custom properties: rows would inherit them, and all be styled anew whenever one comes.
    withStyle(body, { "padding-top": `${topOf(first)}px`, "padding-bottom": `${topOf(rows.length) - topOf(last + 1)}px` });
    // Who was at a row that is no longer there goes on from it: the arrows come to the whole, which knows where it was.
    grid.tabIndex = built.has(current.row) ? -1 : 0;
    if (had && !grid.contains(document.activeElement)) {
      fallingBack = true;
      grid.focus({ preventScroll: true });
      fallingBack = false;
    } else if (document.activeElement === grid) focusRow();
  }

  /** Scrolling changes no row's number, and an attribute that is set to what it is costs as much as a new one. */
  function number(element, wanted) {
    if (element.number === wanted) return;
    element.number = wanted;
    element.setAttribute("aria-rowindex", wanted);
  }

  /** Only what comes or goes is touched: an element that is moved would lose the focus. */
  function put(wanted) {
    const stay = new Set(wanted);
    for (const child of [...body.children]) if (!stay.has(child)) child.remove();
    let next = body.firstElementChild;
    for (const element of wanted) {
      if (element === next) next = next.nextElementSibling;
      else body.insertBefore(element, next);
    }
  }

  function build(span) {
    const element = row(span);
    element.span = span;
    built.set(span, element);
    dress(element, span);
    return element;
  }

  /** What changes while a row is there. */
  function dress(element, span) {
    withStyle(element, { "--depth": span.level });
    element.setAttribute("aria-level", span.level + 1);
    element.classList.toggle("leaf", !span.branches);
    if (span.branches) element.setAttribute("aria-expanded", String(!span.folded));
    else element.removeAttribute("aria-expanded");
    element.classList.toggle("match", marked.has(span));
    element.classList.toggle("open", opened.has(span));
    element.classList.toggle("current", span === current.row);
    element.tabIndex = span === current.row ? 0 : -1;
    const [name, , self, lane] = element.children;
    const hidden = span.folded ? span.errorsBelow : 0;
    name.querySelector(".inside").textContent = hidden > 0 ? `${format.counted(hidden, "error")} inside` : "";
    name.querySelector(".level").textContent = span.level >= DEEP ? `(${format.count(span.level + 1)})` : "";
    self.textContent = format.duration(span.ownTime);
    lane.replaceChildren(...inLane(span, range, path.get(span) ?? []).flat().filter(Boolean));
  }

  function dressAgain(span) {
    if (built.has(span)) dress(built.get(span), span);
  }

  function dressAll() {
    for (const span of built.keys()) dressAgain(span);
  }

  // What the reader does.

  function clicked(event) {
    const element = event.target.closest(".span");
    if (!element || getSelection()?.toString()) return;
    go(element.span);
    if (event.target.closest(".twisty")) fold(element.span, !element.span.folded);
    else toggleDetails(element.span);
  }

  function pressed(event) {
    const isRow = event.target.span || event.target === grid;
    if (!isRow || event.ctrlKey || event.metaKey || event.altKey) return;
    const span = current.row;
    const act = {
      ArrowDown: () => step(1),
      ArrowUp: () => step(-1),
      PageDown: () => step(page()),
      PageUp: () => step(-page()),
      Home: () => go(rows[0]),
      End: () => go(rows.at(-1)),
      ArrowRight: () => (span.folded ? fold(span, false) : span.branches && step(1)),
      ArrowLeft: () => (span.branches && !span.folded ? fold(span, true) : span.parent && go(span.parent.row)),
      Enter: () => toggleDetails(span),
      " ": () => toggleDetails(span),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  const page = () => Math.max(1, Math.floor((innerHeight - seenFrom()) / rowHeight) - 2);

  function step(by) {
    go(rows[Math.max(0, Math.min(rows.length - 1, rows.indexOf(current.row) + by))]);
  }

  /** Makes a row the one that Tab comes to and the arrows start from; scrolls to it where it is not in view. */
  function go(span, { middle = false } = {}) {
    if (!span) return;
    const before = current.row;
    current = span;
    scrollTo(span.row, middle);
    render();
    dressAgain(before);
    dressAgain(span.row);
    grid.tabIndex = -1;
    focusRow();
  }

  /** Who comes by Tab comes to the row where they were, wherever the page has been scrolled to since. */
  function entered() {
    if (built.has(current.row)) focusRow();
    else if (!fallingBack && grid.matches(":focus-visible")) go(current);
  }

  function focusRow() {
    built.get(current.row)?.focus({ preventScroll: true });
  }

  /** Where the rows begin that nothing covers. */
  const seenFrom = () => Math.max(0, grid.querySelector(".columns").getBoundingClientRect().bottom);

  function scrollTo(span, middle) {
    measureRow();
    const place = rows.indexOf(span);
    const top = body.getBoundingClientRect().top + topOf(place);
    const [from, to] = [Math.min(seenFrom(), innerHeight / 2), innerHeight];
    if (top >= from && top + rowHeight <= to) return;
    const far = middle || top < from - 10 * rowHeight || top > to + 10 * rowHeight;
    const wanted = far ? (from + to) / 2 : top < from ? from + rowHeight / 2 : to - 1.5 * rowHeight;
    globalThis.scrollBy({ top: top - wanted, behavior: "instant" });
  }

  function fold(span, folded) {
    if (!span.branches) return;
    span.folded = folded;
    refold();
    onFold();
  }

  /** After what is folded has changed. The row that the reader is at stays where it is seen. */
  function refold(visits = byVisit) {
    const seenAt = rows.indexOf(current.row) < 0 ? null : topOf(rows.indexOf(current.row)) + body.getBoundingClientRect().top;
    byVisit = visits;
    rows = rowsOf(trace, byVisit);
    current = current.row;
    for (const [, element] of built) element.classList.remove("current");
    groupPath();
    markRows();
    measured();
    dressAll();
    if (seenAt !== null && seenAt >= 0 && seenAt < innerHeight) {
      globalThis.scrollBy({ top: topOf(rows.indexOf(current)) + body.getBoundingClientRect().top - seenAt, behavior: "instant" });
      render();
    }
    if (grid.contains(document.activeElement)) focusRow();
  }

  function toggleDetails(span, open = !opened.has(span)) {
    if (open === opened.has(span)) return;
    if (open) {
      const element = el("div", { class: "details", role: "row" }, el("div", { role: "gridcell" }, told(span)));
      element.span = span;
      opened.set(span, { element, height: DETAILS_HEIGHT });
      resized.observe(element);
    } else {
      resized.unobserve(opened.get(span).element);
      opened.delete(span);
    }
    onDetails(span, open);
    measured();
    dressAgain(span);
  }

  const told = (span) => details(traceId, trace, span).flat().filter(Boolean);

  let pathParts = [];
  let found = [];

  /** A row is marked for what is folded into it too. */
  function markRows() {
    marked = new Set(found.map((span) => span.row));
  }

  /** A row stands for the parts of all that is folded into it. */
  function groupPath() {
    path = new Map();
    for (const { span, from, to } of pathParts) {
      if (to === from) continue;
      if (!path.has(span.row)) path.set(span.row, []);
      path.get(span.row).push([from, to]);
    }
  }

  return {
    element: grid,
    step, go, refold, toggleDetails, render,
    rows: () => rows,
    current: () => current.row,
    setRange: (wanted) => {
      range = wanted;
      scale.replaceChildren(...ticks(range));
      dressAll();
    },
    setPath: (parts) => {
      pathParts = parts;
      groupPath();
      dressAll();
    },
    /** More is known of the spans than when their details were opened. */
    redrawDetails: () => {
      for (const [span, { element }] of opened) element.firstElementChild.replaceChildren(...told(span));
    },
    mark: (spans) => {
      found = spans;
      markRows();
      dressAll();
    },
    end: () => {
      removeEventListener("scroll", later);
      removeEventListener("resize", later);
      widthSeen.disconnect();
      resized.disconnect();
    },
  };
}

function header(scale) {
  return el("div", { role: "rowgroup", class: "columns" }, el("div", { role: "row", "aria-rowindex": 1 },
    el("div", { role: "columnheader", class: "name" }, "Service and operation"),
    el("div", { role: "columnheader", class: "number" }, "Duration"),
    el("div", { role: "columnheader", class: "number" }, "Self time"),
    scale));
}

function row(span) {
  const lane = laneLabel(span);
  return hued(el("div", { class: span.error ? "span failed" : "span", role: "row", "data-span": span.id },
    el("div", { class: "name", role: "gridcell", title: `${span.service} ${span.name}` },
      el("span", { class: "twisty", "aria-hidden": "true" }),
      el("span", { class: "service" }, span.service), " ", el("span", { class: "operation" }, span.name),
      span.error && el("span", { class: "badge error" }, "error"),
      el("span", { class: "badge error inside" }),
      span.warnings.length > 0 && el("span", { class: "badge warning", title: span.warnings.join("\n") }, "warning"),
      el("span", { class: "level", title: "its level" })),
    el("div", { class: "number duration", role: "gridcell" }, format.duration(span.duration)),
    el("div", { class: "number self", role: "gridcell" }),
    el("div", { class: "lane", role: "gridcell", "aria-label": lane, title: lane })), span.service);
}
