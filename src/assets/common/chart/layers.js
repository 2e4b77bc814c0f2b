// Puts services into layers: a caller left of what it calls, by the longest path from those that nobody calls. Nothing here draws.
//
// Within a layer they stand by name, since a reader looks for a name, and numbered services then stand in the same row in every layer;
// unless another order spares half of the crossings: that of barycentres (Sugiyama, Tagawa and Toda 1981).

// Between more calls than these no order would make a way, and a name is found best where names are sorted.
const MOST_ORDERED = 500;
const SWEEPS = 8;

/**
 * `services`: `[{ name }]`; `edges`: `[{ from, to }]`, by name. `layerOf(name)` is the layer of a service where that is known without
 * looking at calls, so that it stays there, by name, whatever is called. The answer: columns of nodes `{ name, layer, calls, calledBy }`
 * and, where a call passes a layer, of `{ lane: true }`s, which the call in `calls` has as its `lanes`.
 */
export function layered({ services, edges }, compare, layerOf = () => null) {
  const nodes = new Map(services.map(({ name }) => [name, { name, fixed: layerOf(name), layer: 0, calls: [], calledBy: [] }]));
  for (const { from, to } of edges) {
    // A service that calls itself is in the table; a loop on every node would only clutter the graph.
    if (from === to || !nodes.has(from) || !nodes.has(to)) continue;
    const edge = { from: nodes.get(from), to: nodes.get(to), back: false, lanes: [] };
    edge.from.calls.push(edge);
    edge.to.calledBy.push(edge);
  }
  const sorted = [...nodes.values()].sort((one, other) => compare(one.name, other.name));
  for (const edge of backEdges(sorted)) edge.back = true;
  assignLayers(sorted);
  const least = Math.min(0, ...sorted.map(({ layer }) => layer));
  const layers = [];
  for (const node of sorted) (layers[node.layer - least] ??= []).push(node);
  const columns = layers.filter(Boolean);
  columns.forEach((column, place) => column.forEach((node) => (node.layer = place)));
  const forward = sorted.flatMap(({ calls }) => calls).filter(({ from, to }) => to.layer > from.layer);
  const segments = forward.reduce((sum, { from, to }) => sum + to.layer - from.layer, 0);
  return segments > MOST_ORDERED || sorted.some(({ fixed }) => fixed !== null) ? columns : ordered(columns, forward);
}

/** The columns with lanes for the calls that pass them, in the better of both orders. */
function ordered(columns, forward) {
  const keys = new Map(columns.flatMap((column) => column.map((node, place) => [node, (place + 0.5) / column.length])));
  const [before, after] = [new Map(), new Map()];
  const byName = columns.map((column) => [...column]);
  const join = (one, other) => {
    after.set(one, [...(after.get(one) ?? []), other]);
    before.set(other, [...(before.get(other) ?? []), one]);
  };
  for (const { from, to, lanes } of forward) {
    for (let layer = from.layer + 1; layer < to.layer; layer++) {
      const lane = { lane: true };
      const share = (layer - from.layer) / (to.layer - from.layer);
      keys.set(lane, keys.get(from) + (keys.get(to) - keys.get(from)) * share);
      byName[layer].push(lane);
      lanes.push(lane);
    }
    [from, ...lanes].forEach((one, place) => join(one, lanes[place] ?? to));
  }
  for (const column of byName) column.sort((one, other) => keys.get(one) - keys.get(other));
  let best = byName;
  let least = Math.floor(crossings(byName, after) / 2);
  let now = byName;
  for (let sweep = 0; sweep < SWEEPS && least > 0; sweep++) {
    now = sweep % 2 === 0 ? swept(now, before) : swept(now.toReversed(), after).toReversed();
    const left = crossings(now, after);
    if (left > least || (left === least && best !== byName)) continue;
    [best, least] = [now, left];
  }
  return best;
}

/** Each column sorted by where on average the neighbours stand that its members have in the one before. */
function swept(columns, neighbours) {
  const places = new Map();
  return columns.map((column) => {
    const wanted = new Map(column.map((node, place) => {
      const near = neighbours.get(node) ?? [];
      return [node, near.length === 0 ? (place + 0.5) / column.length : near.reduce((sum, other) => sum + places.get(other), 0) / near.length];
    }));
    const sorted = column.toSorted((one, other) => wanted.get(one) - wanted.get(other));
    sorted.forEach((node, place) => places.set(node, (place + 0.5) / sorted.length));
    return sorted;
  });
}

/** Pairs of lines between neighbouring columns that cross. */
function crossings(columns, after) {
  const places = new Map(columns.flatMap((column) => column.map((node, place) => [node, place])));
  let found = 0;
  for (const column of columns) {
    const lines = column.flatMap((node, place) => (after.get(node) ?? []).map((other) => [place, places.get(other)]));
    lines.forEach(([from, to], index) => {
      for (let next = index + 1; next < lines.length; next++) found += Number((from - lines[next][0]) * (to - lines[next][1]) < 0);
    });
  }
  return found;
}

/**
 * The names of no more than `most` services, with the most calls, each with the callers before and the called ones behind it that it has
 * most to do with: whole ways through the system instead of its entrance alone. `first` is among them in any case, with its neighbours.
 */
export function busiest({ services, edges }, most, first = null) {
  if (services.length <= most) return new Set(services.map(({ name }) => name));
  const known = new Map(services.map(({ name }) => [name, 0]));
  const heaviest = edges.toSorted((one, other) => other.calls - one.calls);
  const [caller, called] = [new Map(), new Map()];
  for (const { from, to, calls } of heaviest) {
    known.set(from, (known.get(from) ?? 0) + calls);
    known.set(to, (known.get(to) ?? 0) + calls);
    if (!caller.has(to)) caller.set(to, from);
    if (!called.has(from)) called.set(from, to);
  }
  const chosen = new Set();
  const follow = (name, next) => {
    for (let at = next.get(name); at !== undefined && !chosen.has(at) && chosen.size < most; at = next.get(at)) chosen.add(at);
  };
  if (known.has(first)) {
    chosen.add(first);
    for (const { from, to } of heaviest.filter(({ from, to }) => from === first || to === first).slice(0, most / 2)) chosen.add(from).add(to);
    for (const name of [...chosen]) {
      follow(name, caller);
      follow(name, called);
    }
  }
  for (const [name] of [...known].sort(([, one], [, other]) => other - one)) {
    if (chosen.size >= most) break;
    chosen.add(name);
    follow(name, caller);
    follow(name, called);
  }
  return chosen;
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

/** Longest path, in topological order, but for those whose layer is known. */
function assignLayers(nodes) {
  for (const node of nodes) node.layer = node.fixed ?? 0;
  const waiting = new Map(nodes.map((node) => [node, node.calledBy.filter((edge) => !edge.back).length]));
  const ready = nodes.filter((node) => waiting.get(node) === 0);
  for (let node = ready.pop(); node; node = ready.pop()) {
    // Who calls one that stays in its place stands before that.
    const places = node.calls.map(({ to }) => to.fixed).filter((fixed) => fixed !== null);
    if (node.fixed === null && node.calledBy.length === 0 && places.length > 0) node.layer = Math.min(...places) - 1;
    for (const edge of node.calls) {
      if (edge.back) continue;
      if (edge.to.fixed === null) edge.to.layer = Math.max(edge.to.layer, node.layer + 1);
      waiting.set(edge.to, waiting.get(edge.to) - 1);
      if (waiting.get(edge.to) === 0) ready.push(edge.to);
    }
  }
}
