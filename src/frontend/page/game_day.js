// A game day as a team sees it: the clock, the board, and the answer of the round before.

import { byId, drawNew, options } from '/assets/common/dom.js';
import { newest } from './api.js';
import { countdown, fill, inWords, stand } from './board.js';
import * as mystery from './mystery.js';
import { whole } from './names.js';

const EVERY_MS = 2000;
/** What a game day does without, or the board says better. */
const NOT_NOW = ['hint', 'new-details', 'reveal-details', 'redeploy-details', 'instructor-tools', 'scores'];

const gameDay = newest('game-day');
let left;
let seen;

export function start() {
  left = countdown(byId('game-day-left'));
  refresh();
  setInterval(() => document.hidden || refresh(), EVERY_MS);
}

async function refresh() {
  // That the frontend does not answer, the score says.
  const day = await gameDay().catch(() => undefined);
  if (day) show(day);
}

function show({ state, round, of, seconds_left: seconds, teams = [], board, last }) {
  const running = state === 'round' || state === 'pause';
  byId('game-day').hidden = state === 'none';
  byId('game-day').dataset.state = state;
  for (const id of NOT_NOW) byId(id).hidden = running;
  left(seconds);
  const now = `${state} ${round}`;
  if (seen !== undefined && now !== seen) mystery.refresh();
  seen = now;
  // A list that is open would close.
  drawNew(byId('teams'), teams, () => byId('teams').replaceChildren(...options(...teams.map((team) => [team, team]))));
  if (state === 'none') return;
  byId('game-day-stand').textContent = stand({ state, round, of });
  byId('game-day-none').hidden = board.length > 0;
  byId('game-day-board').hidden = board.length === 0;
  fill(byId('game-day-board'), board, round);
  byId('game-day-last').hidden = !last;
  if (last) {
    byId('game-day-answer').textContent = `The answer of round ${last.round}`;
    drawNew(byId('game-day-explanation'), last, () =>
      byId('game-day-explanation').replaceChildren(...whole(`${inWords(last.answer)} ${last.explanation}`)));
  }
}
