// Both traces as one tree, a row for each span and its counterpart: a bar for either, over one time scale, and what differs in words.
//
// Only as many rows exist as were scrolled or walked to, so that ten thousand spans open as fast as ten.

import { el, named, withStyle } from "/assets/common/dom.js";
import * as format from "/assets/common/format.js";
import { hued } from "/assets/common/hues.js";

const AT_ONCE = 100;
// How far below the window the next ones are made.
const AHEAD = "1500px";
const TICKS = 4;
const MOST_TAGS = 40;
// What is longer may have to be scrolled, which the keyboard can where Tab comes to it.
const LONG = 100;
const STATES = { "only-a": "only in A", "only-b": "only in B", slower: "▲ slower", faster: "▼ faster", same: "= alike" };

/** `pairs` as `merge` makes them. The answer's `toggle()` shows all of them, or only what differs; `step(by)` goes from row to row. */
export function sideBySide(pairs, a, b) {
  const whole = Math.max(a.duration, b.duration) || 1;
  let [onlyDifferences, visible, shown, focused] = [false, [], 0, pairs[0]];
  const body = el("div", { role: "rowgroup", onclick: clicked, onkeydown: pressed });
  const grid = el("div", { class: "side-by-side", role: "treegrid", "aria-label": "Spans of both traces" }, header(whole), body);
  const end = el("div");
  const more = new IntersectionObserver((entries) => entries.some(({ isIntersecting }) => isIntersecting) && fill(shown + AT_ONCE), { rootMargin: AHEAD });
  const nothing = el("p", { class: "help", hidden: true }, "Nothing differs by more than a tenth: both traces went the same way, in the same time.");
  const choices = [["All spans", false], ["Only what differs", true]].map(([name, only]) =>
    el("button", { type: "button", onclick: () => only !== onlyDifferences && toggle() }, name));
  const element = el("section", { "aria-labelledby": "side-by-side-title" },
    el("div", { class: "bar-of-tools" },
      el("h2", { id: "side-by-side-title" }, "Span by span"),
      el("div", { class: "choices", role: "group", "aria-label": "Which spans" }, choices)),
    el("p", { class: "help" }, "Spans match along their paths: the same service, operation and kind, in the order of their start. "
      + "The upper bar is A’s, the lower one B’s."),
    nothing, grid, end);
  draw();

  function findVisible() {
    const found = [];
    for (let index = 0; index < pairs.length; index++) {
      const pair = pairs[index];
      if (onlyDifferences && !differs(pair)) index += pair.below;
      else {
        found.push(pair);
        if (pair.folded) index += pair.below;
      }
    }
    return found;
  }

  function draw() {
    const had = body.contains(document.activeElement);
    visible = findVisible();
    shown = 0;
    body.replaceChildren();
    if (!visible.includes(focused)) focused = visible[0];
    fill(visible.indexOf(focused) + AT_ONCE);
    if (focused) focused.row.tabIndex = 0;
    if (had) focused?.row.focus();
    choices.forEach((button, place) => button.setAttribute("aria-pressed", String((place === 1) === onlyDifferences)));
    grid.setAttribute("aria-rowcount", visible.length + 1);
    grid.hidden = visible.length === 0;
    nothing.hidden = visible.length > 0;
  }

  /** Makes the first `wanted` rows, as far as they are missing. */
  function fill(wanted) {
    const missing = visible.slice(shown, wanted);
    for (const pair of missing) pair.row = row(pair, whole);
    body.append(...missing.flatMap((pair) => (pair.details ? [pair.row, pair.details] : [pair.row])));
    shown += missing.length;
    more.unobserve(end);
    // Observed anew, it tells whether it is still near.
    if (shown < visible.length) more.observe(end);
  }

  function toggle() {
    onlyDifferences = !onlyDifferences;
    draw();
  }

  function focus(pair) {
    const place = visible.indexOf(pair);
    if (place < 0) return;
    if (place >= shown) fill(place + AT_ONCE);
    focused.row.tabIndex = -1;
    focused = pair;
    pair.row.tabIndex = 0;
    pair.row.focus();
  }

  function step(by) {
    const from = body.contains(document.activeElement) ? visible.indexOf(focused) + by : visible.indexOf(focused);
    focus(visible[Math.max(0, Math.min(visible.length - 1, from))]);
  }

  function fold(pair, folded) {
    if (pair.below === 0) return;
    pair.folded = folded;
    focused = pair;
    draw();
    pair.row.focus();
  }

  function open(pair) {
    if (pair.details) pair.details.remove();
    pair.details = pair.details ? null : details(pair, a, b);
    if (pair.details) pair.row.after(pair.details);
    focus(pair);
  }

  function clicked(event) {
    const { pair } = event.target.closest(".pair") ?? {};
    if (!pair || event.target.closest("a") || getSelection()?.toString()) return;
    if (event.target.closest(".twisty")) fold(pair, !pair.folded);
    else open(pair);
  }

  function pressed(event) {
    const { pair } = event.target;
    if (!pair || event.ctrlKey || event.metaKey || event.altKey) return;
    const act = {
      ArrowDown: () => step(1), ArrowUp: () => step(-1),
      Home: () => focus(visible[0]), End: () => focus(visible.at(-1)),
      ArrowRight: () => (pair.folded ? fold(pair, false) : step(1)),
      ArrowLeft: () => (pair.below > 0 && !pair.folded ? fold(pair, true) : focus(pair.parent)),
      Enter: () => open(pair), " ": () => open(pair),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  return { element, toggle, step };
}

const differs = ({ state, fails, differs }) => differs || state !== "same" || Boolean(fails);

function header(whole) {
  const cell = (title, name = "number") => el("div", { role: "columnheader", class: name }, title);
  const ticks = Array.from({ length: TICKS + 1 }, (_, place) =>
    withStyle(el("span", { class: "tick" }, format.duration((whole * place) / TICKS)), { "--left": `${(100 * place) / TICKS}%` }));
  return el("div", { role: "rowgroup", class: "columns" }, el("div", { role: "row" },
    cell("Span", "name"), cell("B against A", "state"), cell("A"), cell("B"), cell("Difference"), cell("In self time"),
    el("div", { role: "columnheader", class: "lane" }, el("span", { class: "unseen" }, "When"), ticks)));
}

function row(pair, whole) {
  const { a, b, state, fails } = pair;
  const span = a ?? b;
  const element = hued(withStyle(el("div", {
    role: "row", class: `pair ${state}`, tabindex: "-1", "aria-level": pair.depth + 1, "aria-expanded": pair.below > 0 ? String(!pair.folded) : null,
  },
  el("div", { role: "gridcell", class: "name" },
    el("span", { class: pair.below > 0 ? "twisty" : "twisty leaf", "aria-hidden": "true" }),
    named(span.service, span.name)),
  el("div", { role: "gridcell", class: "state" },
    el("span", { class: "word" }, STATES[state]), fails && [" ", el("span", { class: "badge error" }, `fails in ${fails.toUpperCase()}`)]),
  number(a && format.duration(a.duration), "A"), number(b && format.duration(b.duration), "B"),
  number(format.change(pair.change), "difference"), number(format.change(pair.selfChange), "own"),
  el("div", { role: "gridcell", class: "lane" }, bar(a, whole, "of-a"), bar(b, whole, "of-b"))),
  { "--depth": pair.depth }), span.service);
  element.pair = pair;
  return element;
}

const number = (text, what) => el("div", { role: "gridcell", class: `number ${what}` }, text || el("span", { class: "unseen" }, "none"));

function bar(span, whole, of) {
  return span && withStyle(el("div", { class: `bar ${of}${span.error ? " failed" : ""}` }),
    { "--left": `${(100 * span.offset) / whole}%`, "--width": `${(100 * span.duration) / whole}%` });
}

/** What two spans say of themselves, where it is not the same. */
function details({ a, b }, traceA, traceB) {
  const both = (name, of) => [name, a ? of(a, traceA) : "", b ? of(b, traceB) : ""];
  const spanLink = (span) => el("a", { href: `/trace/${encodeURIComponent(span.traceId)}#span=${encodeURIComponent(span.id)}` }, span.id);
  const lines = [
    both("span", spanLink),
    both("starts after", (span) => format.duration(span.offset)),
    both("duration", (span) => format.duration(span.duration)),
    both("self time", (span) => format.duration(span.selfTime)),
    both("status", (span) => [span.status, span.statusMessage].filter(Boolean).join(": ") || "unset"),
  ];
  const tags = differentTags(a?.tags ?? [], b?.tags ?? []);
  const text = (value) => el("div", { tabindex: value.length > LONG ? "0" : null }, value);
  const line = ([name, ...values]) => el("tr", {}, el("th", { scope: "row" }, text(name)), values.map((value) => el("td", {}, text(value))));
  return el("div", { role: "row", class: "details" }, el("div", { role: "gridcell" }, el("table", {},
    el("thead", {}, el("tr", {}, el("td"), el("th", { scope: "col" }, "A"), el("th", { scope: "col" }, "B"))),
    el("tbody", {}, [...lines, ...tags.slice(0, MOST_TAGS)].map(line))),
  el("p", { class: "help" }, tags.length > MOST_TAGS ? `${format.counted(tags.length - MOST_TAGS, "more tag")} differ.`
    : !(a && b) ? "" : tags.length === 0 ? "All their tags are the same." : "Tags that are the same are left out.")));
}

function differentTags(ofA, ofB) {
  const [a, b] = [new Map(ofA), new Map(ofB)];
  return [...new Set([...a.keys(), ...b.keys()])].filter((key) => a.get(key) !== b.get(key)).map((key) => [key, a.get(key) ?? "", b.get(key) ?? ""]);
}
