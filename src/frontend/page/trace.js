// Links to traces: one is a link only once the trace backend can answer for it.

import { el } from '/assets/common/dom.js';
import { get } from './api.js';

/** Waits between questions; the last one stays. */
const WAITS_MS = [150, 300, 600, 1000, 2000];

const SAYS = {
  gone: 'trace not kept',
  unsampled: 'not sampled',
  unreachable: 'no trace backend',
};

/** What stands for the trace `id`: a link as soon as it works, or why there is none. */
export function traceLink(id) {
  const place = el('span', { class: 'trace', 'data-state': 'pending' });
  if (!id) {
    place.dataset.state = 'none';
    place.textContent = 'no trace';
    return place;
  }
  place.dataset.traceId = id;
  place.textContent = 'trace on its way …';
  watch(place, id);
  return place;
}

async function watch(place, id) {
  for (let asked = 0; ; asked += 1) {
    await new Promise((resolve) => setTimeout(resolve, WAITS_MS[Math.min(asked, WAITS_MS.length - 1)]));
    // Newer calls have taken its place.
    if (!place.isConnected) return;
    const answer = await get(`traces/${id}`).catch((error) => ({ state: 'unreachable', message: error.message }));
    if (answer.state !== 'pending') return show(place, id, answer);
  }
}

function show(place, id, { state, url, message }) {
  place.dataset.state = state;
  place.title = message;
  if (state === 'ready' && /^https?:/.test(url ?? '')) {
    place.replaceChildren(el('a', { href: url, target: '_blank', rel: 'noopener' }, `trace ${id.slice(0, 8)}`));
  } else {
    place.textContent = SAYS[state] ?? `trace ${id}`;
  }
}
