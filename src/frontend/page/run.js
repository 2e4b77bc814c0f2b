// A run of many calls: its form, its progress as it happens, and its report.

import { byId, el, say } from '/assets/common/dom.js';
import { count, elapsed, ms, perSecond } from '/assets/common/format.js';
import { client, post, run } from './api.js';
import { baggage } from './buttons.js';
import { traceLink } from './trace.js';

let runs = 0;

export function start() {
  byId('run-form').addEventListener('submit', (event) => {
    event.preventDefault();
    const number = (id) => (byId(id).value === '' ? undefined : Number(byId(id).value));
    runs += 1;
    watch({
      calls: number('run-calls'),
      concurrency: number('run-concurrency'),
      rate: number('run-rate'),
      client: `${client}-run${runs}`,
      baggage: baggage(),
    });
  });
  byId('run-cancel').addEventListener('click', () => post('runs/cancel').catch((error) => say(byId('run-status'), error.message, 'error')));
}

async function watch(body) {
  const status = byId('run-status');
  busy(true);
  say(status, '');
  let over = false;
  try {
    for await (const { name, data } of run(body)) {
      if (name === 'progress') progress(data);
      if (name === 'done') report(data);
      if (name === 'error') say(status, data.error, 'error');
      over ||= name !== 'progress';
    }
    if (!over) say(status, 'The frontend went away before the run was over.', 'error');
  } catch (error) {
    say(status, error.message, 'error');
  } finally {
    busy(false);
  }
}

function busy(running) {
  byId('run').dataset.running = running;
  byId('run-start').disabled = running;
  byId('run-cancel').disabled = !running;
}

function progress({ calls, total, errors, seconds, rate, latency_ms: latency }) {
  byId('run-progress').hidden = false;
  byId('run-report').hidden = true;
  const bar = byId('run-bar');
  bar.max = total;
  bar.value = calls;
  numbers({
    Calls: `${count(calls)} of ${count(total)}`,
    Errors: count(errors),
    Time: elapsed(seconds),
    'Calls a second': perSecond(rate),
    'p50 (ms)': ms(latency.p50),
    'p95 (ms)': ms(latency.p95),
    'p99 (ms)': ms(latency.p99),
    'Max (ms)': ms(latency.max),
  });
}

function numbers(values) {
  const list = byId('run-numbers');
  if (list.children.length === 0) {
    list.append(...Object.keys(values).map((name) => el('div', { 'data-number': name }, el('dt', {}, name), el('dd'))));
  }
  // The elements stay and their texts change, so that nothing moves.
  Object.values(values).forEach((value, index) => {
    list.children[index].lastChild.textContent = value;
  });
}

function report({ calls, errors, seconds, rate, latency_ms: latency, buttons, slowest, failed, cancelled, lost }) {
  const calling = calls === 1 ? 'call' : 'calls';
  const failing = errors === 1 ? 'error' : 'errors';
  const ended = cancelled ? `Cut short${lost ? ` (${lost})` : ''}: ` : '';
  const text = `${ended}${count(calls)} ${calling} in ${elapsed(seconds)}, ${perSecond(rate)} a second, ${count(errors)} ${failing}.`;
  say(byId('run-status'), text, cancelled ? 'half' : 'right');
  const table = byId('run-table');
  table.tBodies[0].replaceChildren(...buttons.map((button) => row(button.button, button)));
  table.tFoot.replaceChildren(row('all', { calls, errors, latency_ms: latency }));
  byId('run-slowest').replaceChildren(...slowest.map(line));
  byId('run-failed').replaceChildren(...failed.map(line));
  byId('run-none-failed').hidden = failed.length > 0;
  byId('run-report').hidden = false;
}

function row(name, { calls, errors, latency_ms: latency }) {
  const numbers = [count(calls), count(errors), ...['mean', 'p50', 'p95', 'p99', 'max'].map((part) => ms(latency[part]))];
  const cells = numbers.map((number) => el('td', { class: 'number' }, number));
  return el('tr', { 'data-button': name }, el('th', { scope: 'row' }, String(name)), ...cells);
}

function line({ trace_id: id, button, latency_ms: latency, error }) {
  return el(
    'li',
    { 'data-trace-id': id },
    el('span', { class: 'latency' }, `${ms(latency)} ms`),
    el('span', { class: 'button' }, `button ${button}`),
    traceLink(id),
    ...(error ? [el('span', { class: 'error' }, error)] : []),
  );
}
