// Many things by when they were and how long they took: each a point, those that failed in another colour and another shape.
//
// Some are SVG; from `MOST_SVG` on they are drawn on a canvas below the axes, at most once a frame, so that a run of ten thousand calls
// can be watched while it goes on. Either way the same keys and the same pointer find them.

import { el, svg } from "/assets/common/dom.js";
import { bottomAxis, cursor, figure, layout, leftAxis } from "/assets/common/chart/frame.js";
import { linear, log } from "/assets/common/chart/scale.js";
import { counted } from "/assets/common/format.js";

const MOST_SVG = 2000;
const RADIUS = 3.5;
// So near, in the drawing's units, a pointer means a point.
const NEAR = 12;

/**
 * `x` and `y`: `{ text(value), label }`, x linear and y logarithmic; `open(point)` is what Enter and a click do; `name(point)` what is said of one;
 * `of` names what the points are. The answer's `show(points)` draws `{ x, y, error }`s, as often as it is called.
 */
export function scatter({ title, x, y, of = "trace", name, open = null, size = {} }) {
  const place = layout(size);
  let points = [];
  let scales = null;
  let waiting = false;
  let picked = -1;
  const inside = svg("g");
  const ring = svg("circle", { class: "ring", r: RADIUS + 3, visibility: "hidden" });
  const canvas = el("canvas", { "aria-hidden": "true" });
  const drawn = figure({ kind: "scatter", title, says: "Nothing yet.", place, parts: [inside, ring], under: canvas });
  const { drawing, element } = drawn;

  const go = cursor(drawn, {
    what: "scatter plot",
    // From left to right, as the arrows go.
    count: () => points.length,
    nearest,
    show: (index) => {
      picked = index;
      mark();
      return index < 0 ? "" : name(points[index]);
    },
    open: open && ((index) => open(points[index])),
  });
  new ResizeObserver(later).observe(element);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", later);

  function show(latest) {
    points = latest.toSorted((one, other) => one.x - other.x);
    // What was marked may be another one now.
    if (picked >= 0) go(-1);
    const failed = points.filter(({ error }) => error).length;
    const slowest = points.reduce((most, { y }) => Math.max(most, y), 0);
    const says = points.length === 0 ? "Nothing yet." : `${counted(points.length, of)}, ${counted(failed, "error")}; the longest took ${y.text(slowest)}.`;
    drawing.setAttribute("aria-label", `${title}. ${says}`);
    later();
  }

  function later() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      draw();
    });
  }

  function draw() {
    const [xs, ys] = [range(points, "x"), range(points, "y")];
    scales = [linear(xs, [place.left + 4, place.right - 4]), log([Math.max(ys[0], 1e-9), ys[1]], [place.bottom - 4, place.top + 4])];
    const many = points.length > MOST_SVG;
    inside.replaceChildren(
      ...(points.length > 0 ? [leftAxis(place, scales[1], y.text), bottomAxis(place, scales[0], x.text, x.label)] : []),
      ...(many ? [] : points.map(shape)));
    canvas.hidden = !many;
    if (many) paint();
    mark();
  }

  function shape(point) {
    const [px, py] = at(point);
    // A cross as well as a colour: not everybody tells red from blue.
    return point.error
      ? svg("path", { class: "point failed", d: `M${px - RADIUS} ${py - RADIUS}l${2 * RADIUS} ${2 * RADIUS}m0 ${-2 * RADIUS}l${-2 * RADIUS} ${2 * RADIUS}` })
      : svg("circle", { class: "point", cx: px, cy: py, r: RADIUS });
  }

  function paint() {
    const box = drawing.getBoundingClientRect();
    const scale = devicePixelRatio * (box.width / place.width);
    const [width, height] = [Math.round(place.width * scale), Math.round(place.height * scale)];
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d");
    const style = getComputedStyle(element);
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, place.width, place.height);
    context.globalAlpha = 0.55;
    context.fillStyle = style.getPropertyValue("--canvas-point") || style.color;
    for (const point of points) {
      if (point.error) continue;
      const [px, py] = at(point);
      context.fillRect(px - 1.5, py - 1.5, 3, 3);
    }
    context.globalAlpha = 1;
    context.strokeStyle = getComputedStyle(ring).stroke;
    context.beginPath();
    for (const point of points) {
      if (!point.error) continue;
      const [px, py] = at(point);
      context.moveTo(px - 2.5, py - 2.5);
      context.lineTo(px + 2.5, py + 2.5);
      context.moveTo(px + 2.5, py - 2.5);
      context.lineTo(px - 2.5, py + 2.5);
    }
    context.stroke();
  }

  function at(point) {
    return [scales[0](point.x), scales[1](point.y)];
  }

  function mark() {
    const point = points[picked];
    if (point && scales) {
      const [cx, cy] = at(point);
      ring.setAttribute("cx", cx);
      ring.setAttribute("cy", cy);
    }
    ring.setAttribute("visibility", point && scales ? "visible" : "hidden");
  }

  function nearest(px, py) {
    let [found, least] = [-1, NEAR ** 2];
    if (!scales) return found;
    points.forEach((point, index) => {
      const [x, y] = at(point);
      const distance = (x - px) ** 2 + (y - py) ** 2;
      if (distance < least) [found, least] = [index, distance];
    });
    return found;
  }

  return { element, show };
}

function range(points, key) {
  let [low, high] = [Infinity, -Infinity];
  for (const point of points) {
    low = Math.min(low, point[key]);
    high = Math.max(high, point[key]);
  }
  return low <= high ? [low, high] : [0, 1];
}
