// The flame graph of a trace: spans of one service and operation below the same callers are one frame, as wide as the self time in it
// and below it. Nothing here draws.

// Deeper than this nobody looks; what is below is added to the last frame.
const DEEPEST = 200;

export function framesOf(trace) {
  const root = { name: "the whole trace", service: "", value: 0, children: [], places: new Map() };
  const frameOf = new Map();
  for (const span of trace.spans) {
    const above = (span.parent && frameOf.get(span.parent)) || root;
    const frame = span.depth >= DEEPEST ? above : place(above, span);
    frameOf.set(span, frame);
    if (frame !== root && !(frame.longest?.selfTime >= span.selfTime)) frame.longest = span;
    for (let one = frame; one; one = one.above) one.value += span.selfTime;
  }
  const open = [root];
  while (open.length > 0) {
    const frame = open.pop();
    frame.children.sort((one, other) => other.value - one.value);
    open.push(...frame.children);
  }
  // A trace of one root is not in need of a frame above it.
  return root.children.length === 1 ? root.children[0] : root;
}

function place(above, { service, name }) {
  const key = `${service}\n${name}`;
  let frame = above.places.get(key);
  if (!frame) {
    frame = { name, service, value: 0, children: [], places: new Map(), above };
    above.places.set(key, frame);
    above.children.push(frame);
  }
  return frame;
}
