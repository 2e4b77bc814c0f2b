// Builds elements. Every name from outside passes through here as text or as an attribute's value, never as HTML.

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

/** An element with attributes (`on…` functions become listeners; null and false are left out) and children (strings become text). */
export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** A service and its operation, each of which may be cut where it is shown: whole in their titles. */
export function named(service, operation) {
  return [el("span", { class: "service", title: service }, service), " ", el("span", { class: "operation", title: operation }, operation)];
}

const drawn = new WeakMap();

/** Has `draw` show a value in `place`, unless it is there already: for what is asked for again and again, of which somebody may copy a part. */
export function drawNew(place, value, draw) {
  const now = JSON.stringify(value);
  if (drawn.get(place) !== now) draw();
  drawn.set(place, now);
}

/** Custom properties go through the style object: a `style` attribute would be stopped by our Content-Security-Policy. */
export function withStyle(element, properties) {
  for (const [name, value] of Object.entries(properties)) element.style.setProperty(name, value);
  return element;
}

/** What a page shows instead of its content: why it is not there, and what to do next. */
export function notice(kind, title, ...body) {
  return el("div", { class: `notice ${kind}` }, el("h2", {}, title), body);
}

/** Figures beside one another, each a name and what is said of it. */
export function figures(...pairs) {
  return el("dl", { class: "figures" }, pairs.map(([name, ...value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}

/** What a failed request to the trace backend means to the reader. */
export function failure(error, again) {
  const button = el("button", { type: "button", onclick: again }, "Try again");
  return error.status === 0
    ? notice("error", "The backend does not answer", el("p", {}, `${error.message}. Is tracelab still running?`), button)
    : notice("error", "The backend could not answer", el("p", {}, error.message), button);
}

/** The options of a select: `[value, text]`, … */
export function options(...pairs) {
  return pairs.map(([value, text]) => el("option", { value }, text));
}

/** Chooses in a list; what it does not offer, an address may ask for all the same. */
export function choose(select, value) {
  if (![...select.options].some((option) => option.value === value)) select.append(...options([value, value]));
  select.value = value;
}

/** Has a list offer these names beneath its first option, and what was chosen, which stays so. */
export function offerNames(select, names, chosen = select.value) {
  select.replaceChildren(select.options[0], ...options(...names.map((name) => [name, name])));
  choose(select, chosen);
}

/** A message that stays until the next one; an error is also marked as such. */
export function say(place, text, kind = "") {
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
