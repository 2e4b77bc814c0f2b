// Keys of a page: it registers what each does, and `?` lists them all.
//
// A key does nothing while somebody types, nor together with Ctrl, Alt or Meta, which belong to the browser.

import { el } from "/assets/common/dom.js";

const SEQUENCE_MS = 1000;
const registered = [];
let typed = [];
let lastAt = -Infinity;
let dialog;

/**
 * `keys`: one as in `event.key`, or several with a space between them, pressed one after the other (`g s`). `what`: what they do, in the
 * list, where `shown` stands in place of the keys; without it they are not listed, since another line speaks for them too. Without `run`
 * they are only listed: a part of the page heeds them by itself, while it has the focus.
 */
export function register(...shortcuts) {
  registered.push(...shortcuts.map(({ keys, what, run, shown }) => ({ keys: keys.split(" "), what, run, shown })));
}

register({ keys: "?", what: "show these keys", run: show });
addEventListener("keydown", pressed);

function pressed(event) {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || document.querySelector("dialog[open]")) return;
  // Shift alone is on the way to another key.
  if (event.key === "Shift") return;
  typed = event.timeStamp - lastAt > SEQUENCE_MS ? [event.key] : [...typed, event.key];
  lastAt = event.timeStamp;
  // The longest that ends here; what was typed before it may have belonged to nothing.
  const [found] = registered.filter(({ keys, run }) => run && keys.length <= typed.length && keys.every((key, place) => key === typed.at(place - keys.length)))
    .sort((one, other) => other.keys.length - one.keys.length);
  if (!found) return;
  typed = [];
  event.preventDefault();
  found.run();
}

/** Letters mean nothing to a box that is ticked. */
function isTyping(target) {
  return target.isContentEditable || Boolean(target.closest?.("input:not([type=checkbox], [type=radio]), select, textarea"));
}

function show() {
  dialog?.remove();
  const lines = registered.filter(({ what }) => what).map(({ keys, what, shown }) =>
    el("div", {}, el("dt", {}, shown ?? keys.map((key, place) => [place > 0 && " then ", el("kbd", {}, named(key))])), el("dd", {}, what)));
  dialog = el("dialog", { class: "keys", "aria-labelledby": "keys-title", onclose: () => dialog.remove() },
    el("h2", { id: "keys-title" }, "Keys"),
    el("dl", {}, lines),
    el("form", { method: "dialog" }, el("button", { class: "primary" }, "Close")));
  document.body.append(dialog);
  dialog.showModal();
}

const named = (key) => ({ ArrowUp: "↑", ArrowDown: "↓", ArrowLeft: "←", ArrowRight: "→", " ": "Space", Escape: "Esc" })[key] ?? key;
