// The frontend's API. Every error is an Error whose message says what is wrong and the way out.

/** This page load; its calls are numbered `client-1`, `client-2`, …, and carry that as baggage. */
export const client = Array.from(crypto.getRandomValues(new Uint8Array(2)), (byte) => byte.toString(16).padStart(2, '0')).join('');
let calls = 0;

/** Sent along where the instructor's token is needed. */
export const instructor = { token: '' };

/** What a proxy answers in its place. */
const AWAY = [502, 503, 504];
const UNREACHABLE = 'The frontend does not answer. Is it still running?';

async function ask(path, init) {
  try {
    return await fetch(`/api/${path}`, init);
  } catch {
    throw new Error(UNREACHABLE);
  }
}

async function read(answer) {
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    const error = new Error(body.error ?? (AWAY.includes(answer.status) ? UNREACHABLE : `The frontend answered ${answer.status}.`));
    error.body = body;
    error.status = answer.status;
    throw error;
  }
  return body;
}

export async function get(path) {
  return read(await ask(path, { headers: { accept: 'application/json', ...authorization() } }));
}

/** For what is asked again and again: a function that gets `path`; what a later question has overtaken is undefined. */
export function newest(path) {
  let asked = 0;
  let told = 0;
  return async () => {
    asked += 1;
    const question = asked;
    const answer = await get(path);
    if (question < told) return undefined;
    told = question;
    return answer;
  };
}

function authorization() {
  return instructor.token === '' ? {} : { authorization: `Bearer ${instructor.token}` };
}

function request(body) {
  return { method: 'POST', headers: { 'content-type': 'application/json', ...authorization() }, body: JSON.stringify(body) };
}

/** Posts `body`; fields that are empty texts or null are left out. */
export async function post(path, body = {}) {
  const filled = Object.entries(body).filter(([, value]) => value !== '' && value !== null && value !== undefined);
  return read(await ask(path, request(Object.fromEntries(filled))));
}

/** One call through a button, with more baggage if wanted: `{button, message, path, latency_ms, trace_id, customer}`; a failed one has `error` in the message's place. */
export async function press(button, baggage = {}) {
  calls += 1;
  const carried = Object.entries({ client: `${client}-${calls}`, ...baggage }).map(([key, value]) => `${key}=${value}`);
  const answer = await ask(`buttons/${button}`, { method: 'POST', headers: { baggage: carried.join(',') } });
  try {
    return await read(answer);
  } catch (error) {
    if (error.body?.latency_ms === undefined) throw error;
    return error.body;
  }
}

/** Starts a run; yields its events as `{name, data}` until it is over. */
export async function* run(body) {
  const answer = await ask('runs', request(body));
  if (!answer.ok) await read(answer);
  const lines = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  for (;;) {
    const { value, done } = await lines.read().catch(() => ({ done: true }));
    if (done) return;
    text += value;
    const events = text.split('\n\n');
    text = events.pop();
    for (const event of events) {
      const field = (name) => event.split('\n').find((line) => line.startsWith(name))?.slice(name.length).trim();
      yield { name: field('event:'), data: JSON.parse(field('data:') ?? 'null') };
    }
  }
}
