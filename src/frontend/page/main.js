// Starts the sandbox page once it is known what runs.

import { byId, el } from '/assets/common/dom.js';
import { counted } from '/assets/common/format.js';
import { register } from '/assets/common/keys.js';
import { get } from './api.js';
import * as buttons from './buttons.js';
import * as gameDay from './game_day.js';
import * as map from './map.js';
import * as mystery from './mystery.js';
import * as run from './run.js';

async function start() {
  const topology = await get('topology');
  const { layers, width, route, jaeger } = topology;
  byId('topology').textContent = `${counted(layers, 'layer')} × ${counted(width, 'service')}, route ${route}`;
  if (/^https?:/.test(jaeger ?? '')) lead(jaeger);
  buttons.start(topology);
  run.start(topology);
  mystery.start(topology);
  map.start(topology);
  gameDay.start();
  document.body.dataset.ready = 'true';
}

/** Where the traces are, whoever keeps them: these are Jaeger's own paths. */
function lead(jaeger) {
  for (const [id, path, keys, what] of [['jaeger', 'search', 'g s', 'search the traces'], ['dependencies', 'dependencies', 'g d', 'the service graph']]) {
    const link = byId(id);
    link.href = `${jaeger}/${path}`;
    link.hidden = false;
    register({ keys, what, run: () => link.click() });
  }
}

start().catch((error) => {
  const again = el('button', { type: 'button', onclick: () => location.reload() }, 'Try again');
  byId('notice').replaceChildren(`${error.message} `, again);
  byId('notice').hidden = false;
});
