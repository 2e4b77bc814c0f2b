// Puts services into layers: a caller left of what it calls, by the longest path from those that nobody calls.
//
// Pure functions over [{parent, child, callCount}], as /api/dependencies answers.

/** Services with `layer` and place in it, and the calls between different services. */
export function layout(links, compare) {
  const nodes = new Map();
  const node = (name) => {
    if (!nodes.has(name)) nodes.set(name, { name, layer: 0, calls: [], calledBy: [] });
    return nodes.get(name);
  };
  const edges = [];
  for (const { parent, child, callCount = 0 } of links) {
    const [from, to] = [node(parent), node(child)];
    // A service that calls itself is in the table; a loop on every node would only clutter the graph.
    if (from === to) continue;
    const edge = { from, to, calls: callCount };
    edges.push(edge);
    from.calls.push(edge);
    to.calledBy.push(edge);
  }
  const sorted = [...nodes.values()].sort((one, other) => compare(one.name, other.name));
  for (const edge of backEdges(sorted)) edge.back = true;
  assignLayers(sorted);
  const layers = [];
  // By name within a layer: a reader looks for a name, and numbered services then stand in the same row in every layer.
  for (const service of sorted) (layers[service.layer] ??= []).push(service);
  return { layers, edges };
}

/** Calls that close a circle, found depth first; the layers ignore them. */
function backEdges(nodes) {
  const found = [];
  const state = new Map();
  const callersFirst = [...nodes].sort((one, other) => Number(one.calledBy.length > 0) - Number(other.calledBy.length > 0));
  for (const start of callersFirst) {
    if (state.has(start)) continue;
    const stack = [[start, 0]];
    state.set(start, "open");
    while (stack.length > 0) {
      const top = stack.at(-1);
      const edge = top[0].calls[top[1]++];
      if (!edge) {
        state.set(stack.pop()[0], "done");
      } else if (state.get(edge.to) === "open") {
        found.push(edge);
      } else if (!state.has(edge.to)) {
        state.set(edge.to, "open");
        stack.push([edge.to, 0]);
      }
    }
  }
  return found;
}

/** Longest path, in topological order. */
function assignLayers(nodes) {
  const waiting = new Map(nodes.map((node) => [node, node.calledBy.filter((edge) => !edge.back).length]));
  const ready = nodes.filter((node) => waiting.get(node) === 0);
  for (let node = ready.pop(); node; node = ready.pop()) {
    for (const edge of node.calls) {
      if (edge.back) continue;
      edge.to.layer = Math.max(edge.to.layer, node.layer + 1);
      waiting.set(edge.to, waiting.get(edge.to) - 1);
      if (waiting.get(edge.to) === 0) ready.push(edge.to);
    }
  }
}
