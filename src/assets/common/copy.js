// Puts a text where the reader can paste it.

import { el } from "/assets/common/dom.js";

const SAID_MS = 1500;

/** A button that copies what `text()` returns; `what` says to who hears it what that is. */
export function copyButton(text, what, label = "Copy") {
  const button = el("button", { type: "button", class: "copy", "aria-label": `${label} ${what}`, title: `${label} ${what}`, onclick: copied }, label);
  return button;

  async function copied(event) {
    event.stopPropagation();
    button.textContent = (await copy(text())) ? "Copied" : "Not copied";
    setTimeout(() => (button.textContent = label), SAID_MS);
  }
}

/** Whether it could be done. Without TLS a browser has no clipboard for other hosts than this one: then the old way is tried. */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = el("textarea", { class: "unseen", "aria-hidden": "true" });
    field.value = text;
    const focused = document.activeElement;
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    focused?.focus({ preventScroll: true });
    return done;
  }
}
