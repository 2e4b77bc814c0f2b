// Elements without markup: every name from outside ends up as text, whatever it contains.

export const byId = (id) => document.getElementById(id);

/** An element with attributes (`class`, `data-…`, …; null leaves one out) and children, which are nodes or texts. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/** The options of a select: `[value, text]`, … */
export function options(...pairs) {
  return pairs.map(([value, text]) => element('option', { value }, text));
}

/** A text whose names of services and customers do not break at their hyphens: nodes for an element. */
export function whole(text) {
  const parts = text.split(/\b((?:dummy-\d+|customer)-\d+)\b/);
  return parts.map((part, place) => (place % 2 === 1 ? element('span', { class: 'service' }, part) : part));
}

/** A message that stays until the next one; an error is also marked as such. */
export function say(place, text, kind = '') {
  place.textContent = text;
  place.dataset.verdict = kind;
}

/** Disables `button` while `work` is under way. */
export async function whileBusy(button, work) {
  button.disabled = true;
  try {
    return await work();
  } finally {
    button.disabled = false;
  }
}
