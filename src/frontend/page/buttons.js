// The buttons, and what the last calls did.

import { byId, el } from '/assets/common/dom.js';
import { count, ms } from '/assets/common/format.js';
import { press } from './api.js';
import { traceLink } from './trace.js';

/** So many calls are shown. */
const SHOWN = 6;
/** Of a path, so many services are named. */
const MOST_SERVICES = 12;

export function start({ width, services }) {
  const buttons = Array.from({ length: width }, (_, number) => {
    const label = `Button ${number}: calls ${services[number]}`;
    const button = el('button', { type: 'button', 'data-button': number, title: label });
    // Its name is all that it shows, the latency too, for who tells it what to press.
    button.append(el('span', { class: 'unseen' }, 'Button '), String(number), ' ', el('small', {}, ''));
    button.addEventListener('click', () => call(number, button));
    return button;
  });
  byId('buttons').replaceChildren(...buttons);
}

/** What calls carry beside whose they are. */
export function baggage() {
  const tier = byId('tier').value;
  return tier === '' ? {} : { tier };
}

async function call(number, button) {
  const latency = button.querySelector('small');
  button.dataset.state = 'busy';
  latency.textContent = '…';
  const carried = baggage();
  let pressed;
  try {
    pressed = await press(number, carried);
  } catch (error) {
    pressed = { button: number, path: [], error: error.message };
  }
  button.dataset.state = pressed.error ? 'failed' : 'done';
  latency.textContent = pressed.error ? 'failed' : `${ms(pressed.latency_ms)} ms`;
  show({ ...pressed, ...carried });
}

function show({ button, path, message, latency_ms: latency, trace_id: id, customer, tier, error }) {
  const list = byId('last-calls');
  const line = el('li', { 'data-button': button, 'data-trace-id': id, 'data-failed': error ? 'true' : null });
  line.append(
    el('span', { class: 'path' }, `${button}: `, ...way(path)),
    el('span', { class: 'latency' }, latency === undefined ? '' : `${ms(latency)} ms`),
    traceLink(id),
    el('span', { class: error ? 'failed' : 'message' }, error ?? message, ...by('customer', customer), ...by('tier', tier && `tier ${tier}`)),
  );
  list.prepend(line);
  while (list.children.length > SHOWN) list.lastChild.remove();
  byId('no-calls').hidden = true;
}

/** Who called, and of what tier, where that is known. */
function by(what, caller) {
  return caller ? [' · ', el('span', { class: what }, caller)] : [];
}

/** The services of a path, which breaks between them and not within. A fan-out may pass a thousand. */
function way(path) {
  const shown = path.slice(0, MOST_SERVICES);
  const names = shown.flatMap((service, place) => [place === 0 ? '' : ' → ', el('span', { class: 'service' }, service)]);
  return path.length > shown.length ? [...names, ` and ${count(path.length - shown.length)} more`] : names;
}
