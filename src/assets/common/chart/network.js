// Who calls whom: services in layers from left to right, calls between them as lines, as wide as there are calls and as hot as they are
// slow or fail. Pointing at a service or a call, or moving to one, shows it alone with its figures.
//
// No figure is told by colour alone: the hottest calls have theirs written beside them, calls that failed are dashed, and the panel
// says them all. It can be drawn again and again while figures change: what is known stays where it is. Where figures come from, and
// what else a page shows of them, is the page's.

import { el, options, svg, withStyle } from "/assets/common/dom.js";
import { busiest, layered } from "/assets/common/chart/layers.js";
import { brief, hottest, panel, sentence, valueOf } from "/assets/common/chart/network_figures.js";
import { byName, count, counted, share } from "/assets/common/format.js";
import { hued } from "/assets/common/hues.js";
import { register } from "/assets/common/keys.js";

// More services at once cannot be told apart; all the sandbox's own are fewer.
const MOST = 150;
// From one service to the next below it: the more there are, the closer they stand, as long as their names can be read.
const PITCH = { least: 23, most: 34, all: 690 };
const BETWEEN = 5;
// What is around the drawing: a high screen, which is read from afar, has it larger.
const AROUND = 260;
const MARGIN = 8;
// In a gap narrower than this there is no room for numbers.
const ROOM_FOR_NUMBERS = 76;
// So wide is a letter of a name, of its height.
const LETTER = 0.61;
// For so many there is room where there is any; what names share is looked for up to so many.
const LETTERS = { least: 14, most: 26, shared: 16 };
// So much of a row has a call that passes a layer.
const LANE = 0.4;
const WIDTH = { least: 104, narrow: 150 };
const GAP = { least: 44, most: 340 };
// So many of the hottest calls have their figure written beside them.
const WRITTEN = 3;
const HEATS = 5;
// So many calls that somebody just made are shown to be new: one or two presses of a button, not a run.
const FEW = 12;
const CROWD = 150;
// Shares of failed calls, from which on each is another colour.
const ERROR_STEPS = [0, 0.01, 0.05, 0.25];
const KINDS = { p50: "latency, median (p50)", p95: "latency, p95", p99: "latency, p99", errors: "errors" };

/** What calls can be coloured by. */
export const METRICS = Object.keys(KINDS);

/**
 * `title`: what it is called; `key`: moves to the search field; `by`: one of `METRICS`, and `picked`: a service, to begin with;
 * `layerOf(name)` as in layers.js; `links({ name })` and `links({ from, to })`: `{ href, text }`s for a service and for a call;
 * `changed({ by, picked })`: the reader chose others; `searched(text)`: is looking for services with these small letters in their names.
 *
 * The answer's `show({ services, edges })` draws `{ name }`s and `{ from, to, calls, errors, p50, p95, p99 }`s, milliseconds or null.
 */
export function network({ title, key = "/", by = "p95", picked = null, layerOf, links = () => [], changed = () => {}, searched = () => {} }) {
  let graph = { services: [], edges: [] };
  let [chosen, chosenAmongCalls] = [new Set(), false];
  let layers = [];
  // The same with the lanes of calls that pass a layer.
  let columns = [];
  let drawn = [];
  let steps = [];
  let room = 0;
  // A service is `{ name }`, a call `{ from, to }`.
  let held = picked === null ? null : { name: picked };
  let sent = picked !== null;
  let pointed = null;
  let shown = null;
  let at = null;
  const nodes = new Map();
  const lines = new Map();

  const metric = el("select", { onchange: () => recolour(metric.value) }, options(...Object.entries(KINDS)));
  metric.value = by;
  const field = el("input", {
    type: "search", placeholder: "Find a service", "aria-label": "Find a service in the graph", autocomplete: "off", spellcheck: "false", maxlength: 200,
    onkeydown: stepThrough,
    oninput: seek,
  });
  // How far Enter has gone through what was found.
  let stepped = -1;
  let grown = new Set();
  const matches = el("span", { class: "matches", role: "status" });
  const legend = el("ul", { class: "legend", "aria-label": "What the lines mean" });
  const scope = el("p", { class: "scope", role: "status" });
  const again = el("button", { type: "button", hidden: true, onclick: chooseAgain }, "Draw the busiest of now");
  const far = svg("g", { class: "edges" });
  const near = svg("g", { class: "edges near" });
  const numbers = svg("g", { class: "written", "aria-hidden": "true" });
  const boxes = svg("g", { class: "nodes" });
  const drawing = svg("svg", {
    role: "application", "aria-roledescription": "graph", "aria-label": `${title}: services from left to right. The arrow keys move between them`,
    onkeydown: pressed, onclick: (event) => hold(subjectOf(event)), onpointerover: (event) => point(subjectOf(event)), onpointerleave: () => point(null),
    // Held until another is: the reader is to reach the links in the panel.
    onfocusin: (event) => hold(subjectOf(event)),
  }, far, near, numbers, boxes);
  const frame = el("div", { class: "network-frame" }, drawing);
  const figures = panel({ title, key, links, pick, open: (edge) => (lines.has(keyOf(edge)) ? hold({ from: edge.from, to: edge.to }) : pick(edge.to)) });
  const told = el("p", { class: "unseen", "aria-live": "polite" });
  const element = el("div", { class: "network" },
    el("div", { class: "network-tools" },
      el("label", {}, "Colour ", metric), el("div", { class: "find" }, field, matches), legend),
    el("div", { class: "network-scope" }, scope, again),
    el("div", { class: "network-body" }, frame, figures.element), told);
  new ResizeObserver(() => frame.clientWidth !== room && layers.length > 0 && place()).observe(frame);
  register({ keys: key, what: "find a service in the graph", run: () => field.focus() });

  function show(latest) {
    const calls = new Map(graph.edges.map((edge) => [keyOf(edge), edge.calls]));
    const more = graph.services.length === 0 ? [] : latest.edges.filter((edge) => edge.calls > (calls.get(keyOf(edge)) ?? 0));
    grown = new Set(more.length > FEW ? [] : more.map(keyOf));
    graph = { services: latest.services.toSorted((one, other) => byName(one.name, other.name)), edges: latest.edges };
    draw();
    grown.clear();
    // Who is sent an address sees at once what was picked, on a phone too.
    if (sent) frame.scrollLeft = (nodeOf(held?.name)?.x ?? 0) - frame.clientWidth / 3;
    sent = false;
  }

  function draw() {
    choose();
    const services = graph.services.filter(({ name }) => chosen.has(name));
    columns = layered({ services, edges: graph.edges }, byName, layerOf);
    layers = columns.map((column) => column.filter(({ lane }) => !lane));
    const column = layers.flat();
    for (const node of column) node.box = nodes.get(node.name) ?? box(node.name);
    keepOnly(nodes, new Map(column.map((node) => [node.name, node.box])));
    const of = new Map(column.map((node) => [node.name, node]));
    drawn = graph.edges.filter(({ from, to }) => from !== to && of.has(from) && of.has(to))
      .map((edge) => ({ ...edge, ends: endsOf(of.get(edge.from), of.get(edge.to)), line: lines.get(keyOf(edge)) ?? svg("path") }));
    for (const edge of drawn) Object.assign(edge.line, { subject: { from: edge.from, to: edge.to } });
    keepOnly(lines, new Map(drawn.map((edge) => [keyOf(edge), edge.line])));
    label(column);
    if (boxes.children.length !== column.length || column.some(({ box }, index) => boxes.children[index] !== box)) {
      // Who was in one that goes elsewhere is taken along.
      const focused = boxes.contains(document.activeElement) ? document.activeElement : null;
      boxes.replaceChildren(...column.map(({ box }) => box));
      focused?.focus();
    }
    tabbable(of.get(at) ?? of.get(held?.name) ?? column[0]);
    place();
    tellScope();
  }

  /** The caller, the lanes of the call, the called. */
  function endsOf(from, to) {
    return [from, ...(from.calls.find((call) => call.to === to)?.lanes ?? []), to];
  }

  /** Those that are drawn stay the same while figures change, so that nothing jumps. */
  function choose() {
    const { services, edges } = graph;
    const wanted = held?.name ?? null;
    const known = new Set(services.map(({ name }) => name));
    const kept = chosenAmongCalls && (!known.has(wanted) || chosen.has(wanted)) && [...chosen].every((name) => known.has(name));
    if (services.length > MOST && kept) return;
    chosen = busiest(graph, MOST, wanted);
    chosenAmongCalls = edges.length > 0;
  }

  function chooseAgain() {
    chosenAmongCalls = false;
    draw();
  }

  function tellScope() {
    const all = graph.services.length;
    const few = all > chosen.size;
    scope.textContent = few ? `${count(chosen.size)} of ${count(all)} services are drawn, the busiest and who they work with. Find any other by its name.` : "";
    again.hidden = !few || [...busiest(graph, MOST, held?.name)].every((name) => chosen.has(name));
  }

  /** Gives everything its place, as wide as there is room. */
  function place() {
    room = frame.clientWidth;
    const rowsOf = (column) => column.reduce((sum, { lane }) => sum + (lane ? LANE : 1), 0);
    const tallest = Math.max(1, ...columns.map(rowsOf));
    const pitch = Math.max(PITCH.least, Math.min(PITCH.most, Math.floor(Math.max(PITCH.all, innerHeight - AROUND) / tallest)));
    const height = pitch - BETWEEN;
    const letter = Math.round(pitch / 4) + 6;
    const inner = (room || 800) - 2 * MARGIN;
    const least = Math.max(WIDTH.least, Math.min(LETTERS.least * letter, (inner * 0.5) / Math.max(1, columns.length)));
    const whole = layers.map((layer) => Math.max(least, 20 + LETTER * letter * Math.min(LETTERS.most, Math.max(...layer.map(({ name }) => name.length)))));
    const sum = (widths) => widths.reduce((sum, width) => sum + width, 0);
    const between = Math.max(0, columns.length - 1);
    const widths = sum(whole) + between * GAP.least <= inner ? whole : whole.map((width) => Math.max(least, Math.min(width, WIDTH.narrow)));
    const gap = between === 0 ? 0 : Math.max(GAP.least, Math.min(GAP.most, (inner - sum(widths)) / between));
    const shared = inCommon(layers.flat().map(({ name }) => name));
    let x = MARGIN;
    columns.forEach((slots, column) => {
      const width = widths[column];
      // By whole rows, so that what is beside each other is so exactly.
      let above = Math.floor((tallest - rowsOf(slots)) / 2);
      for (const slot of slots) {
        Object.assign(slot, { column, x, y: MARGIN + above * pitch, width, height: slot.lane ? LANE * pitch : height, gap });
        above += slot.lane ? LANE : 1;
      }
      x += width + gap;
    });
    layers.forEach((layer) => layer.forEach((node, row) => {
      node.row = row;
      const { width } = node;
      set(node.box, { transform: `translate(${node.x} ${node.y})` });
      const [back, stripe, inside] = node.box.shape;
      set(back, { width, height });
      set(stripe, { height });
      set(inside, { width: width - 4, height });
      set(inside.firstChild, { y: height / 2 });
      write(inside.firstChild, shortened(node.name, Math.floor((width - 16) / (LETTER * letter)), shared));
    }));
    const size = [x - gap + MARGIN, 2 * MARGIN + tallest * pitch - BETWEEN];
    set(drawing, { "font-size": letter, width: size[0], height: size[1], viewBox: `0 0 ${size[0]} ${size[1]}` });
    withStyle(element, { "--drawn": `${size[1] + 2}px` });
    for (const edge of drawn) set(edge.line, { d: curve(edge.ends) });
    colour();
  }

  function recolour(next) {
    by = next;
    colour();
    changed({ by, picked: held?.name ?? null });
  }

  function colour() {
    const values = drawn.map((edge) => valueOf(edge, by)).filter((value) => value !== null);
    steps = by === "errors" ? ERROR_STEPS : latencySteps(values);
    const most = Math.max(1, ...drawn.map(({ calls }) => calls));
    // A thousand wide lines would be one blot.
    const widest = Math.max(1.4, Math.min(7, 140 / drawn.length ** 0.75));
    const alike = new Map();
    for (const edge of drawn) {
      edge.heat = heatOf(valueOf(edge, by));
      alike.set(edge.heat, (alike.get(edge.heat) ?? 0) + 1);
    }
    for (const edge of drawn) {
      // What hundreds are is not what stands out.
      const faint = alike.get(edge.heat) > CROWD;
      set(edge.line, {
        class: `edge heat-${edge.heat}${edge.errors > 0 ? " failing" : ""}${faint ? " faint" : ""}${grown.has(keyOf(edge)) ? " grown" : ""}`,
        "stroke-width": (1 + (widest - 1) * Math.sqrt(edge.calls / most)).toFixed(2),
      });
    }
    // The hottest on top.
    far.replaceChildren(...drawn.toSorted((one, other) => one.heat - other.heat).map(({ line }) => line));
    legend.replaceChildren(...explained(values));
    render(true);
  }

  function explained(values) {
    const text = by === "errors" ? share : brief;
    const sample = (kind) =>
      svg("svg", { class: "sample", viewBox: "0 0 24 10", "aria-hidden": "true" }, svg("path", { class: kind, d: "M0 5H24", "stroke-width": 4 }));
    const heats = values.length === 0 ? [] : [...steps, null].map((step, heat) => {
      const all = steps.length === 0 ? Math.max(...values) : step;
      return el("li", {}, sample(`heat-${heat + 1}`), all === 0 ? "none failed" : all === null ? `over ${text(steps.at(-1))}` : `up to ${text(all)}`);
    });
    // As much room however many there are: what is below stays where it is while figures come.
    const spare = Array.from({ length: HEATS - heats.length }, () => el("li", { class: "spare", "aria-hidden": "true" }, sample(""), "up to 100 ms"));
    return [...heats, el("li", {}, sample("failing"), "some failed"), el("li", {}, "Wider: more calls"), ...spare];
  }

  function heatOf(value) {
    return 1 + (value === null ? 0 : steps.filter((step) => value > step).length);
  }

  function box(name) {
    const group = svg("g", { class: "node", role: "button", tabindex: "-1" });
    // An inner drawing cuts off what does not fit, wide letters for example.
    const inside = svg("svg", {}, svg("text", { x: 11, "dominant-baseline": "central" }));
    group.shape = [svg("rect", { class: "back", rx: 4 }), svg("rect", { class: "stripe", width: 5, rx: 2 }), inside];
    group.append(svg("title", {}, name), ...group.shape);
    group.subject = { name };
    return hued(group, name);
  }

  /** What every service is said to be, to who hears the page. */
  function label(all) {
    const sums = new Map(all.map(({ name }) => [name, { called: 0, errors: 0, calls: 0 }]));
    for (const { from, to, calls, errors } of graph.edges) {
      const [caller, called] = [sums.get(from), sums.get(to)];
      if (caller) caller.calls += calls;
      if (called) Object.assign(called, { called: called.called + calls, errors: called.errors + errors });
    }
    for (const { name, box } of all) {
      const { called, errors, calls } = sums.get(name);
      box.classList.toggle("silent", called + calls === 0);
      set(box, { "aria-label": `${name}: called ${counted(called, "time")}, ${counted(errors, "error")}; calls others ${counted(calls, "time")}` });
    }
  }

  function subjectOf(event) {
    return event.target.closest?.(".node, .edge")?.subject ?? null;
  }

  function point(subject) {
    pointed = subject;
    render();
  }

  function hold(subject) {
    if (same(subject, held)) return;
    held = subject;
    if (subject?.name) {
      at = subject.name;
      tabbable(nodeOf(at));
    }
    told.textContent = subject?.name === undefined ? "" : sentence(graph, subject.name);
    render();
    changed({ by, picked: held?.name ?? null });
  }

  /** Holds a service, and draws it where it is not: from the list, the panel, the search. */
  function pick(name, focus = true) {
    hold({ name });
    if (!chosen.has(name)) draw();
    const node = nodeOf(name);
    if (focus) node?.box.focus();
    else node?.box.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  function nodeOf(name) {
    return layers.flat().find((node) => node.name === name);
  }

  function tabbable(node) {
    for (const box of boxes.querySelectorAll("[tabindex='0']")) box.setAttribute("tabindex", "-1");
    node?.box.setAttribute("tabindex", "0");
  }

  /** Shows what is pointed at, else what is held, else all; `afresh` also where it is the same as before. */
  function render(afresh = false) {
    const subject = pointed ?? held;
    const letters = sought();
    const state = `${letters}\n${JSON.stringify(subject)}`;
    if (!afresh && state === shown) return;
    shown = state;
    element.classList.toggle("held", held !== null);
    const edges = subject ? drawn.filter((edge) => touches(edge, subject)) : [];
    const around = new Set(subject ? [subject.name ?? subject.from, subject.to, ...edges.flatMap(({ from, to }) => [from, to])] : []);
    drawing.classList.toggle("picking", Boolean(subject) && around.size > 0);
    drawing.classList.toggle("seeking", letters !== "");
    for (const { name, box } of layers.flat()) {
      box.classList.toggle("near", around.has(name));
      box.classList.toggle("found", letters !== "" && name.toLowerCase().includes(letters));
      set(box, { "aria-pressed": String(held?.name === name) });
    }
    near.replaceChildren(...edges.map(({ line }) => line.cloneNode()));
    numbers.replaceChildren(...(subject ? edges : hottest(drawn, by, WRITTEN)).map((edge) => number(edge, subject)).filter(Boolean));
    const found = matching();
    const hidden = found.filter((name) => !chosen.has(name)).length;
    matches.textContent = letters === "" ? "" : found.length === 0 ? "none" : `${counted(found.length, "service")}${hidden > 0 ? `, ${count(hidden)} not drawn` : ""}`;
    figures.show(graph, by, subject);
  }

  function matching() {
    const letters = sought();
    return letters === "" ? [] : graph.services.map(({ name }) => name).filter((name) => name.toLowerCase().includes(letters));
  }

  /** Beside that end of a call which it has for itself: each service has a row of its own. */
  function number(edge, subject) {
    const [from, to] = [edge.ends[0], edge.ends.at(-1)];
    if (to.gap < ROOM_FOR_NUMBERS) return null;
    const value = by === "errors" ? share(valueOf(edge, by)) : brief(valueOf(edge, by));
    const all = by === "errors" ? `${value} of ${count(edge.calls)}` : `${count(edge.calls)} × ${value}`;
    const text = subject && to.gap > 2 * ROOM_FOR_NUMBERS ? all : value;
    const atCaller = subject?.name === edge.to;
    return svg("text", atCaller
      ? { x: from.x + from.width + 5, y: from.y + from.height / 2, "dominant-baseline": "central" }
      : { x: to.x - 5, y: to.y + to.height / 2, "dominant-baseline": "central", "text-anchor": "end" }, text);
  }

  const sought = () => field.value.trim().toLowerCase();

  function seek() {
    stepped = -1;
    render();
    searched(sought());
  }

  function stepThrough(event) {
    if (event.key === "Escape") {
      field.value = "";
      field.blur();
      hold(null);
      seek();
    } else if (event.key === "Enter") {
      event.preventDefault();
      const found = matching();
      if (found.length === 0) return;
      stepped = (stepped + (event.shiftKey ? found.length - 1 : 1)) % found.length;
      pick(found[Math.max(0, stepped)], false);
    }
  }

  /** One Tab stop; arrows go up and down a layer and across to the nearest row of the next; Enter to what the panel leads to. */
  function pressed(event) {
    const node = nodeOf(event.target.subject?.name);
    if (!node || event.ctrlKey || event.metaKey || event.altKey) return;
    const layer = layers[node.column];
    const across = (next) => next?.reduce((best, other) => (Math.abs(other.y - node.y) < Math.abs(best.y - node.y) ? other : best));
    const go = (target) => target?.box.focus();
    const act = {
      ArrowDown: () => go(layer[node.row + 1]),
      ArrowUp: () => go(layer[node.row - 1]),
      ArrowRight: () => go(across(layers[node.column + 1])),
      ArrowLeft: () => go(across(layers[node.column - 1])),
      Home: () => go(layer[0]),
      End: () => go(layer.at(-1)),
      Enter: () => figures.element.querySelector("a, button")?.focus(),
      " ": () => hold(same(held, node.box.subject) ? null : node.box.subject),
      Escape: () => hold(null),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  return { element, show };
}

const keyOf = ({ from, to }) => JSON.stringify([from, to]);

const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);

const touches = ({ from, to }, subject) => (subject.name === undefined ? from === subject.from && to === subject.to : from === subject.name || to === subject.name);

/** So many letters of a name: first without what most names have in common, then both its ends, since services of one kind differ there. */
function shortened(name, most, { start, end }) {
  let cut = name;
  if (cut.length > most && end && cut.endsWith(end)) cut = `${cut.slice(0, -end.length)}…`;
  if (cut.length > most && start && cut.startsWith(start)) cut = `…${cut.slice(start.length)}`;
  const letters = [...cut];
  const last = Math.floor(most / 3);
  return letters.length > most ? [...letters.slice(0, most - 1 - last), "…", ...letters.slice(-last)].join("") : cut;
}

/** The longest beginning and the longest end that most of the names have, none being all of a name. */
function inCommon(all) {
  const longest = (part) => {
    for (let length = LETTERS.shared; length > 1; length--) {
      const counts = new Map();
      for (const name of all) if (name.length > length + 1) counts.set(part(name, length), (counts.get(part(name, length)) ?? 0) + 1);
      for (const [found, times] of counts) if (times > all.length / 2 && found.isWellFormed()) return found;
    }
    return "";
  };
  return { start: longest((name, length) => name.slice(0, length)), end: longest((name, length) => name.slice(-length)) };
}

/** From the right edge of the caller by its lanes to the left edge of the called; a call within a layer or back to one bends around. */
function curve(ends) {
  let path = "";
  for (let next = 1; next < ends.length; next++) {
    const [from, to] = [ends[next - 1], ends[next]];
    const [y1, y2] = [from.y + from.height / 2, to.y + to.height / 2];
    const [x1, x2] = [from.x + from.width, to.x];
    const bend = x2 > x1 ? (x2 - x1) / 2 : Math.max(40, from.gap / 2);
    path += `${next === 1 ? "M" : "L"}${x1} ${y1} C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`;
  }
  return path;
}

/** Up to four round latencies between the least and the most, by equal factors: they stay as they are while figures change a little. */
function latencySteps(values) {
  const positive = values.filter((value) => value > 0);
  const high = Math.max(...positive);
  const low = Math.max(Math.min(...positive), high / 1000);
  const wanted = [1, 2, 3, 4].map((step) => rounded(low * (high / low) ** (step / 5)));
  return [...new Set(wanted)].filter((step) => step > low && step < high);
}

/** The nearest of 1, 2 and 5 times a power of ten. */
function rounded(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  const factor = [1, 2, 5, 10].reduce((best, other) => (Math.abs(Math.log(other * power / value)) < Math.abs(Math.log(best * power / value)) ? other : best));
  return Number((factor * power).toPrecision(3));
}

/** Attributes that differ only: much is drawn again that is as it was. */
function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function keepOnly(map, latest) {
  map.clear();
  for (const [name, element] of latest) map.set(name, element);
}
