// The mystery: guesses, hints, giving up, the next one, another version of a service, and the score.

import { byId, drawNew, el, options, say, whileBusy } from '/assets/common/dom.js';
import { combobox, fitting, meant } from '/assets/common/combobox.js';
import { clock, count, elapsed } from '/assets/common/format.js';
import { register } from '/assets/common/keys.js';
import { instructor, newest, post } from './api.js';
import { whole } from './names.js';

/** What a right guess names, by cause; before one is chosen, a service. */
const NAMES = {};
/** What the service is to the others that a guess names, by cause. */
const ROLES = { network: 'Caller' };
/** What is said of a mystery, by cause; any other cause is a fault that hides somewhere. */
const HIDES = { random: 'What is wrong here, if anything, is part of the mystery.', none: 'Nothing is wrong here.' };
/** What each mystery is, by cause. */
const ABOUT = {};
const SCORE_EVERY_MS = 3000;
/** Where the team's name stays while the browser's tab is open. */
const TEAM = 'tracelab.team';

/** Of a name that may be several, as many are named. */
const MOST_NAMED = 4;
const TICK_MS = 250;

const score = newest('score');
let mystery;
let known;
/** When the mystery began, by this page's clock, and how long the team took where it is over for it. */
let time = {};

export function start(topology) {
  known = topology;
  offer(topology.mysteries);
  byId('team').placeholder = topology.team;
  byId('team').value = sessionStorage.getItem(TEAM) ?? '';
  byId('team').addEventListener('change', () => {
    sessionStorage.setItem(TEAM, team());
    refresh();
  });
  byId('instructor').hidden = !topology.instructor;
  byId('instructor').addEventListener('submit', (event) => event.preventDefault());
  byId('token').addEventListener('input', (event) => (instructor.token = event.target.value));
  byId('guess-cause').addEventListener('change', showFields);
  for (const id of ['guess-service', 'guess-callee', 'redeploy-service']) combobox(byId(id), { names: () => topology.services, what: 'service' });
  combobox(byId('guess-customer'), { names: () => topology.customers, what: 'customer' });
  register({ keys: '/', what: 'name a service to guess', run: () => byId('guess-service').checkVisibility() && byId('guess-service').focus() });

  onSubmit('guess', 'guess-submit', 'verdict', guess);
  onSubmit('new-mystery', 'new-submit', 'begun', async () => {
    const seed = byId('new-seed').value;
    const { note } = await post('mystery', { cause: byId('new-cause').value, seed: seed === '' ? null : Number(seed) });
    await refresh();
    say(byId('begun'), note ? `Note: ${note}.` : '');
  });
  onSubmit('redeploy', 'redeploy-submit', 'redeployed', async () => {
    const done = await post('redeploy', { service: chosen('redeploy-service'), version: byId('redeploy-version').value });
    say(byId('redeployed'), `${done.service} is ${done.version} now.`, 'right');
  });
  onClick('hint', 'verdict', hint);
  onClick('reveal', 'revealed', async () => {
    // Without a team it would end for all of them.
    const { seed, explanation, ...answer } = await post('reveal', { team: team() || topology.team });
    const named = Object.entries(answer).map(([name, value]) => `${name === 'service' ? role(answer.cause).toLowerCase() : name} ${value}`);
    say(byId('revealed'), '');
    byId('revealed').append(...whole(`${named.join(', ')} (seed ${seed})`));
    explain('revealed-explanation', explanation);
    await refresh();
  });
  byId('again').addEventListener('click', () => {
    byId('new-details').open = true;
    byId('new-cause').focus();
  });
  refresh();
  setInterval(() => document.hidden || refresh(), SCORE_EVERY_MS);
  setInterval(tick, TICK_MS);
}

/** Fills both choices of a cause: all can be guessed, but not all can be had everywhere. */
function offer(mysteries) {
  for (const { pick, about, names } of mysteries) [ABOUT[pick], NAMES[pick]] = [about, names];
  const choices = mysteries.map(({ pick, about }) => [pick, `${pick}: ${about}`]);
  byId('guess-cause').append(...options(['', 'choose'], ...choices.filter(([pick]) => pick !== 'random')));
  byId('new-cause').append(...options(['', 'as configured'], ...choices));
  const impossible = mysteries.filter((mystery) => mystery.impossible);
  for (const { pick } of impossible) byId('new-cause').querySelector(`[value="${pick}"]`).disabled = true;
  byId('impossible').append(...impossible.map((mystery) => el('li', { 'data-pick': mystery.pick }, `Not here: ${mystery.impossible}.`)));
  byId('impossible').hidden = impossible.length === 0;
}

const team = () => byId('team').value.trim();
const role = (cause) => ROLES[cause] ?? 'Service';

/** Shows why the answer is what it is; without a text, nothing. */
function explain(place, text = '') {
  byId(place).replaceChildren(...whole(text));
  byId(place).hidden = text === '';
}

function onSubmit(form, button, place, work) {
  byId(form).addEventListener('submit', (event) => {
    event.preventDefault();
    act(byId(button), byId(place), work);
  });
}

function onClick(button, place, work) {
  byId(button).addEventListener('click', (event) => act(event.currentTarget, byId(place), work));
}

async function act(button, place, work) {
  try {
    await whileBusy(button, work);
  } catch (error) {
    // An error is no verdict, and what stood there belonged to one.
    if (place === byId('verdict')) unsay();
    say(place, error.message, 'error');
  }
}

/** The service that a field names. What may be several is asked back here; of what is none, the frontend says so. */
function chosen(id) {
  const typed = byId(id).value;
  const name = meant(known.services, typed);
  if (name !== null) return name;
  const fit = fitting(known.services, typed);
  if (typed === '' || fit.length === 0) return typed;
  byId(id).focus();
  throw new Error(`${typed} may be ${fit.slice(0, MOST_NAMED).join(', ')}${fit.length > MOST_NAMED ? ` or ${count(fit.length - MOST_NAMED)} others` : ''}: choose one.`);
}

function names() {
  return NAMES[byId('guess-cause').value] ?? ['service'];
}

function showFields() {
  byId('guess-service-label').textContent = role(byId('guess-cause').value);
  for (const label of document.querySelectorAll('#guess [data-field]')) label.hidden = !names().includes(label.dataset.field);
}

async function guess() {
  const named = Object.fromEntries(names().map((name) => [name, name === 'customer' ? byId('guess-customer').value : chosen(`guess-${name}`)]));
  const graded = await post('guess', { team: team(), cause: byId('guess-cause').value, ...named });
  const guesses = graded.guesses === 1 ? 'guess' : 'guesses';
  say(byId('verdict'), `${graded.message} ${count(graded.guesses)} ${guesses}, ${elapsed(graded.seconds)}.`, graded.verdict);
  byId('outcome').dataset.verdict = graded.verdict;
  explain('explanation', graded.explanation);
  byId('again').hidden = graded.verdict !== 'right' || !byId('new-details').checkVisibility();
  await refresh();
}

async function hint() {
  const told = await post('hint', { team: team() });
  const list = byId('hints');
  const pairs = (told.pairs ?? []).map(({ service, callee }) => `${service} → ${callee}`);
  const candidates = [...(told.services ?? []), ...pairs, ...(told.customers ?? [])];
  const named = candidates.flatMap((name) => [' ', el('span', { class: 'candidate' }, name)]);
  const line = el('li', { 'data-hint': told.hint }, `Hint ${told.hint} of ${told.of}: ${told.text}`, ...named);
  const old = list.querySelector(`[data-hint="${told.hint}"]`);
  if (old) old.replaceWith(line);
  else list.append(line);
  await refresh();
}

export async function refresh() {
  const notice = byId('notice');
  try {
    const told = await score();
    if (told) show(told);
    notice.hidden = true;
  } catch (error) {
    notice.textContent = error.message;
    notice.hidden = false;
  }
}

function show({ mystery: number, cause, seconds, teams }) {
  byId('mystery-number').textContent = number;
  const hides = HIDES[cause ?? 'random'] ?? `Somewhere hides one fault, ${cause}: ${ABOUT[cause]}.`;
  byId('mystery-cause').textContent = hides;
  byId('mystery-known').textContent = cause === undefined ? 'cause hidden' : `cause known: ${cause}`;
  if (number !== mystery) {
    if (mystery !== undefined) forget(number);
    mystery = number;
    byId('guess-cause').value = cause ?? '';
    showFields();
  }
  byId('score').hidden = teams.length === 0;
  byId('no-score').hidden = teams.length > 0;
  drawNew(byId('score'), teams, () => byId('score').tBodies[0].replaceChildren(...teams.map(teamRow)));
  const mine = teams.find((one) => one.team === (team() || known.team));
  time = { began: performance.now() - seconds * 1000, solved: mine?.seconds };
  byId('mine-guesses').textContent = count(mine?.guesses ?? 0);
  byId('mine-hints').textContent = count(mine?.hints ?? 0);
  byId('mine-solved').textContent = count(mine?.solved ?? 0);
  tick();
}

/** How long the mystery has been running, or how long the team took. */
function tick() {
  const { began, solved } = time;
  if (began === undefined) return;
  byId('mine-time').textContent = solved === undefined ? clock(Math.floor((performance.now() - began) / 1000)) : clock(Math.floor(solved));
  byId('mine-time').dataset.verdict = solved === undefined ? '' : 'right';
}

/** What was said belongs to the mystery before. */
function forget(number) {
  say(byId('verdict'), `Mystery ${number} has begun.`);
  unsay();
  say(byId('revealed'), '');
  explain('revealed-explanation');
  say(byId('begun'), '');
  // Every service is back at v1.
  say(byId('redeployed'), '');
  byId('hints').replaceChildren();
  for (const name of ['service', 'callee', 'customer']) byId(`guess-${name}`).value = '';
}

/** Takes away what followed a verdict. */
function unsay() {
  explain('explanation');
  delete byId('outcome').dataset.verdict;
  byId('again').hidden = true;
}

function teamRow({ team: name, guesses, hints, verdict, seconds, revealed, solved }) {
  const said = revealed ? 'gave up' : verdict ?? '';
  const numbers = (value) => el('td', { class: 'number' }, value);
  return el(
    'tr',
    { 'data-team': name },
    el('th', { scope: 'row' }, name),
    numbers(count(guesses)),
    numbers(count(hints)),
    el('td', { 'data-verdict': revealed ? '' : verdict }, said),
    numbers(seconds === undefined ? '' : elapsed(seconds)),
    numbers(count(solved)),
  );
}
