// A game day's clock and board, as the sandbox page and the instructor's show them.

import { drawNew, el } from '/assets/common/dom.js';
import { clock, count } from '/assets/common/format.js';

const TICK_MS = 250;
const SAYS = { right: 'right', half: 'half right', wrong: 'wrong' };

/** A text that counts down to 0 by itself; `set(seconds)` says what is left, without a number nothing is. */
export function countdown(place) {
  let end;
  const show = () => {
    place.textContent = end === undefined ? '' : clock(Math.max(0, (end - performance.now()) / 1000));
  };
  setInterval(show, TICK_MS);
  return (seconds) => {
    end = seconds === undefined ? undefined : performance.now() + seconds * 1000;
    show();
  };
}

/** Where a game day is, in words; the clock beside it says how long. */
export function stand({ state, round, of }) {
  if (state === 'round') return `Round ${count(round)} of ${count(of)}`;
  if (state === 'pause') return `Round ${count(round)} of ${count(of)} is over. The next one begins in`;
  return `The game day is over, after ${count(round)} of ${count(of)} rounds.`;
}

/** What was wrong, in a line. */
export function inWords({ cause, service, callee, customer }) {
  if (service === undefined) return 'Nothing was wrong.';
  return `${cause} in ${service}${callee ? `, on the way to ${callee}` : ''}${customer ? `, for ${customer}` : ''}.`;
}

/** Fills the table with teams, best first, and what each did in the first `rounds` rounds, the latest first: that is what one looks for. */
export function fill(table, board, rounds) {
  drawNew(table, [board, rounds], () => draw(table, board, rounds));
}

function draw(table, board, rounds) {
  const latest = Array.from({ length: rounds }, (_, place) => rounds - place);
  const heads = latest.map((round) => el('th', { scope: 'col', class: 'number' }, `Round ${round}`));
  table.tHead.replaceChildren(
    el('tr', {}, el('th', { scope: 'col' }, 'Team'), el('th', { scope: 'col', class: 'number' }, 'Points'), ...heads),
  );
  table.tBodies[0].replaceChildren(...board.map((row) => line(row, latest)));
}

function line({ team, points, rounds: cells }, latest) {
  const row = el('tr', { 'data-team': team });
  row.append(el('th', { scope: 'row' }, team), el('td', { class: 'number total' }, count(points)));
  row.append(...latest.map((round) => cell(cells.find((one) => one.round === round))));
  return row;
}

function cell(did) {
  if (!did) return el('td', { class: 'number' });
  const { verdict, guesses, seconds, points } = did;
  const after = seconds === undefined ? '' : ` ${clock(Math.floor(seconds))}`;
  const how = `${SAYS[verdict] ?? ''}${after}, ${count(guesses)} ${guesses === 1 ? 'guess' : 'guesses'}`;
  return el('td', { class: 'number', 'data-verdict': verdict }, count(points), el('small', {}, how));
}
