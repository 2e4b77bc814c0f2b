// Draws the service graph as SVG: layers from left to right; pointing at a service or moving to it shows its calls alone.

import { el, svg } from "/assets/common/dom.js";
import * as format from "/assets/common/format.js";
import { layout } from "/assets/graph/layers.js";

const NODE = { width: 150, height: 20, gap: 6 };
const LAYER_GAP = 130;
const MARGIN = 8;
const LABEL_LENGTH = 22;

export function graph(links, compare) {
  const { layers, edges } = layout(links, compare);
  const pitch = NODE.height + NODE.gap;
  const tallest = Math.max(...layers.map((layer) => layer.length));
  layers.forEach((layer, column) => layer.forEach((node, line) => Object.assign(node, {
    line,
    x: MARGIN + column * (NODE.width + LAYER_GAP),
    y: MARGIN + (line + (tallest - layer.length) / 2) * pitch,
  })));
  const width = 2 * MARGIN + layers.length * (NODE.width + LAYER_GAP) - LAYER_GAP;
  const height = 2 * MARGIN + tallest * pitch - NODE.gap;
  const most = Math.max(...edges.map((edge) => edge.calls), 1);

  for (const edge of edges) edge.element = svg("path", { class: "edge", d: curve(edge), "stroke-width": 1 + 3 * Math.sqrt(edge.calls / most) });
  const nodes = layers.flat();
  for (const node of nodes) node.element = box(node);
  const caption = el("p", { class: "caption", "aria-live": "polite" });
  // Faded as one: a hundred faint lines on one another would be a strong one.
  const far = svg("g", { class: "edges" }, edges.map((edge) => edge.element));
  const near = svg("g", { class: "edges near" });
  const drawing = svg("svg", {
    class: "graph", width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": "Service graph; the same calls are in the table below",
  }, far, near, nodes.map((node) => node.element));

  let held = null;
  for (const node of nodes) {
    node.element.addEventListener("pointerenter", () => highlight(node));
    node.element.addEventListener("pointerleave", () => highlight(held));
    // Held until another is: the reader is to reach the link in the caption.
    node.element.addEventListener("focus", () => highlight((held = node)));
    node.element.addEventListener("keydown", (event) => moved(event, node));
  }
  drawing.addEventListener("click", (event) => event.target.closest(".node") ?? highlight((held = null)));
  nodes[0]?.element.setAttribute("tabindex", "0");
  highlight(null);

  function highlight(node) {
    const calls = node ? [...node.calls, ...node.calledBy] : [];
    const nodesNear = new Set([node, ...calls.flatMap((edge) => [edge.from, edge.to])]);
    drawing.classList.toggle("picking", Boolean(node));
    for (const one of nodes) one.element.classList.toggle("near", nodesNear.has(one));
    far.append(...near.children);
    near.append(...calls.map((edge) => edge.element));
    caption.replaceChildren(...(node ? sentence(node).flat() : ["Point at a service, or move to it with Tab and the arrow keys, to see its calls alone."]));
  }

  /** One Tab stop; arrows go up and down a layer and across to the nearest line of the next. */
  function moved(event, node) {
    if (event.key === "Escape") highlight((held = null));
    const layer = layers[node.layer];
    const across = (next) => next?.reduce((best, other) => (Math.abs(other.y - node.y) < Math.abs(best.y - node.y) ? other : best));
    const target = {
      ArrowDown: () => layer[node.line + 1],
      ArrowUp: () => layer[node.line - 1],
      ArrowRight: () => across(layers[node.layer + 1]),
      ArrowLeft: () => across(layers[node.layer - 1]),
      Home: () => layer[0],
      End: () => layer.at(-1),
    }[event.key]?.();
    if (!target) return;
    event.preventDefault();
    node.element.setAttribute("tabindex", "-1");
    target.element.setAttribute("tabindex", "0");
    target.element.focus();
  }

  return el("section", { "aria-labelledby": "graph-title" },
    el("h2", { id: "graph-title" }, "Graph"),
    caption,
    el("div", { class: "graph-frame" }, drawing));
}

function box(node) {
  const letters = [...node.name];
  const short = letters.length > LABEL_LENGTH ? `${letters.slice(0, LABEL_LENGTH - 1).join("")}…` : node.name;
  return svg("g", { class: "node", tabindex: "-1", role: "img", "aria-label": node.name, transform: `translate(${node.x} ${node.y})` },
    svg("title", {}, node.name),
    svg("rect", { width: NODE.width, height: NODE.height, rx: 4 }),
    // An inner drawing cuts off what does not fit, wide letters for example.
    svg("svg", { width: NODE.width - 4, height: NODE.height }, svg("text", { x: 8, y: NODE.height / 2, "dominant-baseline": "central" }, short)));
}

/** From the right edge of the caller to the left edge of the called; a call within a layer or back to one bends around. */
function curve({ from, to }) {
  const [y1, y2] = [from.y + NODE.height / 2, to.y + NODE.height / 2];
  const [x1, x2] = [from.x + NODE.width, to.x];
  const bend = x2 > x1 ? (x2 - x1) / 2 : LAYER_GAP / 2;
  return `M${x1} ${y1} C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`;
}

function sentence(node) {
  const side = (edges, end) => edges.length === 0 ? "nobody" : edges.map((edge, index) =>
    el("span", {}, index > 0 ? ", " : "", el("bdi", {}, edge[end].name), ` (${format.count(edge.calls)})`));
  return [
    el("strong", { class: "service" }, node.name),
    " is called by ", side(node.calledBy, "from"), " and calls ", side(node.calls, "to"), ". ",
    el("a", { href: `/search?service=${encodeURIComponent(node.name)}` }, "Its traces"),
  ];
}
