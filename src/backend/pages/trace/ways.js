// What lies between a caller's span and its callee's: the network, a connection, a queue. And where the two disagree about the time.

import * as format from "/assets/common/format.js";

// So much may a callee stick out of its call before clocks are suspected: some report whole milliseconds.
const ROUNDING_NS = 1e6;

/**
 * Of a client span, `{ callees, there, back, skew, outlives }` in nanoseconds: from the call to the callee's start, and from its end to
 * the return. Of a message's receiver, `{ callees, queued, from }`. Of any other span, null.
 */
export function wayOf(span) {
  if (span.kind === "consumer") return queueOf(span);
  if (span.kind !== "client") return null;
  const remote = span.children.filter((child) => child.service !== span.service && (child.kind === "server" || child.kind === ""));
  if (remote.length === 0) return null;
  const end = (one) => one.offset + one.duration;
  const last = remote.reduce((latest, child) => Math.max(latest, end(child)), 0);
  const [there, back] = [remote[0].offset - span.offset, end(span) - last];
  const sticksOut = Math.max(-there, -back) > ROUNDING_NS;
  const fits = remote.length === 1 && remote[0].duration <= span.duration;
  return {
    callees: [...new Set(remote.map(({ service }) => service))],
    there, back,
    between: span.duration - (last - remote[0].offset),
    // What would fit was moved by a clock; what would not goes on when nobody waits any more.
    skew: sticksOut && fits ? Math.max(-there, -back) : 0,
    outlives: sticksOut && !fits && back < 0 ? -back : 0,
  };
}

function queueOf(span) {
  const { parent } = span;
  if (!parent || parent.service === span.service) return null;
  const from = parent.offset + parent.duration;
  return span.offset > from ? { callees: [span.service], queued: span.offset - from, from } : null;
}

/** The same in a sentence, or "" where there is nothing to say. */
export function wayText(span, way) {
  if (!way) return "";
  const callee = way.callees.length === 1 ? way.callees[0] : `${way.callees.length} services`;
  if (way.queued) return `Waited ${format.duration(way.queued)} between being sent by ${span.parent.service} and being received: in a queue, or on the network.`;
  if (way.skew) {
    const when = way.there < 0 ? "begun before it was called" : "ended after it had answered";
    return `The clocks of ${span.service} and ${callee} differ by ${format.duration(way.skew)} or more: ${callee} seems to have ${when}. `
      + `Only there and back together are known: ${format.duration(way.between)}.`;
  }
  if (way.outlives) return `${callee} went on for ${format.duration(way.outlives)} after ${span.service} had stopped waiting.`;
  return `${format.duration(Math.max(0, way.there))} from the call to the start of ${callee}, ${format.duration(Math.max(0, way.back))} from its end to the return: `
    + "network, a connection, or waiting in a queue.";
}

/** Pairs of services whose clocks differ, with the most that was seen. */
export function skews(trace) {
  const pairs = new Map();
  for (const span of trace.spans) {
    const way = wayOf(span);
    if (!way?.skew) continue;
    const pair = `${span.service} and ${way.callees[0]}`;
    pairs.set(pair, Math.max(way.skew, pairs.get(pair) ?? 0));
  }
  return [...pairs];
}
