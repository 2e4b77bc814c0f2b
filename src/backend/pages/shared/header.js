// The top of every page: the pages there are, and the field that opens a trace by its ID. Its keys work everywhere: `g` and then a letter.

import { el } from "/assets/common/dom.js";
import { register } from "/assets/common/keys.js";

const PAGES = [
  { path: "/search", name: "Search", key: "s" },
  { path: "/compare", name: "Compare", key: "c" },
  { path: "/dependencies", name: "Service graph", key: "d" },
  { path: "/suspects", name: "Suspects", key: "u" },
];

const here = document.body.dataset.page;
const id = el("input", { name: "id", "aria-label": "Trace ID", placeholder: "Trace ID", autocomplete: "off", spellcheck: "false", required: true });
document.querySelector("header.top").append(
  el("strong", { class: "brand" }, "Tracelab"),
  el("nav", { "aria-label": "Pages" }, PAGES.map(({ path, name }) => el("a", { href: path, "aria-current": path === here ? "page" : null }, name))),
  el("form", { id: "lookup", role: "search", "aria-label": "Open a trace by its ID", onsubmit: open }, id, el("button", {}, "Open")));
register(
  ...PAGES.map(({ path, name, key }) => ({ keys: `g ${key}`, what: `go to ${name}`, run: () => location.assign(path) })),
  { keys: "g t", what: "open a trace by its ID", run: () => id.focus() });

function open(event) {
  event.preventDefault();
  const wanted = id.value.trim();
  if (wanted) location.assign(`/trace/${encodeURIComponent(wanted)}`);
}
