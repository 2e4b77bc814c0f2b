// How often a value was how large: bars over a logarithmic scale, with marks for what matters (p50, p99, this trace).

import { svg } from "/assets/common/dom.js";
import { bottomAxis, cursor, figure, layout, leftAxis } from "/assets/common/chart/frame.js";
import { linear, log } from "/assets/common/chart/scale.js";
import { count, counted } from "/assets/common/format.js";

/**
 * `buckets`: `[upper, count]`, ascending, each from where the one before ends; `first`: where the first begins, else as far below its
 * end as the second's begin is below its own. `marks`: `{ at, name }`. `text` writes a value; `of` names what is counted.
 */
export function histogram({ title, buckets, first = null, marks = [], text, of = "span", label = "", size = {} }) {
  const place = layout({ height: 180, ...size });
  const total = buckets.reduce((sum, [, many]) => sum + many, 0);
  const lowers = buckets.map((_, index) => (index > 0 ? buckets[index - 1][0] : (first ?? below(buckets))));
  const low = Math.min(lowers[0] ?? 1, ...marks.map(({ at }) => at).filter((at) => at > 0));
  const high = Math.max(buckets.at(-1)?.[0] ?? 10, ...marks.map(({ at }) => at));
  const x = log([low, high], [place.left, place.right]);
  const y = linear([0, Math.max(1, ...buckets.map(([, many]) => many))], [place.bottom, place.top]);
  const bars = buckets.map(([upper, many], index) => svg("rect", {
    class: "column", x: x(lowers[index]), width: Math.max(1, x(upper) - x(lowers[index]) - 0.5), y: y(many), height: place.bottom - y(many),
  }));
  const noted = marks.map(({ at, name }, index) => svg("g", { class: "mark" },
    svg("line", { x1: x(at), x2: x(at), y1: place.top, y2: place.bottom }),
    // One below the other, so that near ones can be read.
    svg("text", x(at) > (place.left + place.right) / 2
      ? { x: x(at) - 4, y: place.top + 9 + 13 * index, "text-anchor": "end" }
      : { x: x(at) + 4, y: place.top + 9 + 13 * index }, name)));
  const said = marks.map(({ at, name }) => `${name} is ${text(at)}`).join(", ");
  const drawn = figure({
    kind: "histogram", title, place,
    says: total === 0 ? "Nothing is counted yet." : `${counted(total, of)}${said && `; ${said}`}.`,
    parts: [leftAxis(place, y, count, 3), bars, noted, bottomAxis(place, x, text, label)],
  });
  cursor(drawn, {
    what: "histogram", count: () => buckets.length,
    nearest: (px) => buckets.findIndex(([upper], index) => px >= x(lowers[index]) && px < x(upper)),
    show: (index) => {
      bars.forEach((bar, place) => bar.classList.toggle("picked", place === index));
      return index < 0 ? "" : `${text(lowers[index])} to ${text(buckets[index][0])}: ${counted(buckets[index][1], of)}`;
    },
  });
  return drawn.element;
}

function below(buckets) {
  const [one, two] = buckets;
  if (!one) return 1;
  return two && one[0] > 0 ? one[0] * (one[0] / two[0]) : one[0] / 2;
}
