// Two traces as one tree: every span with its counterpart in the other trace, where it has one. Knows nothing of the page.
//
// Spans are matched from the roots down, along paths: below two that match, those of the same service, operation and kind match in the
// order of their start. What then has no counterpart is in one trace alone, and so is all below it.

// So much of the longer one may differ before one counts as slower: less is what any two calls differ by …
const NOTABLE = 0.1;
// … and so much of the whole trace, since nobody minds more of nearly nothing.
const NOTABLE_OF_WHOLE = 0.002;

/** What tells spans of one kind from another's. */
export const kindOf = ({ service, name, kind }) => JSON.stringify([service, name, kind]);

/**
 * The pairs in the order of display: `{ a, b, depth, parent, below, state, change, selfChange, fails }`, where `a` or `b` is null, `state` is
 * `only-a`, `only-b`, `slower`, `faster` or `same` (b against a), changes are nanoseconds and `below` counts the pairs below.
 */
export function merge(a, b) {
  const least = NOTABLE_OF_WHOLE * Math.max(a.duration, b.duration);
  const pairs = [];
  // Not by recursion: a chain of ten thousand spans must not end the stack.
  const open = match(a.roots, b.roots).map((found) => [found, null]).reverse();
  while (open.length > 0) {
    const [[one, other], parent] = open.pop();
    const pair = { a: one, b: other, parent, depth: parent ? parent.depth + 1 : 0, below: 0, differs: false, ...compared(one, other, least) };
    pairs.push(pair);
    const below = match(one?.children ?? [], other?.children ?? []);
    for (let index = below.length - 1; index >= 0; index--) open.push([below[index], pair]);
  }
  for (let index = pairs.length - 1; index >= 0; index--) {
    const { parent, below, state, fails, differs } = pairs[index];
    if (!parent) continue;
    parent.below += below + 1;
    // What leads to a difference is shown where only differences are.
    parent.differs ||= differs || state !== "same" || Boolean(fails);
  }
  return pairs;
}

/** Siblings of one trace with those of the other: those alone stand where they would have begun. */
function match(ofA, ofB) {
  const waiting = new Map();
  for (const span of ofB) {
    const kind = kindOf(span);
    if (!waiting.has(kind)) waiting.set(kind, { spans: [], next: 0 });
    waiting.get(kind).spans.push(span);
  }
  const found = ofA.map((span) => {
    const same = waiting.get(kindOf(span));
    return [span, same?.spans[same.next++] ?? null];
  });
  for (const { spans, next } of waiting.values()) for (const span of spans.slice(next)) found.push([null, span]);
  return found.length < 2 ? found : found.toSorted((one, other) => startOf(one) - startOf(other));
}

/** After its parent's start, by which two traces can be laid over one another. */
function startOf([one, other]) {
  const span = one ?? other;
  return span.offset - (span.parent?.offset ?? 0);
}

function compared(one, other, least) {
  if (!other) return { state: "only-a", change: -one.duration, selfChange: -one.selfTime, fails: "" };
  if (!one) return { state: "only-b", change: other.duration, selfChange: other.selfTime, fails: "" };
  const change = other.duration - one.duration;
  const notable = Math.abs(change) > Math.max(least, NOTABLE * Math.max(one.duration, other.duration));
  return {
    state: notable ? (change > 0 ? "slower" : "faster") : "same",
    change,
    selfChange: other.selfTime - one.selfTime,
    fails: one.error === other.error ? "" : one.error ? "a" : "b",
  };
}

/** Self time by service, operation and kind in either trace, the largest difference first. */
export function differences(a, b) {
  const kinds = new Map();
  const add = (trace, side) => {
    for (const span of trace.spans) {
      const key = kindOf(span);
      if (!kinds.has(key)) kinds.set(key, { service: span.service, name: span.name, kind: span.kind, a: 0, b: 0, spansA: 0, spansB: 0 });
      const kind = kinds.get(key);
      kind[side] += span.selfTime;
      kind[side === "a" ? "spansA" : "spansB"] += 1;
    }
  };
  add(a, "a");
  add(b, "b");
  return [...kinds.values()].map((kind) => ({ ...kind, change: kind.b - kind.a }))
    .sort((one, other) => Math.abs(other.change) - Math.abs(one.change));
}
