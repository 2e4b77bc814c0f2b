// What a diagnosis looks like: how long traces take, and where the time of their critical paths goes.

import { el, svg } from "/assets/common/dom.js";
import { flame } from "/assets/common/chart/flame.js";
import { histogram } from "/assets/common/chart/histogram.js";
import * as format from "/assets/common/format.js";

const MS = 1e6;
// On a phone a smaller drawing keeps its texts large.
const WIDTH = innerWidth < 600 ? 460 : 640;

/** The traces by duration, those that the first suspect concerns apart, and where p99 is and would be. */
export function latency({ page: { latency: columns }, suspects: [first] }) {
  const concerned = columns.reduce((sum, column) => sum + column.concerned, 0);
  const moved = first && first.effect.p99_ms.now !== first.effect.p99_ms.fixed;
  const marks = moved ? [{ at: first.effect.p99_ms.now * MS, name: "p99" }, { at: first.effect.p99_ms.fixed * MS, name: "p99 if fixed" }] : [];
  const drawn = histogram({
    title: concerned > 0 ? `Traces by duration; red: the ${concerned === 1 ? "one" : format.count(concerned)} that the first suspect concerns` : "Traces by duration",
    buckets: columns.map(({ to_ms, others, concerned }) => [to_ms * MS, others + concerned]),
    first: columns[0].from_ms * MS, marks, text: format.duration, of: "trace", label: "duration", size: { width: WIDTH, height: 240 },
  });
  drawn.querySelectorAll(".column").forEach((bar, index) => bar.after(...part(bar, columns[index])));
  return el("section", { "aria-labelledby": "latency-title" }, el("h2", { id: "latency-title" }, "How long traces take"), drawn);
}

/** The lower part of a column, as high as its share of concerned traces. */
function part(bar, { others, concerned }) {
  if (concerned === 0) return [];
  const [x, width, y, height] = ["x", "width", "y", "height"].map((name) => Number(bar.getAttribute(name)));
  const high = (height * concerned) / (others + concerned);
  return [svg("rect", { class: "column-part", x, width, y: y + height - high, height: high })];
}

/** The flame graph of all critical paths, and of those that the first suspect concerns where there are others too. */
export function paths({ flame: all, page: { concerned } }) {
  const drawn = el("div");
  const choices = [[all, "All traces"], ...(concerned ? [[concerned, "Those that the first suspect concerns"]] : [])];
  const buttons = choices.map(([graph, name], index) =>
    el("button", { type: "button", "aria-pressed": index === 0 ? "true" : "false", onclick: () => choose(index) }, `${name} (${format.count(graph.traces)})`));
  const draw = (graph) => flame({
    title: `${format.counted(graph.traces, "trace")}: ${format.duration((graph.total_ms * MS) / graph.traces)}${graph.traces > 1 ? " each on average" : ""}`,
    root: rooted(graph), text: (ns) => `${format.duration(ns / graph.traces)} a trace`,
  });
  const choose = (index) => {
    buttons.forEach((button, place) => button.setAttribute("aria-pressed", String(place === index)));
    drawn.replaceChildren(draw(choices[index][0]));
  };
  choose(concerned ? 1 : 0);
  return el("section", { class: "paths", "aria-labelledby": "paths-title" },
    el("h2", { id: "paths-title" }, "Critical paths"),
    el("p", { class: "help" }, "What the end of a trace waited for, added up over traces. A box is an operation of a service, as wide as the time that it "
      + "and what it called took; the boxes below it are what it waited for, and where there is none it was busy itself."),
    buttons.length > 1 && el("div", { class: "choices", role: "group", "aria-label": "Which traces" }, buttons),
    drawn);
}

/** As the flame graph takes it: one root, nanoseconds. Its nodes are no deeper than the answer lets them be. */
function rooted({ roots, total_ms: total }) {
  const node = ({ service, operation, others, total_ms: value, children }) => ({
    service, name: others ? format.counted(others, "other") : operation, value: value * MS, children: children.map(node),
  });
  return roots.length === 1 ? node(roots[0]) : { name: "all traces", value: total * MS, children: roots.map(node) };
}
