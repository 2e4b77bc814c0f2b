// A whole trace at a glance: the waterfall as a picture, its spans as thin lines in the colours of their services.

import { svg } from "/assets/common/dom.js";
import * as format from "/assets/common/format.js";
import { hued } from "/assets/common/hues.js";

const [WIDTH, HEIGHT] = [1000, 120];
const HIGHEST_ROW = 17;
// What is shorter is drawn as long as this, so that it is seen at all.
const SHORTEST = 2;

/** `whole`: what the width stands for, in nanoseconds, so that several traces can be laid side by side. */
export function overview(trace, whole, name) {
  const row = Math.min(HIGHEST_ROW, HEIGHT / trace.spans.length);
  const thick = Math.max(row * 0.8, 0.4);
  const paths = new Map();
  const failed = [];
  trace.spans.forEach((span, index) => {
    const x = (WIDTH * span.offset) / (whole || 1);
    const width = Math.max(SHORTEST, (WIDTH * span.duration) / (whole || 1));
    const box = `M${x.toFixed(1)} ${(index * row).toFixed(2)}h${width.toFixed(1)}v${thick.toFixed(2)}h-${width.toFixed(1)}z`;
    if (span.error) failed.push(box);
    if (!paths.has(span.service)) paths.set(span.service, []);
    paths.get(span.service).push(box);
  });
  const says = `${name}: ${format.counted(trace.spans.length, "span")} in ${format.duration(trace.duration)} of ${format.duration(whole)} shown`;
  return svg("svg", { class: "overview", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": says },
    // One path a service, whatever the number of its spans.
    [...paths].map(([service, boxes]) => hued(svg("path", { d: boxes.join("") }), service)),
    failed.length > 0 && svg("path", { class: "failed", d: failed.join("") }));
}
