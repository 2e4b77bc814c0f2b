// The buttons, each with its last latency and how that went, and what the last calls did, from the press on.

import { byId, el, withStyle } from '/assets/common/dom.js';
import { redraw, sparkline } from '/assets/common/chart/sparkline.js';
import { brief, count, ms, share } from '/assets/common/format.js';
import { hued } from '/assets/common/hues.js';
import { register } from '/assets/common/keys.js';
import { press } from './api.js';
import { traceLink } from './trace.js';

/** So many calls are shown. */
const SHOWN = 4;
/** Of a path, so many services are named. */
const MOST_SERVICES = 12;
/** Of a button, so many latencies make its trend. */
const REMEMBERED = 20;
/** Beyond this many layers, those that a call has still to reach are not foretold one by one. */
const MOST_LAYERS = 6;
const STOPWATCH_MS = 100;
/** For so long another digit belongs to the number that is being typed. */
const TYPING_MS = 700;

let topology;
/** What is known of each button. */
let faces = [];
/** Calls that are under way, each with the function that shows how long it has been. */
const waiting = new Set();

export function start(runs) {
  topology = runs;
  faces = Array.from({ length: runs.width }, (_, number) => face(number));
  byId('buttons').replaceChildren(...faces.map(({ button }) => button));
  registerDigits();
  setInterval(() => waiting.forEach((tick) => tick()), STOPWATCH_MS);
}

/** What calls carry beside whose they are. */
export function baggage() {
  const tier = byId('tier').value;
  return tier === '' ? {} : { tier };
}

/** What a run has measured of its buttons since it last said so: `{button, latency_ms, failed}`, the last a share. */
export function measured(buttons) {
  for (const { button, latency_ms: latency, failed } of buttons) if (faces[button]) remember(faces[button], latency, failed);
  compare();
}

function face(number) {
  const button = el('button', { type: 'button', 'data-button': number, onclick: () => call(number) });
  const latency = el('small');
  const trend = el('span', { class: 'trend', 'aria-hidden': 'true' });
  // Its name is all that it shows, the latency too, for who tells it what to press.
  button.append(el('span', { class: 'unseen' }, 'Button '), el('span', { class: 'number' }, String(number)), ' ', latency, trend);
  button.title = `Button ${number}: calls ${topology.services[number]}`;
  return { number, button, latency, trend, recent: [] };
}

async function call(number) {
  const { button, latency } = faces[number];
  const carried = baggage();
  const line = begin(number);
  button.dataset.state = 'busy';
  latency.textContent = '…';
  let pressed;
  try {
    pressed = await press(number, carried);
  } catch (error) {
    pressed = { button: number, path: [], error: error.message };
  }
  if (pressed.latency_ms === undefined) {
    button.dataset.state = 'failed';
    latency.textContent = 'failed';
  } else {
    remember(faces[number], pressed.latency_ms, pressed.error ? 1 : 0);
    compare();
  }
  line({ ...pressed, ...carried });
}

/** Adds a latency to the trend of a button; where a share has `failed`, that stands in the place of the latency. */
function remember(face, milliseconds, failed) {
  const { number, button, latency, trend, recent } = face;
  recent.push(milliseconds);
  if (recent.length > REMEMBERED) recent.shift();
  button.dataset.state = failed > 0 ? 'failed' : 'done';
  if (failed === 0) latency.textContent = brief(milliseconds);
  else latency.replaceChildren(...(failed < 1 ? [share(failed), el('span', { class: 'unseen' }, ' failed')] : ['failed']));
  const values = { name: 'Latency', values: recent, text: ms };
  if (trend.firstChild) redraw(trend.firstChild, values);
  else trend.append(sparkline(values));
  button.title = `Button ${number}: calls ${topology.services[number]}; ${failed > 0 ? `${share(failed)} failed; ` : ''}last ${ms(milliseconds)} ms, ` +
    `between ${ms(Math.min(...recent))} and ${ms(Math.max(...recent))} ms in the last ${count(recent.length)}`;
}

/** How long each took beside the slowest: trends alone have a scale each. */
function compare() {
  const last = faces.map(({ recent }) => recent.at(-1) ?? 0);
  const most = Math.max(...last);
  faces.forEach(({ button, recent }, index) => recent.length > 0 && withStyle(button, { '--part': most > 0 ? last[index] / most : 0 }));
}

/** A line for a call that begins; the function that is returned says how it ended. */
function begin(number) {
  const list = byId('last-calls');
  const began = performance.now();
  const path = el('span', { class: 'path' });
  const latency = el('span', { class: 'latency' });
  const trace = el('span', { class: 'trace', 'data-state': 'under-way' });
  const said = el('span', { class: 'message' }, 'under way');
  const line = el('li', { 'data-button': number, 'data-state': 'pending' }, el('span', { class: 'pressed' }, String(number)), path, latency, trace, said);
  // Where it goes first is known; whom it meets further down, its answer tells.
  path.append(...way([topology.services[number]]));
  const ahead = topology.layers - 1;
  for (let layer = 1; layer <= Math.min(ahead, MOST_LAYERS); layer += 1) path.append(' → ', el('span', { class: 'ahead' }, `layer ${layer}`));
  const tick = () => (latency.textContent = `${count(performance.now() - began)} ms`);
  tick();
  waiting.add(tick);
  list.prepend(line);
  while (list.children.length > SHOWN) list.lastChild.remove();
  byId('no-calls').hidden = true;

  return ({ path: passed, message, latency_ms: took, trace_id: id, customer, tier, error }) => {
    waiting.delete(tick);
    line.dataset.state = error ? 'failed' : 'done';
    if (error) line.dataset.failed = 'true';
    if (id) line.dataset.traceId = id;
    if (passed.length > 0) path.replaceChildren(...way(passed));
    latency.textContent = took === undefined ? '' : `${ms(took)} ms`;
    line.dataset.took = took ?? 0;
    if (line.isConnected) trace.replaceWith(traceLink(id));
    said.className = error ? 'failed' : 'message';
    said.replaceChildren(error ?? message, ...by('customer', customer), ...by('tier', tier && `tier ${tier}`));
    lengths();
    const ended = error ? `failed: ${error}` : `${ms(took)} ms, ${passed.join(', ')}`;
    byId('last-said').textContent = `Button ${number}: ${ended}`;
  };
}

/** How long each of the last calls took beside the slowest of them. */
function lengths() {
  const lines = [...byId('last-calls').children];
  const took = lines.map((line) => Number(line.dataset.took ?? 0));
  const most = Math.max(...took);
  lines.forEach((line, index) => withStyle(line, { '--part': most > 0 ? took[index] / most : 0 }));
}

/** Who called, and of what tier, where that is known. */
function by(what, caller) {
  return caller ? [' · ', el('span', { class: what }, caller)] : [];
}

/** The services of a path, which breaks between them and not within. A fan-out may pass a thousand. */
function way(path) {
  const shown = path.slice(0, MOST_SERVICES);
  const names = shown.flatMap((service, place) => [place === 0 ? '' : ' → ', hued(el('span', { class: 'service' }, service), service)]);
  return path.length > shown.length ? [...names, ` and ${count(path.length - shown.length)} more`] : names;
}

/** Typing a number presses its button: at once where no other begins so, else after a moment. */
function registerDigits() {
  let typed = '';
  let timer;
  const done = () => {
    const number = Number(typed);
    typed = '';
    byId('typed').textContent = '';
    // As a click would, so that the next key goes on from there.
    faces[number]?.button.focus({ focusVisible: true });
    call(number);
  };
  const type = (digit) => {
    clearTimeout(timer);
    typed = Number(typed + digit) < topology.width ? typed + digit : digit;
    if (Number(typed) >= topology.width) {
      typed = '';
      return;
    }
    if (typed === '0' || Number(typed) * 10 >= topology.width) return done();
    byId('typed').textContent = `${typed}…`;
    timer = setTimeout(done, TYPING_MS);
  };
  const [first, ...others] = Array.from({ length: 10 }, (_, digit) => String(digit));
  register({ keys: first, shown: `0 … ${topology.width - 1}`, what: 'press the button of this number', run: () => type(first) });
  register(...others.map((digit) => ({ keys: digit, run: () => type(digit) })));
}
