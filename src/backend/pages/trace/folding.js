// Which spans have a row: what is folded away, and which row stands for what has none. Nothing here draws.
//
// A span is `folded` with all below it. By visits, only the first span of each visit to a service has a row, and what the service did
// within itself belongs to it: seven spans of four services are four rows.

import { lengthOf, uncovered } from "/assets/shared/trace_model.js";

/** Rows in the order of display. Tells each span which row it is part of (`row`), and each row its `level` and whether it has others below. */
export function rowsOf(trace, byVisit) {
  const rows = [];
  for (let index = 0; index < trace.spans.length; index++) {
    const span = trace.spans[index];
    const above = span.parent?.row;
    if (byVisit && above && span.parent.service === span.service) {
      span.row = above;
      continue;
    }
    span.row = span;
    span.level = above ? above.level + 1 : 0;
    span.branches = byVisit ? Boolean(span.folded) : span.children.length > 0;
    span.rowChildren = [];
    if (above) {
      above.branches = true;
      above.rowChildren.push(span);
    }
    rows.push(span);
    if (!span.folded) continue;
    for (const last = index + span.below; index < last;) trace.spans[++index].row = span;
  }
  for (const span of rows) findOwn(span, byVisit);
  return rows;
}

/** What the row says of self time: of the whole visit, where it stands for one. */
function findOwn(span, byVisit) {
  span.own = byVisit && !span.folded ? uncovered(span, span.rowChildren.toSorted((one, other) => one.offset - other.offset)) : span.selfIntervals;
  span.ownTime = lengthOf(span.own);
}

export function foldAll(trace, folded) {
  for (const span of trace.spans) span.folded = folded && span.children.length > 0;
}

/** Shows so many levels. */
export function foldTo(trace, levels) {
  for (const span of trace.spans) span.folded = span.depth >= levels - 1 && span.children.length > 0;
}

export function foldService(trace, name, folded) {
  for (const span of trace.spans) if (span.service === name) span.folded = folded && span.children.length > 0;
}

/** One level more, or one less than there is to see. */
export function foldBy(trace, rows, step) {
  const deepest = rows.reduce((most, { depth }) => Math.max(most, depth), 0);
  foldTo(trace, Math.max(1, deepest + 1 + step));
}

/** Unfolds all that a span is folded into. */
export function uncover(span) {
  for (let above = span.parent; above; above = above.parent) above.folded = false;
}
