// Finds spans by a text: in their names, tags, process, events, warnings and ID, upper and lower case alike.

/** The spans that a text is in, in the order of display; none for an empty one. */
export function found(trace, text) {
  const wanted = text.trim().toLowerCase();
  return wanted === "" ? [] : trace.spans.filter((span) => textOf(span).includes(wanted));
}

// Made when first searched, and kept: the second letter typed is to cost less than the first.
const texts = new WeakMap();

function textOf(span) {
  if (!texts.has(span)) {
    const pairs = (list) => list.map(([key, value]) => `${key}=${value}`);
    texts.set(span, [
      `${span.service} ${span.name}`, span.id, span.kind && `kind=${span.kind}`, span.statusMessage, span.error ? "error=true" : "",
      ...pairs(span.tags), ...pairs(span.process), ...span.events.flatMap((event) => [event.name, ...pairs(event.tags)]), ...span.warnings,
    ].join("\n").toLowerCase());
  }
  return texts.get(span);
}

/** Of spans in the order of display the one after `from`, or before it; behind the last comes the first again. */
export function beside(spans, from, step) {
  if (spans.length === 0) return null;
  const index = from?.index ?? -1;
  return step > 0 ? (spans.find((span) => span.index > index) ?? spans[0]) : (spans.findLast((span) => span.index < index) ?? spans.at(-1));
}
