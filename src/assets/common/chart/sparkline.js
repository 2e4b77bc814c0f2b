// A line as high as a line of text: how something went, beside the number that it came to.

import { svg } from "/assets/common/dom.js";

const [WIDTH, HEIGHT] = [100, 24];

/** `values`: numbers at equal distances, oldest first, null where there is none; `text` writes one; `name` says what they are. */
export function sparkline(options) {
  return redraw(svg("svg", { class: "sparkline", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" }, svg("path")), options);
}

/** Draws other values into one that is there, for what changes often. */
export function redraw(drawing, { name, values, text = String }) {
  const known = values.filter((value) => Number.isFinite(value));
  const [low, high] = [Math.min(...known, 0), Math.max(...known, 0)];
  const x = (index) => (values.length < 2 ? WIDTH / 2 : (index / (values.length - 1)) * WIDTH);
  const y = (value) => HEIGHT - 2 - ((value - low) / (high - low || 1)) * (HEIGHT - 4);
  let pen = "M";
  const path = values.map((value, index) => {
    if (!Number.isFinite(value)) {
      pen = "M";
      return "";
    }
    const step = `${pen}${x(index).toFixed(1)} ${y(value).toFixed(1)}`;
    pen = "L";
    return step;
  }).join("");
  const says = known.length === 0 ? "nothing yet" : `${text(known.at(-1))} at last, between ${text(Math.min(...known))} and ${text(Math.max(...known))}`;
  // A value alone would be a line without length, which its round ends make a dot.
  drawing.firstChild.setAttribute("d", known.length === 1 ? `${path}h0` : path);
  drawing.setAttribute("aria-label", `${name}: ${says}`);
  return drawing;
}
