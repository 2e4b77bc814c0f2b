// What all charts share: a figure with a title, a drawing of a fixed size that scales with its place, axes, and the same in words.
//
// The drawing has its proportions from the start, so nothing moves when it comes. It is one image to a screen reader, whose text says
// what it shows; what a pointer finds in it, the arrow keys find too (`cursor`).

import { el, svg } from "/assets/common/dom.js";

const MARGIN = { top: 10, right: 14, bottom: 34, left: 56 };

/** Where things are: the drawing's size and the plot within; `letter` is how wide one is, and half as high as a line. */
export function layout({ width = 640, height = 220, margin = MARGIN, letter = 6.5 } = {}) {
  return { width, height, left: margin.left, right: width - margin.right, top: margin.top, bottom: height - margin.bottom, letter };
}

/**
 * A `<figure class="chart">`. `says`: what the chart shows, in a sentence; `parts`: what is drawn; `table`: the numbers themselves, folded
 * away, where they are worth reading.
 */
export function figure({ kind, title, says, place, parts, under = null, table = null, attributes = {} }) {
  const drawing = svg("svg", { viewBox: `0 0 ${place.width} ${place.height}`, role: "img", "aria-label": `${title}. ${says}`, ...attributes }, parts);
  const told = el("p", { class: "told", "aria-live": "polite" });
  return {
    drawing,
    told,
    element: el("figure", { class: `chart ${kind}` },
      el("figcaption", {}, title),
      el("div", { class: "drawing" }, under, drawing),
      told,
      table && el("details", {}, el("summary", {}, "The numbers"), table)),
  };
}

/** The axis below: ticks of `scale`, as many of those wanted as do not run into each other, each as `text` writes it, and what it measures. */
export function bottomAxis(place, scale, text, label, wanted = 6) {
  return svg("g", { class: "axis" },
    svg("line", { x1: place.left, x2: place.right, y1: place.bottom, y2: place.bottom }),
    apart(place, scale, text, wanted).map((tick) => [
      svg("line", { x1: scale(tick), x2: scale(tick), y1: place.bottom, y2: place.bottom + 4 }),
      svg("text", { x: scale(tick), y: place.bottom + 3 + 2 * place.letter, "text-anchor": "middle" }, text(tick)),
    ]),
    svg("text", { class: "label", x: place.right, y: place.height - 3, "text-anchor": "end" }, label));
}

function apart(place, scale, text, wanted) {
  const ticks = scale.ticks(wanted);
  // Half of each and a space between them.
  const needed = (one, other) => ((text(one).length + text(other).length) / 2 + 1) * place.letter;
  const crowded = ticks.some((tick, at) => at > 0 && scale(tick) - scale(ticks[at - 1]) < needed(tick, ticks[at - 1]));
  return crowded && wanted > 1 ? apart(place, scale, text, wanted - 1) : ticks;
}

/** The axis on the left, with lines through the plot. */
export function leftAxis(place, scale, text, wanted = 4) {
  return svg("g", { class: "axis" },
    scale.ticks(wanted).map((tick) => [
      svg("line", { class: "grid", x1: place.left, x2: place.right, y1: scale(tick), y2: scale(tick) }),
      svg("text", { x: place.left - 6, y: scale(tick), dy: "0.32em", "text-anchor": "end" }, text(tick)),
    ]));
}

/** Where a pointer is, in the drawing's own units. */
export function pointOf(event, drawing) {
  const box = drawing.getBoundingClientRect();
  const { width, height } = drawing.viewBox.baseVal;
  return [((event.clientX - box.left) / box.width) * width, ((event.clientY - box.top) / box.height) * height];
}

/**
 * Lets the reader walk through the `count()` things of a drawing, by arrow keys or pointer: `show(index)` marks one and returns what to
 * say of it, `show(-1)` none; `nearest(x, y)` finds one, or -1; `open(index)` is what Enter and a click do.
 */
export function cursor({ drawing, told }, { count, show, nearest, open = null, what }) {
  let at = -1;
  const go = (index) => {
    at = Math.max(-1, Math.min(count() - 1, index));
    told.textContent = show(at) ?? "";
  };
  drawing.setAttribute("tabindex", "0");
  // Who can move in it is told so; an image would be passed by.
  drawing.setAttribute("role", "application");
  drawing.setAttribute("aria-roledescription", what);
  drawing.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const act = {
      ArrowRight: () => go(at + 1), ArrowUp: () => go(at + 1), ArrowLeft: () => go(Math.max(0, at - 1)), ArrowDown: () => go(Math.max(0, at - 1)),
      Home: () => go(0), End: () => go(count() - 1), Escape: () => go(-1),
      Enter: () => at >= 0 && open?.(at),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
  drawing.addEventListener("pointermove", (event) => {
    const found = nearest(...pointOf(event, drawing));
    if (found !== at) go(found);
  });
  drawing.addEventListener("pointerleave", () => go(-1));
  if (open) {
    drawing.addEventListener("click", (event) => {
      const found = nearest(...pointOf(event, drawing));
      if (found >= 0) open(found);
    });
  }
  return go;
}
