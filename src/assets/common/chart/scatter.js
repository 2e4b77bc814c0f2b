// Many things by when they were and how long they took: each a point, those that failed in another colour and another shape.
//
// Some are SVG; from `MOST_SVG` on they are drawn on a canvas below the axes, at most once a frame, so that a run of ten thousand calls
// can be watched while it goes on. Either way the same keys and the same pointer find them. The drawing is as wide as its place and
// always as high, so that its texts can be read on a phone and do not grow on a projector.

import { el, svg, withStyle } from "/assets/common/dom.js";
import { bottomAxis, cursor, figure, layout, leftAxis, pointOf } from "/assets/common/chart/frame.js";
import { linear, log } from "/assets/common/chart/scale.js";
import { counted } from "/assets/common/format.js";

const MOST_SVG = 2000;
const RADIUS = 3.5;
// So near, in the drawing's units, a pointer means a point.
const NEAR = 12;
// A pointer that moved less than this along an axis did not choose a part of it.
const STILL = 6;
// Shift and an arrow move the edge of what is chosen by such a part of the plot.
const STEPS = { x: 40, y: 12 };
const TICK_WIDTH = 110;
// Of more than these, where many lie on one another is to be seen.
const DENSE = 300;
// To the right there is room for half of a tick's text.
const MARGIN = { top: 10, right: 44, bottom: 34, left: 62 };

/**
 * `x` and `y`: `{ text(value), label }`, y logarithmic, x linear or of another `scale`; a label may be a function of both ends; `open(point)`
 * is what Enter and a click do; `name(point)` what is said of one; `of` names what the points are. The answer's `show(points, at)` draws
 * `{ x, y, error, to? }`s, as often as it is called: one with a `to` gets a line from x as far as there, and a line crosses the plot at `at`.
 *
 * `choose`: `{ says(range, held), run(range) }`, for a range that is drawn by a pointer that is `held` down or by Shift and arrows:
 * `{ x: [from, to], y: [from, to], count }`, null where one is as open as the plot. `moment`: `{ says(x), run(x), cancel() }`, for a time that
 * is picked after `askMoment(true)`. `mark(point)` rings one that is meant elsewhere on the page; `told(point)` hears which one is meant here, null none.
 */
export function scatter({ title, x, y, of = "trace", name, open = null, choose = null, moment = null, told = null, size = {} }) {
  let place = layout({ margin: MARGIN, ...size });
  let points = [];
  let scales = null;
  let waiting = false;
  let picked = -1;
  let at = null;
  let asking = false;
  const inside = svg("g");
  const ring = svg("circle", { class: "ring", r: RADIUS + 3, visibility: "hidden" });
  const line = svg("line", { class: "moment", visibility: "hidden" });
  const box = svg("rect", { class: "brush", visibility: "hidden" });
  const canvas = el("canvas", { "aria-hidden": "true" });
  const drawn = figure({ kind: "scatter", title, says: "Nothing yet.", place, parts: [inside, line, box, ring], under: canvas });
  const { drawing, element } = drawn;
  withStyle(drawing, { height: `${place.height}px` });

  const go = cursor(drawn, {
    what: "scatter plot",
    // From left to right, as the arrows go.
    count: () => points.length,
    nearest,
    show: (index) => {
      picked = index;
      mark(points[picked]);
      told?.(points[picked] ?? null);
      return index < 0 ? "" : name(points[index]);
    },
    open: open && ((index) => open(points[index])),
  });
  const brush = choose && brushing();
  if (moment) asksMoment();
  // Where it is drawn for the first time it also gets its size: that is no reason to draw it twice.
  new ResizeObserver(() => drawing.getBoundingClientRect().width !== place.width && later()).observe(element);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", later);

  function show(latest, moment = null) {
    points = latest.toSorted((one, other) => one.x - other.x);
    at = moment;
    brush?.clear();
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
    const { width } = drawing.getBoundingClientRect();
    // Not on the page, or hidden: it comes back when it has a width.
    if (width === 0) return;
    place = layout({ margin: MARGIN, ...size, width });
    drawing.setAttribute("viewBox", `0 0 ${place.width} ${place.height}`);
    const [xs, ys] = [rangeOfX(), rangeOfY()];
    scales = [(x.scale ?? linear)(xs, [place.left + 4, place.right - 4]), log(ys, [place.bottom - 4, place.top + 4])];
    const many = points.length > MOST_SVG;
    inside.replaceChildren(
      ...(points.length > 0 ? [leftAxis(place, scales[1], y.text), bottom(xs)] : []),
      // Failures are few, and not to be hidden.
      ...(many ? [] : points.toSorted((one, other) => Number(Boolean(one.error)) - Number(Boolean(other.error))).map(shape)));
    inside.classList.toggle("dense", points.length > DENSE);
    canvas.hidden = !many;
    if (many) paint();
    drawLine(at);
    mark(points[picked]);
  }

  function rangeOfX() {
    let [low, high] = range(points, ({ x }) => x);
    for (const { to } of points) if (to > high) high = to;
    if (at !== null) [low, high] = [Math.min(low, at), Math.max(high, at)];
    return [low, high];
  }

  /** Of those that took any time: one that took none is drawn with the shortest. */
  function rangeOfY() {
    const [low, high] = range(points.filter(({ y }) => y > 0), ({ y }) => y);
    return low < high ? [low, high] : [low / 2 || 0.5, high * 2];
  }

  function bottom(xs) {
    const wanted = Math.max(2, Math.floor((place.right - place.left) / TICK_WIDTH));
    return bottomAxis(place, scales[0], (tick) => (scales[0].text ?? x.text)(tick), typeof x.label === "function" ? x.label(...xs) : x.label, wanted);
  }

  function shape(point) {
    const [px, py] = where(point);
    // A cross as well as a colour: not everybody tells red from blue.
    const own = point.error
      ? svg("path", { class: "point failed", d: `M${px - RADIUS} ${py - RADIUS}l${2 * RADIUS} ${2 * RADIUS}m0 ${-2 * RADIUS}l${-2 * RADIUS} ${2 * RADIUS}` })
      : svg("circle", { class: "point", cx: px, cy: py, r: RADIUS });
    if (point.to === undefined) return own;
    return svg("g", {}, svg("line", { class: point.error ? "lasted failed" : "lasted", x1: px, x2: scales[0](point.to), y1: py, y2: py }), own);
  }

  function paint() {
    const { width } = drawing.getBoundingClientRect();
    const scale = devicePixelRatio * (width / place.width);
    const [wide, high] = [Math.round(place.width * scale), Math.round(place.height * scale)];
    if (canvas.width !== wide || canvas.height !== high) Object.assign(canvas, { width: wide, height: high });
    const context = canvas.getContext("2d");
    const style = getComputedStyle(element);
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, place.width, place.height);
    context.globalAlpha = 0.55;
    context.fillStyle = style.getPropertyValue("--canvas-point") || style.color;
    for (const point of points) {
      const [px, py] = where(point);
      if (point.to !== undefined) context.fillRect(px, py - 0.25, scales[0](point.to) - px, 0.5);
      if (!point.error) context.fillRect(px - 1.5, py - 1.5, 3, 3);
    }
    context.globalAlpha = 1;
    context.strokeStyle = getComputedStyle(ring).stroke;
    context.beginPath();
    for (const point of points) {
      if (!point.error) continue;
      const [px, py] = where(point);
      context.moveTo(px - 2.5, py - 2.5);
      context.lineTo(px + 2.5, py + 2.5);
      context.moveTo(px + 2.5, py - 2.5);
      context.lineTo(px - 2.5, py + 2.5);
    }
    context.stroke();
  }

  function where(point) {
    return [scales[0](point.x), scales[1](point.y)];
  }

  function mark(point) {
    const shown = point && scales;
    if (shown) {
      const [cx, cy] = where(point);
      ring.setAttribute("cx", cx);
      ring.setAttribute("cy", cy);
    }
    ring.setAttribute("visibility", shown ? "visible" : "hidden");
  }

  function drawLine(value) {
    const shown = value !== null && scales;
    if (shown) for (const [key, to] of Object.entries({ x1: scales[0](value), x2: scales[0](value), y1: place.top, y2: place.bottom })) line.setAttribute(key, to);
    line.setAttribute("visibility", shown ? "visible" : "hidden");
  }

  function nearest(px, py) {
    let [found, least] = [-1, NEAR ** 2];
    if (!scales || asking) return found;
    points.forEach((point, index) => {
      const [x, y] = where(point);
      const distance = (x - px) ** 2 + (y - py) ** 2;
      if (distance < least) [found, least] = [index, distance];
    });
    return found;
  }

  /** A rectangle from where the pointer went down, or where the keys began, to where it is. */
  function brushing() {
    let [from, to] = [null, null];
    let held = false;
    let moved = false;

    const clear = () => {
      [from, to, held] = [null, null, false];
      box.setAttribute("visibility", "hidden");
    };

    /** Its sides in the drawing; an axis along which nothing was chosen is chosen as a whole. */
    const sides = () => {
      const along = (axis, low, high) => {
        const [one, other] = [from[axis], to[axis]].map((side) => Math.min(high, Math.max(low, side)));
        return Math.abs(one - other) < STILL ? [low, high] : [Math.min(one, other), Math.max(one, other)];
      };
      return [along(0, place.left, place.right), along(1, place.top, place.bottom)];
    };

    const chosen = () => {
      const [[left, right], [top, bottom]] = sides();
      const all = right - left >= place.right - place.left;
      return {
        x: all ? [null, null] : [left, right].map(scales[0].invert),
        y: [bottom >= place.bottom ? null : scales[1].invert(bottom), top <= place.top ? null : scales[1].invert(top)],
        count: points.filter((point) => {
          const [px, py] = where(point);
          return px >= left && px <= right && py >= top && py <= bottom;
        }).length,
      };
    };

    const draws = () => {
      const [[left, right], [top, bottom]] = sides();
      for (const [key, value] of Object.entries({ x: left, y: top, width: right - left, height: bottom - top, visibility: "visible" })) box.setAttribute(key, value);
      drawn.told.textContent = choose.says(chosen(), held);
    };

    const run = () => {
      const range = chosen();
      clear();
      choose.run(range);
    };

    drawing.addEventListener("pointerdown", (event) => {
      moved = false;
      if (event.button !== 0 || asking || points.length === 0) return;
      [from, to, held] = [pointOf(event, drawing), null, true];
    });
    drawing.addEventListener("pointermove", (event) => {
      if (!held) return;
      const here = pointOf(event, drawing);
      if (!moved && Math.hypot(here[0] - from[0], here[1] - from[1]) < STILL) return;
      if (!moved) drawing.setPointerCapture(event.pointerId);
      moved = true;
      to = here;
      draws();
    });
    drawing.addEventListener("pointerup", () => {
      if (held && moved) run();
      held = false;
    });
    drawing.addEventListener("pointercancel", clear);
    // Where it was let go is no point that somebody means.
    element.addEventListener("click", (event) => {
      if (moved) event.stopPropagation();
      moved = false;
    }, { capture: true });
    drawing.addEventListener("keydown", (event) => {
      const step = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (event.shiftKey && step && points.length > 0 && scales) {
        const [wide, high] = [(place.right - place.left) / STEPS.x, (place.bottom - place.top) / STEPS.y];
        from ??= picked >= 0 ? where(points[picked]) : [place.left, place.bottom];
        to ??= [...from];
        to = [within(to[0] + step[0] * wide, place.left, place.right), within(to[1] + step[1] * high, place.top, place.bottom)];
        draws();
      } else if (to && event.key === "Enter") run();
      else if (to && event.key === "Escape") {
        clear();
        drawn.told.textContent = "";
      } else return;
      event.preventDefault();
      // Before the walk from point to point, whose keys these are without Shift.
      event.stopImmediatePropagation();
    }, { capture: true });
    return { clear };
  }

  function asksMoment() {
    drawing.addEventListener("pointermove", (event) => {
      if (!asking || !scales) return;
      const value = momentAt(event);
      drawLine(value);
      drawn.told.textContent = moment.says(value);
    });
    drawing.addEventListener("pointerleave", () => drawLine(at));
    element.addEventListener("click", (event) => {
      if (!asking || !scales || !drawing.contains(event.target)) return;
      event.stopPropagation();
      moment.run(momentAt(event));
    }, { capture: true });
    drawing.addEventListener("keydown", (event) => {
      if (!asking || !(event.key === "Escape" || (event.key === "Enter" && picked >= 0))) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      if (event.key === "Escape") moment.cancel();
      else moment.run(points[picked].x);
    }, { capture: true });
  }

  const momentAt = (event) => scales[0].invert(within(pointOf(event, drawing)[0], place.left, place.right));

  function askMoment(wanted) {
    asking = wanted;
    element.classList.toggle("asking", wanted);
    drawLine(at);
    drawn.told.textContent = wanted ? "Click at a moment, or go to a point by arrow keys and press Enter." : "";
  }

  return { element, show, mark, askMoment };
}

const within = (value, low, high) => Math.min(high, Math.max(low, value));

function range(points, read) {
  let [low, high] = [Infinity, -Infinity];
  for (const point of points) {
    low = Math.min(low, read(point));
    high = Math.max(high, read(point));
  }
  return low <= high ? [low, high] : [0, 1];
}
