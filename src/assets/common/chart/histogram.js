// How often a value was how large: bars over a logarithmic scale, with marks for what matters (p50, p99, this trace).

import { svg } from "/assets/common/dom.js";
import { bottomAxis, cursor, figure, layout, leftAxis } from "/assets/common/chart/frame.js";
import { linear, log } from "/assets/common/chart/scale.js";
import { count, counted } from "/assets/common/format.js";

/**
 * `buckets`: `[upper, count]`, ascending, each from where the one before ends; `first`: where the first begins, else as far below its
 * end as the second's begin is below its own. `marks`: `{ at, name }`. `text` writes a value; `of` names what is counted.
 */
export function histogram({ buckets, first = null, marks = [], ...options }) {
  const drawn = liveHistogram(options);
  drawn.draw({ buckets, first, marks });
  return drawn.element;
}

/**
 * The same of numbers that still grow: `{ element, draw }`, and `draw({ buckets, first, marks })` when there are others. `whole`: the scale
 * ends at powers of ten, so that bars rarely move; `fitted`: the drawing is as wide as its place, so that its texts keep their size, and
 * `size` may be a function, asked again for another width.
 */
export function liveHistogram({ title, text, of = "span", label = "", size = {}, whole = false, fitted = false }) {
  const laidOut = (fixed = {}) => layout({ height: 180, ...(typeof size === "function" ? size() : size), ...fixed });
  let place = laidOut();
  let lowers = [];
  let buckets = [];
  let bars = [];
  let x;
  let picked = -1;
  let width = 0;
  let last;
  const drawn = figure({ kind: "histogram", title, place, says: "", parts: [] });
  const go = cursor(drawn, {
    what: "histogram", count: () => buckets.length,
    nearest: (px) => buckets.findIndex(([upper], index) => px >= x(lowers[index]) && px < x(upper)),
    show: (index) => {
      picked = index;
      bars.forEach((bar, place) => bar.classList.toggle("picked", place === index));
      return index < 0 ? "" : `${text(lowers[index])} to ${text(buckets[index][0])}: ${counted(buckets[index][1], of)}`;
    },
  });

  // Asked for the width while it draws, the browser would have to lay out the page first.
  if (fitted) {
    new ResizeObserver(([{ contentRect }]) => {
      width = Math.round(contentRect.width);
      if (last && width !== place.width && width > 0) draw(last);
    }).observe(drawn.drawing);
  }

  function draw(numbers) {
    const { buckets: others, first = null, marks = [] } = numbers;
    last = numbers;
    if (fitted && width !== place.width && width > 0) fit();
    const kept = buckets[picked]?.[0];
    buckets = others;
    lowers = buckets.map((_, index) => (index > 0 ? buckets[index - 1][0] : (first ?? below(buckets))));
    const total = buckets.reduce((sum, [, many]) => sum + many, 0);
    x = log(ends(marks), [place.left, place.right]);
    const most = Math.max(1, ...buckets.map(([, many]) => many));
    const y = linear([0, most], [place.bottom, place.top]);
    bars = buckets.map(([upper, many], index) => svg("rect", {
      class: "column", x: x(lowers[index]), width: Math.max(1, x(upper) - x(lowers[index]) - 0.5), y: y(many), height: place.bottom - y(many),
    }));
    const noted = marks.map(({ at, name }, index) => svg("g", { class: "mark" },
      svg("line", { x1: x(at), x2: x(at), y1: place.top, y2: place.bottom }),
      // One below the other, so that near ones can be read.
      svg("text", x(at) > (place.left + place.right) / 2
        ? { x: x(at) - 4, y: place.top + place.letter * (1.4 + 2 * index), "text-anchor": "end" }
        : { x: x(at) + 4, y: place.top + place.letter * (1.4 + 2 * index) }, name)));
    const said = marks.map(({ at, name }) => `${name} is ${text(at)}`).join(", ");
    const says = total === 0 ? "Nothing is counted yet." : `${counted(total, of)}${said && `; ${said}`}.`;
    drawn.drawing.setAttribute("aria-label", `${title}. ${says}`);
    drawn.drawing.replaceChildren(leftAxis(place, y, count, Math.min(3, most)), ...bars, ...noted, bottomAxis(place, x, text, label));
    // Who looks at one bar goes on looking at it.
    if (kept !== undefined) go(buckets.findIndex(([upper]) => upper === kept));
  }

  function ends(marks) {
    const low = Math.min(lowers[0] ?? 1, ...marks.map(({ at }) => at).filter((at) => at > 0));
    const high = Math.max(buckets.at(-1)?.[0] ?? 10, ...marks.map(({ at }) => at));
    return whole ? [10 ** Math.floor(Math.log10(low) + 1e-9), 10 ** Math.ceil(Math.log10(high) - 1e-9)] : [low, high];
  }

  function fit() {
    place = laidOut({ width });
    drawn.drawing.setAttribute("viewBox", `0 0 ${place.width} ${place.height}`);
  }

  return { element: drawn.element, draw };
}

function below(buckets) {
  const [one, two] = buckets;
  if (!one) return 1;
  return two && one[0] > 0 ? one[0] * (one[0] / two[0]) : one[0] / 2;
}
