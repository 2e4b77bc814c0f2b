// Starts the sandbox page once it is known what runs.

import { byId } from '/assets/common/dom.js';
import { count } from '/assets/common/format.js';
import { get } from './api.js';
import * as buttons from './buttons.js';
import * as gameDay from './game_day.js';
import * as map from './map.js';
import * as mystery from './mystery.js';
import * as run from './run.js';

async function start() {
  const topology = await get('topology');
  const { layers, width, route, jaeger } = topology;
  const size = `${count(layers)} ${layers === 1 ? 'layer' : 'layers'} × ${count(width)} ${width === 1 ? 'service' : 'services'}`;
  byId('topology').textContent = `${size}, route ${route}`;
  if (/^https?:/.test(jaeger ?? '')) {
    byId('jaeger').href = `${jaeger}/search`;
    byId('jaeger').hidden = false;
  }
  buttons.start(topology);
  run.start();
  mystery.start(topology);
  map.start(topology);
  gameDay.start();
  document.body.dataset.ready = 'true';
}

start().catch((error) => {
  byId('notice').textContent = `${error.message} Reload this page when it is.`;
  byId('notice').hidden = false;
});
