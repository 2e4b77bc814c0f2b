// A trace as the pages show it: read from OTLP JSON, made a tree, with every span's self time. Knows nothing of the page.
//
// Traces come from anybody's programs: parents may be missing, IDs may repeat, parents may run in circles, clocks may disagree.
// Every span that is stored is shown exactly once, and says what is odd about it.

const KINDS = ["", "internal", "server", "client", "producer", "consumer"];
const STATUSES = ["", "ok", "error"];
const WARNINGS = "@jaeger@warnings";

/** Spans in the order of display (a parent, then its subtree by start time) and facts about the whole. */
export function readTrace(json) {
  const spans = readSpans(json.result?.resourceSpans ?? json.resourceSpans ?? []);
  if (spans.length === 0) return { spans, roots: [], start: 0n, duration: 0, depth: 0, errors: 0, services: [] };
  const start = spans.reduce((least, span) => (span.start < least ? span.start : least), spans[0].start);
  for (const span of spans) {
    span.offset = Number(span.start - start);
    span.eventOffsets = span.events.map(({ time }) => Number(time - start)).sort((one, other) => one - other);
  }
  const roots = link(spans);
  const ordered = flatten(roots);
  for (const span of ordered) findSelfTime(span);
  return {
    spans: ordered,
    roots,
    start,
    duration: ordered.reduce((most, span) => Math.max(most, span.offset + span.duration), 0),
    depth: ordered.reduce((most, span) => Math.max(most, span.depth + 1), 0),
    errors: ordered.filter((span) => span.error).length,
    services: byService(ordered),
  };
}

function readSpans(resourceSpans) {
  const spans = [];
  for (const { resource, scopeSpans = [] } of resourceSpans) {
    const process = attributes(resource?.attributes);
    const service = process.find(([key]) => key === "service.name")?.[1] || "unnamed service";
    for (const { scope, spans: inScope = [] } of scopeSpans) {
      for (const json of inScope) spans.push(readSpan(json, service, process, scope));
    }
  }
  return spans;
}

function readSpan(json, service, process, scope) {
  const all = attributes(json.attributes);
  const [start, end] = [BigInt(json.startTimeUnixNano ?? 0), BigInt(json.endTimeUnixNano ?? 0)];
  const span = {
    id: json.spanId ?? "",
    traceId: json.traceId ?? "",
    parentId: json.parentSpanId ?? "",
    name: json.name || "unnamed span",
    service,
    process,
    kind: KINDS[json.kind ?? 0] ?? "",
    status: STATUSES[json.status?.code ?? 0] ?? "",
    statusMessage: json.status?.message ?? "",
    traceState: json.traceState ?? "",
    scope: [scope?.name, scope?.version].filter(Boolean).join(" "),
    tags: all.filter(([key]) => key !== WARNINGS),
    events: (json.events ?? []).map((event) => ({ time: BigInt(event.timeUnixNano ?? 0), name: event.name ?? "", tags: attributes(event.attributes) })),
    links: (json.links ?? []).map((link) => ({ traceId: link.traceId ?? "", spanId: link.spanId ?? "", tags: attributes(link.attributes) })),
    warnings: warnings(json.attributes),
    start,
    offset: 0,
    duration: end > start ? Number(end - start) : 0,
    parent: null,
    children: [],
    depth: 0,
    // Its place in the order of display.
    index: 0,
    // The number of spans below, so that folding a span knows how many rows to hide, and how many of them failed.
    below: 0,
    errorsBelow: 0,
    selfTime: 0,
    selfIntervals: [],
  };
  span.error = span.status === "error" || all.some(([key, value]) => key === "error" && value === "true");
  if (end < start) span.warnings.push("ends before it starts: shown without a duration");
  return span;
}

function attributes(list = []) {
  return list.map(({ key, value }) => [key ?? "", valueText(value)]);
}

/** An OTLP value as text. Whole numbers travel as text, so that none loses digits here. */
function valueText(value = {}) {
  if (value === null) return "";
  if (value.arrayValue) return `[${(value.arrayValue.values ?? []).map(nestedText).join(", ")}]`;
  if (value.kvlistValue) return `{${(value.kvlistValue.values ?? []).map(({ key, value }) => `${JSON.stringify(key)}: ${nestedText(value)}`).join(", ")}}`;
  const plain = value.stringValue ?? value.boolValue ?? value.intValue ?? value.doubleValue ?? value.bytesValue;
  return plain === undefined ? "" : String(plain);
}

const nestedText = (value) => (value?.stringValue === undefined ? valueText(value) : JSON.stringify(value.stringValue));

function warnings(list = []) {
  const value = list.find(({ key }) => key === WARNINGS)?.value;
  return (value?.arrayValue?.values ?? (value ? [value] : [])).map(valueText);
}

/** Gives every span its parent and children, and returns the roots: what has no parent, or none that can be shown above it. */
function link(spans) {
  const byId = new Map();
  for (const span of spans) {
    if (!byId.has(span.id)) byId.set(span.id, span);
    else span.warnings.push(`shares its span ID ${span.id} with another span, which has its children`);
  }
  const roots = [];
  for (const span of spans) {
    const parent = span.parentId && byId.get(span.parentId);
    if (parent && parent !== span) {
      span.parent = parent;
      parent.children.push(span);
      continue;
    }
    if (parent === span) span.warnings.push("names itself as its parent");
    else if (span.parentId) {
      span.orphan = true;
      // Backends say the same in fewer words.
      span.warnings = span.warnings.filter((text) => !text.startsWith(`parent span ID=${span.parentId} is not in the trace`));
      span.warnings.push(`its parent ${span.parentId} is not stored: not arrived yet, not sent, or of a service that does not pass the context on`);
    }
    roots.push(span);
  }
  roots.push(...cutCircles(spans, roots));
  for (const span of spans) span.children.sort(byStart);
  return roots.sort(byStart);
}

const byStart = (one, other) => one.offset - other.offset;

/** Spans that no root leads to hang on a circle of parents: each circle is cut above its earliest span. */
function cutCircles(spans, roots) {
  const reached = new Set();
  const reach = (root) => {
    const stack = [root];
    for (let span = stack.pop(); span; span = stack.pop()) {
      if (reached.has(span)) continue;
      reached.add(span);
      // Not all at once: a span may have more children than a call takes arguments.
      for (const child of span.children) stack.push(child);
    }
  };
  roots.forEach(reach);
  const cut = [];
  for (const lost of spans) {
    if (reached.has(lost)) continue;
    const onCircle = circleAbove(lost);
    const first = onCircle.reduce((earliest, span) => (span.offset < earliest.offset ? span : earliest));
    first.parent.children.splice(first.parent.children.indexOf(first), 1);
    first.parent = null;
    first.warnings.push("is its own ancestor: the circle of parents is cut here");
    cut.push(first);
    reach(first);
  }
  return cut;
}

/** The circle that the parents of a span end in. */
function circleAbove(span) {
  const seen = new Set();
  while (!seen.has(span)) {
    seen.add(span);
    span = span.parent;
  }
  const circle = [span];
  for (let next = span.parent; next !== span; next = next.parent) circle.push(next);
  return circle;
}

/** Depth first, without recursion: a chain of ten thousand spans must not end the stack. */
function flatten(roots) {
  const ordered = [];
  const stack = [...roots].reverse();
  for (let span = stack.pop(); span; span = stack.pop()) {
    span.depth = span.parent ? span.parent.depth + 1 : 0;
    span.index = ordered.length;
    ordered.push(span);
    for (let index = span.children.length - 1; index >= 0; index--) stack.push(span.children[index]);
  }
  for (let index = ordered.length - 1; index >= 0; index--) {
    const { parent, below, error, errorsBelow } = ordered[index];
    if (!parent) continue;
    parent.below += below + 1;
    parent.errorsBelow += errorsBelow + (error ? 1 : 0);
  }
  return ordered;
}

function findSelfTime(span) {
  span.selfIntervals = uncovered(span, span.children);
  span.selfTime = lengthOf(span.selfIntervals);
}

/** Self time: what is left of a span's interval when the intervals of others, by start, are taken away: those of its children. */
export function uncovered(span, others) {
  const left = [];
  const end = span.offset + span.duration;
  let covered = span.offset;
  for (const other of others) {
    const [from, to] = [Math.max(other.offset, span.offset), Math.min(other.offset + other.duration, end)];
    // Outside the span, or behind an earlier one.
    if (to <= from || to <= covered) continue;
    if (from > covered) left.push([covered, from]);
    covered = Math.max(covered, to);
  }
  if (end > covered) left.push([covered, end]);
  return left;
}

export const lengthOf = (intervals) => intervals.reduce((sum, [from, to]) => sum + to - from, 0);

/** Services with their spans, errors and summed self time, the one that spent most of it first. */
function byService(spans) {
  const services = new Map();
  for (const { service: name, selfTime, error } of spans) {
    const service = services.get(name) ?? { name, spans: 0, errors: 0, selfTime: 0 };
    service.spans += 1;
    service.errors += error ? 1 : 0;
    service.selfTime += selfTime;
    services.set(name, service);
  }
  return [...services.values()].sort((one, other) => other.selfTime - one.selfTime);
}
