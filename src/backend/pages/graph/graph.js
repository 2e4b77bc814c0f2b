// /dependencies: who calls whom, as a graph and as a table.

import * as api from "/assets/shared/api.js";
import { el, failure, notice } from "/assets/common/dom.js";
import * as format from "/assets/common/format.js";
import { graph } from "/assets/graph/drawing.js";
import { lookbackMs } from "/assets/shared/query.js";

const lookback = document.getElementById("lookback");
const status = document.getElementById("status");
const place = document.getElementById("dependencies");
const byName = new Intl.Collator(undefined, { numeric: true });
let newest = 0;

async function load() {
  const asked = ++newest;
  status.textContent = "Loading …";
  place.setAttribute("aria-busy", "true");
  try {
    const links = await api.dependencies(Date.now(), lookbackMs(lookback.value));
    if (asked === newest) show(links);
  } catch (error) {
    if (asked !== newest) return;
    status.textContent = "The dependencies could not be loaded.";
    place.replaceChildren(failure(error, load));
  }
  place.removeAttribute("aria-busy");
}

function show(links) {
  if (links.length === 0) {
    status.textContent = "No calls between services.";
    place.replaceChildren(notice("empty", "Nothing calls anything yet",
      el("p", {}, "A call shows once both its ends are stored. Press a button on the sandbox’s page or run ",
        el("code", {}, "tracelab load"), "; or look back further."),
      el("button", { type: "button", onclick: load }, "Look again")));
    return;
  }
  const services = new Set(links.flatMap(({ parent, child }) => [parent, child]));
  const calls = links.reduce((sum, { parent, child, callCount }) => sum + (parent === child ? 0 : (callCount ?? 0)), 0);
  status.textContent = `${format.counted(services.size, "service")}, ${format.counted(calls, "call")} between them.`;
  place.replaceChildren(graph(links, byName.compare), table(links));
}

/** The columns sort by their headings, the busiest call first to begin with. */
function table(links) {
  const columns = [
    { title: "Parent", key: "parent", compare: (one, other) => byName.compare(one.parent, other.parent) || byName.compare(one.child, other.child) },
    { title: "Child", key: "child", compare: (one, other) => byName.compare(one.child, other.child) || byName.compare(one.parent, other.parent) },
    { title: "Calls", key: "callCount", compare: (one, other) => (other.callCount ?? 0) - (one.callCount ?? 0) || columns[0].compare(one, other) },
  ];
  const body = el("tbody");
  const headings = columns.map((column) =>
    el("th", { scope: "col", class: column.key === "callCount" ? "number" : null },
      el("button", { type: "button", class: "plain", onclick: () => sortBy(column) }, column.title)));
  const sortBy = (column) => {
    headings.forEach((heading, index) => heading.setAttribute("aria-sort", columns[index] !== column ? "none"
      : column.key === "callCount" ? "descending" : "ascending"));
    body.replaceChildren(...[...links].sort(column.compare).map(line));
  };
  sortBy(columns[2]);
  return el("section", { "aria-labelledby": "calls-title" },
    el("h2", { id: "calls-title" }, "Calls"),
    el("table", { class: "calls" }, el("thead", {}, el("tr", {}, headings)), body));
}

function line({ parent, child, callCount }) {
  const service = (name) => el("a", { href: `/search?service=${encodeURIComponent(name)}` }, name);
  return el("tr", {}, el("td", {}, service(parent)), el("td", {}, service(child)), el("td", { class: "number" }, format.count(callCount ?? 0)));
}

lookback.addEventListener("change", load);
load();
