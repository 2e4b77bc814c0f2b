// Names of services and customers within sentences.

import { el } from '/assets/common/dom.js';

/** A text whose names of services and customers do not break at their hyphens: nodes for an element. */
export function whole(text) {
  const parts = text.split(/\b((?:dummy-\d+|customer)-\d+)\b/);
  return parts.map((part, place) => (place % 2 === 1 ? el('span', { class: 'service' }, part) : part));
}
