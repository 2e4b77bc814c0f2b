// The map: who calls whom among the services, how often, how slowly and with how many errors.
//
// All that it knows was measured: the frontend reads it from the traces, and has no way to tell it more. The services have their places
// from the beginning; figures change, and nothing moves.

import { network } from '/assets/common/chart/network.js';
import { byId, say } from '/assets/common/dom.js';
import { counted } from '/assets/common/format.js';
import { get } from './api.js';

/** A little less often than the frontend reads the traces. */
const EVERY_MS = 3000;
const AGAIN = 'It is asked again every few seconds.';

export function start({ services, jaeger }) {
  const place = byId('map');
  const backend = /^https?:/.test(jaeger ?? '') ? jaeger : null;
  const drawing = network({ title: 'Map', key: 'm', layerOf, links: (subject) => (backend ? links(backend, subject) : []) });
  if (backend) byId('map-link').href = `${backend}/dependencies`;
  byId('map-link').hidden = !backend;
  place.append(drawing.element);
  drawing.show({ services: ['frontend', ...services].map((name) => ({ name })), edges: [] });
  watch(place, (answer) => show(drawing, answer));
}

let measured = false;

function show(drawing, { state, traces, edges, services, error }) {
  const before = measured ? ' What is drawn is from before.' : '';
  if (state === 'ready') {
    measured = true;
    tell(`From ${traces === 1 ? 'the one trace' : `the ${counted(traces, 'newest trace')}`} of this mystery, none older than an hour; read again every few seconds.`);
  } else if (state === 'empty') {
    measured = false;
    tell('Nothing is measured yet of this mystery: press a button or start a run. Its calls show here a few seconds later.');
  } else {
    tell(error ?? `The trace backend does not answer. Is it still running? ${AGAIN}${before}`, 'error');
    return;
  }
  drawing.show({
    services,
    edges: edges.map(({ p50_ms: p50, p95_ms: p95, p99_ms: p99, ...edge }) => ({ ...edge, p50, p95, p99 })),
  });
}

/** Said once, not each time that it is still so. */
function tell(text, kind) {
  if (byId('map-status').textContent !== text) say(byId('map-status'), text, kind);
}

/** Asks for the map again and again, while somebody can see it; never while it is being asked for already. */
function watch(place, answered) {
  let seen = false;
  let next = 0;
  let waiting = null;
  let asking = false;
  const wake = () => {
    if (waiting !== null || asking || !seen || document.hidden) return;
    waiting = setTimeout(ask, Math.max(0, next - performance.now()));
  };
  const ask = async () => {
    waiting = null;
    if (!seen || document.hidden) return;
    asking = true;
    next = performance.now() + EVERY_MS;
    try {
      answered(await get('map').catch((error) => ({ error: error.message })));
    } finally {
      asking = false;
      wake();
    }
  };
  new IntersectionObserver(([{ isIntersecting }]) => {
    seen = isIntersecting;
    wake();
  }).observe(place);
  document.addEventListener('visibilitychange', wake);
}

/** The sandbox's own services stand in their layers whether anybody calls them or not. */
function layerOf(name) {
  if (name === 'frontend') return 0;
  const layer = /^dummy-(\d+)-\d+$/.exec(name)?.[1];
  return layer === undefined ? null : Number(layer) + 1;
}

/** Pages of the trace backend, whichever it is: both know these addresses. */
function links(backend, { name, to }) {
  const search = (parameters) => `${backend}/search?${new URLSearchParams({ service: name ?? to, lookback: '1h', ...parameters })}`;
  const which = name === undefined ? ` of ${to}` : '';
  return [
    { href: search({}), text: `Traces${which}`, target: '_blank' },
    { href: search({ tags: JSON.stringify({ error: 'true' }) }), text: 'With errors', target: '_blank' },
  ];
}
