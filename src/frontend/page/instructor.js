// The instructor's page: plans a game day, starts it, and watches it.

import { byId, drawNew, el, options, say, whileBusy } from '/assets/common/dom.js';
import { count } from '/assets/common/format.js';
import { get, instructor, newest, post } from './api.js';
import { countdown, fill, inWords, stand } from './board.js';

const EVERY_MS = 1000;
/** Where the token stays while the browser's tab is open. */
const TOKEN = 'tracelab.instructor';
const ROUNDS = 3;
const MINUTES = 10;

const read = newest('game-day/results');
/** Of the causes: `[value, text, possible]`. */
let causes = [];
let left;
let results;
/** The round or pause that is shown. */
let place = {};

async function start() {
  const topology = await get('topology');
  const { mysteries } = topology;
  causes = mysteries.map(({ pick, about, impossible }) => [pick, `${pick}: ${about}`, impossible === undefined]).reverse();
  const impossible = mysteries.filter((mystery) => mystery.impossible);
  byId('impossible').append(...impossible.map((mystery) => el('li', {}, `Not here: ${mystery.impossible}.`)));
  byId('impossible').hidden = impossible.length === 0;
  left = countdown(byId('left'));
  for (let round = 0; round < ROUNDS; round += 1) add();

  byId('enter').addEventListener('submit', (event) => {
    event.preventDefault();
    instructor.token = byId('token').value;
    act('enter-submit', 'entered', enter);
  });
  byId('schedule').addEventListener('submit', (event) => {
    event.preventDefault();
    act('start', 'started', async () => {
      const teams = byId('teams').value.split(',').map((team) => team.trim()).filter((team) => team !== '');
      await post('game-day', { rounds: planned(), pause_seconds: Number(byId('pause').value), teams });
      say(byId('started'), '');
      await refresh();
    });
  });
  byId('add').addEventListener('click', add);
  // What the button said when it was pressed, whatever happened meanwhile.
  onClick('next', 'turned', () => post('game-day/next', place).then(refresh));
  onClick('stop', 'turned', async () => {
    await post('game-day/stop');
    byId('stop-details').open = false;
    await refresh();
  });
  byId('save').addEventListener('click', save);
  setInterval(watch, EVERY_MS);

  instructor.token = sessionStorage.getItem(TOKEN) ?? '';
  byId('enter').hidden = instructor.token !== '';
  if (instructor.token !== '') await act('enter-submit', 'entered', enter);
  document.body.dataset.ready = 'true';
}

/** Shows what only the instructor may see, if the token is right. */
async function enter() {
  byId('enter').hidden = false;
  await refresh();
  sessionStorage.setItem(TOKEN, instructor.token);
  byId('enter').hidden = true;
  byId('token').value = '';
  say(byId('entered'), '');
}

async function act(button, place, work) {
  try {
    await whileBusy(byId(button), work);
  } catch (error) {
    say(byId(place), error.message, 'error');
  }
}

function onClick(button, place, work) {
  byId(button).addEventListener('click', () => act(button, place, work));
}

async function watch() {
  if (document.hidden || results === undefined) return;
  try {
    await refresh();
    byId('notice').hidden = true;
  } catch (error) {
    byId('notice').textContent = error.message;
    byId('notice').hidden = false;
  }
}

async function refresh() {
  const told = await read();
  if (!told) return;
  results = told;
  show(results);
}

function show({ state, seconds_left: seconds, rounds, board, problem }) {
  const running = state === 'round' || state === 'pause';
  const begun = rounds.filter((round) => round.started_ms !== undefined).length;
  place = { state, round: begun };
  byId('now').hidden = state === 'none';
  byId('now').dataset.state = state;
  byId('plan').hidden = running;
  byId('turns').hidden = !running;
  byId('stop-details').hidden = !running;
  byId('stand').textContent = state === 'none' ? '' : stand({ state, round: begun, of: rounds.length });
  left(seconds);
  byId('next').textContent = state === 'pause' ? 'Begin the next round now' : 'End this round now';
  byId('problem').hidden = problem === undefined;
  byId('problem').textContent = problem === undefined ? '' : `The next round cannot begin: ${problem}`;
  byId('no-board').hidden = board.length > 0;
  byId('board').hidden = board.length === 0;
  fill(byId('board'), board, begun);
  drawNew(byId('rounds'), rounds, () => byId('rounds').tBodies[0].replaceChildren(...rounds.map(row)));
}

function row({ round, cause, minutes, tell_cause: told, seed, started_ms: started, ended_ms: ended, answer }) {
  const stands = started === undefined ? 'to come' : ended === undefined ? 'running' : 'over';
  return el(
    'tr',
    { 'data-round': round },
    el('th', { scope: 'row', class: 'number' }, String(round)),
    el('td', {}, `${cause}${told ? ' (told)' : ''}, ${count(minutes)} min`),
    // As it is typed, without separators.
    el('td', { class: 'number' }, seed === undefined ? '' : String(seed)),
    el('td', {}, stands),
    el('td', {}, answer ? inWords(answer) : ''),
  );
}

/** One more row in the plan. */
function add() {
  const choice = el('select', { name: 'cause' });
  choice.append(...options(...causes));
  for (const [pick, , possible] of causes) choice.querySelector(`[value="${pick}"]`).disabled = !possible;
  const remove = el('button', { type: 'button', 'data-remove': '' }, 'Remove');
  const line = el(
    'li',
    { class: 'fields' },
    el('label', { class: 'cause' }, 'Cause ', choice),
    el('label', {}, 'Minutes ', el('input', { name: 'minutes', type: 'number', min: '0.01', max: '1440', step: 'any', value: MINUTES, required: '' })),
    el('label', {}, 'Seed ', el('input', { name: 'seed', inputmode: 'numeric', pattern: '[0-9]{1,16}', placeholder: 'random' })),
    el('label', { class: 'tell' }, el('input', { name: 'tell_cause', type: 'checkbox' }), 'Tell the cause'),
    el('div', { class: 'actions' }, remove),
  );
  // Of these, the cause is all of the answer, or may be.
  const tell = line.querySelector('[name="tell_cause"]');
  const told = () => {
    tell.disabled = choice.value === 'random' || choice.value === 'none';
    tell.checked &&= !tell.disabled;
  };
  choice.addEventListener('change', told);
  told();
  remove.addEventListener('click', () => {
    if (byId('planned').children.length === 1) return;
    line.remove();
    // Who uses the keyboard goes on from here, not from the top of the page.
    byId('add').focus();
  });
  byId('planned').append(line);
}

function planned() {
  return Array.from(byId('planned').children, (line) => {
    const field = (name) => line.querySelector(`[name="${name}"]`);
    const seed = field('seed').value;
    return {
      cause: field('cause').value,
      minutes: Number(field('minutes').value),
      seed: seed === '' ? null : Number(seed),
      tell_cause: field('tell_cause').checked,
    };
  });
}

function save() {
  const url = URL.createObjectURL(new Blob([JSON.stringify(results, null, 2)], { type: 'application/json' }));
  el('a', { href: url, download: 'game-day.json' }).click();
  URL.revokeObjectURL(url);
}

start().catch((error) => {
  byId('notice').textContent = `${error.message} Reload this page when it is.`;
  byId('notice').hidden = false;
});
