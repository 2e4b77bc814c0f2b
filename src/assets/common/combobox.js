// A field that offers names while somebody types: the combobox of WAI-ARIA's patterns. Arrows walk through the list, Enter takes a name,
// Escape closes it.
//
// It says which names may be meant, and leaves to the page what comes of a text that is none of them.

import { el } from "/assets/common/dom.js";
import { count } from "/assets/common/format.js";

/** So many names are offered at a time; of a thousand, nobody reads more. */
const MOST = 25;

/** The names that fit what was typed, best first: `13` finds dummy-0-13, dummy-1-13 and so on before dummy-0-130. */
export function fitting(names, typed) {
  const wanted = typed.trim().toLowerCase();
  if (wanted === "") return names;
  const ranked = names.map((name) => [rank(name.toLowerCase(), wanted), name]).filter(([rank]) => rank !== null);
  return ranked.sort(([one], [other]) => one - other).map(([, name]) => name);
}

/** The only name that can be meant, else null: the name itself, the only one that ends so (`1-13`), or the only one that fits. */
export function meant(names, typed) {
  const wanted = typed.trim().toLowerCase();
  if (wanted === "") return null;
  const fit = fitting(names, wanted);
  const best = fit.filter((name) => rank(name.toLowerCase(), wanted) <= 1);
  if (best.length > 0 && best[0].toLowerCase() === wanted) return best[0];
  return best.length === 1 ? best[0] : best.length === 0 && fit.length === 1 ? fit[0] : null;
}

function rank(name, wanted) {
  if (name === wanted) return 0;
  if (name.endsWith(`-${wanted}`)) return 1;
  if (`-${name}-`.includes(`-${wanted}-`)) return 2;
  return name.startsWith(wanted) ? 3 : name.includes(wanted) ? 4 : null;
}

/**
 * Makes a combobox of a text field that stands in an element of its own with `position: relative`. `names()`: what can be chosen;
 * `what`: what one of them is ("service").
 */
export function combobox(input, { names, what }) {
  const list = el("ul", { role: "listbox", id: `${input.id}-names`, "aria-label": `Each ${what} that fits` });
  const more = el("p", { class: "help" });
  const box = el("div", { class: "offered", hidden: true }, list, more);
  const told = el("span", { class: "unseen", role: "status" });
  const attributes = { role: "combobox", autocomplete: "off", "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": list.id };
  for (const [name, value] of Object.entries(attributes)) input.setAttribute(name, value);
  input.after(box, told);
  let at = -1;

  const isOpen = () => !box.hidden;

  function open() {
    const fit = fitting(names(), input.value);
    const shown = fit.slice(0, MOST);
    list.replaceChildren(...shown.map((name, index) =>
      el("li", { role: "option", id: `${list.id}-${index}`, "aria-selected": "false", onclick: () => take(name) }, marked(name, input.value))));
    more.hidden = fit.length === shown.length;
    more.textContent = `and ${count(fit.length - shown.length)} more: type on`;
    // What is there already needs no offer.
    box.hidden = fit.length === 0 || input.value === fit[0];
    told.textContent = fit.length === 0 ? `no ${what} fits` : `${count(fit.length)} fit, ${shown.slice(0, 3).join(", ")}`;
    input.setAttribute("aria-expanded", String(isOpen()));
    walk(-1);
  }

  function close() {
    box.hidden = true;
    told.textContent = "";
    input.setAttribute("aria-expanded", "false");
    walk(-1);
  }

  function walk(index) {
    const options = [...list.children];
    at = index;
    options.forEach((option, place) => option.setAttribute("aria-selected", String(place === at)));
    options[at]?.scrollIntoView({ block: "nearest" });
    if (options[at]) input.setAttribute("aria-activedescendant", options[at].id);
    else input.removeAttribute("aria-activedescendant");
  }

  /** One on from where the reader is; beyond the ends is the field itself. */
  function step(by) {
    const many = list.children.length;
    walk(((at + 1 + by + many + 1) % (many + 1)) - 1);
  }

  function take(name) {
    input.value = name;
    close();
    input.dispatchEvent(new Event("change", { bubbles: true }));
  }

  const complete = () => {
    input.value = meant(names(), input.value) ?? input.value.trim();
    close();
  };

  input.addEventListener("input", open);
  input.addEventListener("click", () => isOpen() || open());
  input.addEventListener("blur", complete);
  // The field keeps the focus while somebody points at the list.
  box.addEventListener("mousedown", (event) => event.preventDefault());
  input.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.isComposing) return;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      if (!isOpen()) open();
      if (isOpen() && !event.altKey) step(event.key === "ArrowDown" ? 1 : -1);
    } else if (event.key === "Enter" && isOpen() && at >= 0) {
      take(fitting(names(), input.value)[at]);
    } else if (event.key === "Escape" && isOpen()) {
      close();
    } else {
      // The form is sent with the name that was meant.
      if (event.key === "Enter") complete();
      return;
    }
    event.preventDefault();
  });
}

/** The name, with what was typed marked where it last occurs: numbers stand at the end. */
function marked(name, typed) {
  const wanted = typed.trim().toLowerCase();
  const from = wanted === "" ? -1 : name.toLowerCase().lastIndexOf(wanted);
  if (from < 0) return name;
  return [name.slice(0, from), el("mark", {}, name.slice(from, from + wanted.length)), name.slice(from + wanted.length)];
}
