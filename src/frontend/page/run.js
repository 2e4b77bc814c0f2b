// A run of many calls: its form, all that is counted as it happens, and its report.
//
// What comes is kept, and drawn once a frame at most; the elements stay and their contents change, so that nothing moves and nothing grows.

import { byId, el, say } from '/assets/common/dom.js';
import { liveHistogram } from '/assets/common/chart/histogram.js';
import { redraw, sparkline } from '/assets/common/chart/sparkline.js';
import { clock, count, counted, duration, elapsed, ms, perSecond, share } from '/assets/common/format.js';
import { register } from '/assets/common/keys.js';
import { sortable } from '/assets/common/table.js';
import { client, post, run } from './api.js';
import { baggage, measured } from './buttons.js';
import { traceLink } from './trace.js';

/** The throughput is drawn with so many points at most; beyond, neighbours become one. */
const MOST_POINTS = 120;
/** A choice of how many calls. */
const CHOICES = [100, 1_000, 10_000, 100_000, 1_000_000];

let runs = 0;
/** What came and is not drawn yet, by name: later answers replace earlier ones. */
let news = null;
/** Somebody else's run is under way, which can be cancelled from here as well. */
let others = false;
let chart;
let trend;
let table;
/** Calls a second between two answers, and how many answers each number is of. */
let rates = { points: [], each: 1, open: [] };
let before;
/** What each button had done when it was last told of. */
let told = new Map();

export function start({ jaeger, services }) {
  chart = liveHistogram({ title: 'Latency', text: (value) => duration(value * 1e6), of: 'call', whole: true, fitted: true, size: chartSize });
  byId('run-histogram').append(chart.element);
  trend = sparkline({ name: 'Calls a second', values: [] });
  byId('run-trend').append(trend);
  table = perButton((button) => named(button, jaeger, services[button]));
  byId('run-buttons').append(table.element);
  byId('run-choices').append(...CHOICES.map((calls) =>
    el('button', { type: 'button', onclick: () => (byId('run-calls').value = calls) }, count(calls))));
  byId('run-form').addEventListener('submit', (event) => {
    event.preventDefault();
    begin();
  });
  byId('run-cancel').addEventListener('click', cancel);
  register(
    { keys: 'r', what: 'start a run', run: () => byId('run-start').disabled || byId('run-form').requestSubmit() },
    { keys: 'x', what: 'cancel the run', run: () => byId('run-cancel').disabled || cancel() },
  );
}

/** Texts are larger in a wider window, so all of it is. */
function chartSize() {
  const rem = Number.parseFloat(getComputedStyle(document.documentElement).fontSize);
  return { height: 12 * rem, margin: { top: rem, right: 2 * rem, bottom: 1.6 * rem, left: 3.2 * rem }, letter: 0.46 * rem };
}

async function cancel() {
  try {
    const { cancelled } = await post('runs/cancel');
    if (others) say(byId('run-status'), cancelled ? 'The other run is cancelled.' : 'The other run is over already.');
    others = false;
    if (byId('run').dataset.running !== 'true') busy(false);
  } catch (error) {
    say(byId('run-status'), error.message, 'error');
  }
}

function begin() {
  const number = (id) => (byId(id).value === '' ? undefined : Number(byId(id).value));
  runs += 1;
  watch({
    calls: number('run-calls'),
    concurrency: number('run-concurrency'),
    rate: number('run-rate'),
    client: `${client}-run${runs}`,
    baggage: baggage(),
  });
}

async function watch(body) {
  const status = byId('run-status');
  others = false;
  busy(true);
  say(status, `Under way, ${count(body.concurrency)} calls at once.`);
  rates = { points: [], each: 1, open: [] };
  before = undefined;
  told = new Map();
  let over = false;
  try {
    for await (const { name, data } of run(body)) {
      if (name === 'error') say(status, data.error, 'error');
      else heard(data, name === 'done');
      over ||= name !== 'progress';
    }
    if (!over) say(status, 'The frontend went away before the run was over. Is it still running?', 'error');
  } catch (error) {
    others = error.status === 409;
    say(status, others ? 'Another run is under way here, of another tab or of somebody else. Wait for its end, or cancel it.' : error.message, 'error');
  } finally {
    busy(false);
  }
}

function busy(running) {
  byId('run').dataset.running = running;
  byId('run-start').disabled = running;
  byId('run-cancel').disabled = !running && !others;
}

/** Takes note of what the frontend says of the run, and has it drawn. */
function heard(data, done) {
  if (!done) rated(data);
  if (data.buttons) tellButtons(data.buttons);
  if (news === null) requestAnimationFrame(draw);
  news = { ...news, ...data, total: data.total ?? news?.total ?? before?.total ?? data.calls, done };
  if (!done) before = data;
}

function draw() {
  const { calls, total, errors, seconds, rate, latency_ms: latency, histogram, buttons, slowest, failed, done, cancelled, lost } = news;
  news = null;
  byId('no-run').hidden = true;
  byId('run-told').hidden = false;
  const bar = byId('run-bar');
  bar.max = Math.max(total, 1);
  bar.value = calls;
  const left = rate > 0 && calls > 0 ? (total - calls) / rate : undefined;
  numbers({
    Calls: `${count(calls)} of ${count(total)}`,
    Errors: errors === 0 ? '0' : `${count(errors)} (${share(errors / calls)})`,
    Time: elapsed(seconds),
    Left: done ? '–' : left === undefined ? '…' : clock(left),
    'Calls a second': perSecond(rate),
    'Mean (ms)': ms(latency.mean),
    'p50 (ms)': ms(latency.p50),
    'p95 (ms)': ms(latency.p95),
    'p99 (ms)': ms(latency.p99),
    'Max (ms)': ms(latency.max),
  });
  redraw(trend, { name: 'Calls a second', values: rates.points, text: perSecond });
  byId('run-peak').textContent = rates.points.length === 0 ? '' : `at most ${perSecond(Math.max(...rates.points))} a second`;
  const marks = calls === 0 ? [] : ['p50', 'p95', 'p99'].map((name) => ({ at: latency[name], name }));
  chart.draw({ buckets: histogram, marks });
  // These take the frontend longer, and come together, of so many buttons without them: then those of the run before go.
  if (slowest) {
    table.show(buttons ?? []);
    table.foot({ calls, errors, latency_ms: latency });
    lines(byId('run-slowest'), slowest);
    lines(byId('run-failed'), failed);
    byId('run-none-failed').hidden = failed.length > 0;
    byId('run-later').hidden = Boolean(buttons);
  }
  if (done) ended({ calls, errors, seconds, rate, cancelled, lost });
}

function ended({ calls, errors, seconds, rate, cancelled, lost }) {
  const cut = cancelled ? `Cut short${lost ? ` (${lost})` : ''}: ` : '';
  const text = `${cut}${counted(calls, 'call')} in ${elapsed(seconds)}, ${perSecond(rate)} a second, ${counted(errors, 'error')}.`;
  say(byId('run-status'), text, cancelled ? 'half' : 'right');
}

function numbers(values) {
  const list = byId('run-numbers');
  if (list.children.length === 0) {
    list.append(...Object.keys(values).map((name) => el('div', { 'data-number': name }, el('dt', {}, name), el('dd'))));
  }
  Object.values(values).forEach((value, index) => {
    list.children[index].lastChild.textContent = value;
  });
}

/** How many calls a second there were since the last answer. */
function rated({ calls, seconds }) {
  if (before && seconds > before.seconds) rates.open.push((calls - before.calls) / (seconds - before.seconds));
  if (rates.open.length < rates.each) return;
  const mean = (numbers) => numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
  rates.points.push(mean(rates.open.splice(0)));
  if (rates.points.length < MOST_POINTS) return;
  rates.points = Array.from({ length: MOST_POINTS / 2 }, (_, place) => mean(rates.points.slice(2 * place, 2 * place + 2)));
  rates.each *= 2;
}

/** Tells the buttons what each did since it was last told of: the mean of the calls between. */
function tellButtons(buttons) {
  const since = buttons.map(({ button, calls, errors, latency_ms: { mean } }) => {
    const last = told.get(button) ?? { calls: 0, errors: 0, sum: 0 };
    const sum = mean * calls;
    told.set(button, { calls, errors, sum });
    const many = calls - last.calls;
    // Its mean is rounded: a difference of sums can be a hair below nothing.
    return many > 0 && { button, latency_ms: Math.max(0, (sum - last.sum) / many), failed: (errors - last.errors) / many };
  });
  measured(since.filter(Boolean));
}

function perButton(name) {
  const latency = (part, title = part) => ({ title, number: true, value: (one) => one.latency_ms[part], cell: (one) => ms(one.latency_ms[part]) });
  const columns = [
    { title: 'Button', header: true, value: ({ button }) => button, cell: ({ button }) => name(button) },
    { title: 'Calls', number: true, value: ({ calls }) => calls, cell: ({ calls }) => count(calls) },
    { title: 'Errors', number: true, value: ({ errors }) => errors, cell: ({ errors }) => el('span', { class: errors > 0 ? 'error' : null }, count(errors)) },
    latency('mean', 'Mean'), latency('p50'), latency('p95'), latency('p99'), latency('max', 'Max'),
  ];
  const row = ({ button }) => ({ 'data-button': button });
  const { element, show } = sortable({ caption: 'Per button, latency in milliseconds', columns, rows: [], row, key: ({ button }) => button, sort: 0, attributes: { id: 'run-table' } });
  const sum = el('tr');
  element.tFoot.prepend(sum);
  return {
    element,
    show,
    foot: (all) => sum.replaceChildren(el('th', { scope: 'row' }, 'all'),
      ...columns.slice(1).map(({ value, cell }) => el('td', { class: 'number' }, (cell ?? value)(all)))),
  };
}

/** A button leads to the traces of the service that it calls. */
function named(button, jaeger, service) {
  if (!/^https?:/.test(jaeger ?? '')) return String(button);
  const href = `${jaeger}/search?service=${encodeURIComponent(service)}`;
  return el('a', { href, target: '_blank', rel: 'noopener', title: `Search the traces of ${service}` }, String(button));
}

/** The same call keeps its line, so that its link stays as it is while others come. */
function lines(list, calls) {
  const known = new Map(Array.from(list.children, (line) => [line.dataset.key, line]));
  const wanted = calls.map((call) => known.get(key(call)) ?? line(call));
  if (wanted.length === list.children.length && wanted.every((line, place) => line === list.children[place])) return;
  const focused = list.contains(document.activeElement) ? document.activeElement : null;
  list.replaceChildren(...wanted);
  focused?.focus();
}

const key = ({ trace_id: id, button, latency_ms: latency }) => `${id} ${button} ${latency}`;

function line(call) {
  const { trace_id: id, button, latency_ms: latency, error } = call;
  return el(
    'li',
    { 'data-trace-id': id, 'data-key': key(call) },
    el('span', { class: 'latency' }, `${ms(latency)} ms`),
    el('span', { class: 'button' }, `button ${button}`),
    traceLink(id),
    ...(error ? [el('span', { class: 'error' }, error)] : []),
  );
}
