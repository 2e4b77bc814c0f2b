// The whole trace in small, above its waterfall: every span a line, what was found and what failed marked, the critical path below in
// the colours of who was waited for. A range of time chosen here is what the waterfall shows: by dragging, or with the two handles.

import { el, withStyle } from "/assets/common/dom.js";
import * as format from "/assets/common/format.js";
import { hued } from "/assets/common/hues.js";

const HEIGHT = 64;
const PATH_HEIGHT = 5;
// A range this small a share of the trace is as near as one can come.
const NEAREST = 1 / 10_000;
// So far in pixels a pointer moves before it drags.
const DRAG = 3;

/** `onRange({ from, to })` is called while the reader chooses. `show(range)`, `mark(spans)` and `drawPath(parts)` are for the others. */
export function overview(trace, onRange) {
  const whole = { from: 0, to: trace.duration || 1 };
  let range = whole;
  let marked = [];
  let path = [];
  let waiting = false;
  // The spans alone, which stay as they are while marks and path come and go.
  let drawn = null;
  const canvas = el("canvas", { "aria-hidden": "true" });
  const before = el("div", { class: "outside" });
  const after = el("div", { class: "outside after" });
  const chosen = el("div", { class: "chosen", hidden: true });
  const handles = ["from", "to"].map(handle);
  const failed = el("i", { class: "failed" });
  const colours = el("div", { hidden: true });
  const element = el("div", { class: "overview", role: "group", "aria-label": "Overview of the whole trace" }, canvas, before, after, chosen, handles, colours);
  dragged();
  const resized = new ResizeObserver(anew);
  resized.observe(element);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", anew);
  show(whole);

  function handle(end) {
    const step = (event) => (range.to - range.from) * (event.shiftKey ? 0.1 : 0.02);
    return el("div", {
      class: `handle ${end}`, role: "slider", tabindex: "0", "aria-label": end === "from" ? "Start of the range" : "End of the range",
      onkeydown: (event) => {
        const to = {
          ArrowLeft: () => range[end] - step(event), ArrowDown: () => range[end] - step(event),
          ArrowRight: () => range[end] + step(event), ArrowUp: () => range[end] + step(event),
          Home: () => (end === "from" ? 0 : range.from), End: () => (end === "from" ? range.to : whole.to),
        }[event.key];
        if (!to || event.ctrlKey || event.metaKey || event.altKey) return;
        event.preventDefault();
        choose({ ...range, [end]: to() }, end);
      },
    });
  }

  /** Keeps a range in the trace, in order and not too small; `moved` is the end that gives way. */
  function choose({ from, to }, moved = "to") {
    const least = whole.to * NEAREST;
    [from, to] = [Math.max(0, Math.min(from, whole.to)), Math.max(0, Math.min(to, whole.to))];
    if (to - from < least) moved === "from" ? (from = Math.max(0, to - least)) : (to = from + least);
    if (to > whole.to) [from, to] = [whole.to - least, whole.to];
    show({ from, to });
    onRange(range);
  }

  function dragged() {
    let from = null;
    let end = null;
    const timeAt = (event) => {
      const box = element.getBoundingClientRect();
      return Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)) * whole.to;
    };
    element.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      end = handles.includes(event.target) ? (event.target === handles[0] ? "from" : "to") : null;
      from = { x: event.clientX, time: timeAt(event) };
      element.setPointerCapture(event.pointerId);
      event.preventDefault();
    });
    element.addEventListener("pointermove", (event) => {
      if (!from) return;
      if (end) return choose({ ...range, [end]: end === "from" ? Math.min(timeAt(event), range.to) : Math.max(timeAt(event), range.from) }, end);
      chosen.hidden = Math.abs(event.clientX - from.x) < DRAG;
      const [one, other] = [from.time, timeAt(event)].sort((a, b) => a - b);
      withStyle(chosen, { "--left": share(one), "--width": share(other - one) });
    });
    element.addEventListener("pointerup", (event) => {
      if (from && !end && !chosen.hidden) {
        const [one, other] = [from.time, timeAt(event)].sort((a, b) => a - b);
        choose({ from: one, to: other });
      }
      from = null;
      chosen.hidden = true;
    });
    element.addEventListener("pointercancel", () => {
      from = null;
      chosen.hidden = true;
    });
    element.addEventListener("dblclick", () => choose(whole));
  }

  function share(time) {
    return `${((100 * time) / whole.to).toFixed(3)}%`;
  }

  function show(wanted) {
    range = wanted;
    withStyle(element, { "--from": share(range.from), "--to": share(range.to) });
    handles.forEach((one, index) => {
      const value = index === 0 ? range.from : range.to;
      one.setAttribute("aria-valuemin", 0);
      one.setAttribute("aria-valuemax", Math.round(whole.to));
      one.setAttribute("aria-valuenow", Math.round(value));
      one.setAttribute("aria-valuetext", `${format.duration(value)} after the start`);
    });
  }

  function anew() {
    drawn = null;
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
    const width = element.clientWidth;
    if (width === 0) return;
    const scale = devicePixelRatio;
    const size = { width: Math.round(width * scale), height: Math.round(HEIGHT * scale) };
    const rows = HEIGHT - PATH_HEIGHT - 3;
    const high = Math.max(1, Math.min(4, Math.floor((rows / trace.spans.length) * 0.8)));
    const colourOf = serviceColours();
    const x = (time) => (time / whole.to) * width;
    // Whole pixels: a line between two would be pale.
    const yOf = (span) => Math.round(1 + (span.index / trace.spans.length) * rows);
    if (!drawn) {
      drawn = Object.assign(el("canvas"), size);
      const context = drawn.getContext("2d");
      context.scale(scale, scale);
      const line = (span, height) => context.fillRect(x(span.offset), yOf(span), Math.max(1, x(span.duration)), height);
      for (const span of trace.spans) {
        context.fillStyle = colourOf(span.service);
        line(span, high);
      }
      context.fillStyle = getComputedStyle(failed).color;
      for (const span of trace.spans) if (span.error) line(span, Math.max(high, 2));
    }
    Object.assign(canvas, size);
    const context = canvas.getContext("2d");
    context.scale(scale, scale);
    context.drawImage(drawn, 0, 0, width, HEIGHT);
    for (const { span, from, to } of path) {
      context.fillStyle = colourOf(span.service);
      context.fillRect(x(from), HEIGHT - PATH_HEIGHT, Math.max(0.5, x(to - from)), PATH_HEIGHT);
    }
    // What was found is what the reader looks for now: over all else, and wide enough to be seen.
    context.fillStyle = getComputedStyle(element).color;
    for (const span of marked) context.fillRect(Math.min(width - 3, x(span.offset)), yOf(span) - 1, 3, Math.max(high, 4));
  }

  /** A canvas knows no custom properties: each service's colour is read from an element that has it. */
  function serviceColours() {
    const known = new Map();
    colours.replaceChildren(failed, ...trace.services.map(({ name }) => {
      const one = hued(el("i"), name);
      known.set(name, one);
      return one;
    }));
    const read = new Map([...known].map(([name, one]) => [name, getComputedStyle(one).color]));
    return (name) => read.get(name);
  }

  return {
    element, show, choose,
    whole: () => choose(whole),
    range: () => range,
    isWhole: () => range.from <= 0 && range.to >= whole.to,
    mark: (spans) => {
      marked = spans;
      later();
    },
    drawPath: (parts) => {
      path = parts;
      later();
    },
    end: () => {
      resized.disconnect();
      dark.removeEventListener("change", anew);
    },
  };
}
