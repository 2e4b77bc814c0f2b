// /dependencies: who calls whom, as a graph and as a table. What is asked for, coloured by and picked is in the address.

import * as api from "/assets/shared/api.js";
import { METRICS, network } from "/assets/common/chart/network.js";
import { brief, failures } from "/assets/common/chart/network_figures.js";
import { byId, el, failure, notice } from "/assets/common/dom.js";
import { byName, count, counted } from "/assets/common/format.js";
import { register } from "/assets/common/keys.js";
import { sortable } from "/assets/common/table.js";
import { lookbackMs } from "/assets/shared/query.js";

// More are built when they are asked for: a thousand take as long as everything else on the page.
const ROWS = 100;
const lookback = byId("lookback");
const status = byId("status");
const place = byId("dependencies");
const asked = new URLSearchParams(location.search);
if ([...lookback.options].some(({ value }) => value === asked.get("lookback"))) lookback.value = asked.get("lookback");
const drawing = network({
  title: "Service graph",
  by: METRICS.includes(asked.get("by")) ? asked.get("by") : "p95",
  picked: asked.get("service"),
  links,
  changed: ({ by, picked }) => address({ by: by === "p95" ? null : by, service: picked }),
  searched: (text) => {
    sought = text;
    calls.show(edges, sought);
  },
});
const calls = list();
let edges = [];
let sought = "";
let newest = 0;

lookback.addEventListener("change", () => {
  address({ lookback: lookback.value });
  load();
});
byId("reload").addEventListener("click", load);
register({ keys: "r", what: "look again", run: load });
load();

async function load() {
  const number = ++newest;
  status.textContent = "Loading …";
  place.setAttribute("aria-busy", "true");
  try {
    const back = lookbackMs(lookback.value);
    const graph = await api.graph(back && (Date.now() - back) * 1000);
    if (number === newest) show(graph);
  } catch (error) {
    if (number !== newest) return;
    status.textContent = "The service graph could not be loaded.";
    place.replaceChildren(failure(error, load));
  }
  if (number === newest) place.removeAttribute("aria-busy");
}

function show({ services, edges: found, truncated }) {
  if (found.length === 0) {
    status.textContent = services.length > 0 ? `${counted(services.length, "service")}, no calls between them.` : "No calls between services.";
    place.replaceChildren(nothing());
    return;
  }
  edges = found.map(({ parent, child, calls, errors, p50_ms: p50, p95_ms: p95, p99_ms: p99 }) => ({ from: parent, to: child, calls, errors, p50, p95, p99 }))
    .toSorted((one, other) => byName(one.from, other.from) || byName(one.to, other.to));
  const between = edges.filter(({ from, to }) => from !== to);
  const sum = (what) => between.reduce((sum, edge) => sum + edge[what], 0);
  status.textContent = `${counted(services.length, "service")}, ${counted(sum("calls"), "call")} between them, ${counted(sum("errors"), "error")}.`;
  const more = `There are more different calls than are told apart: these are the ${count(found.length)} of the newest traces.`;
  // Placed once, so that what the reader does in it outlives the next loading; and before it is drawn, as wide as there is room.
  if (!drawing.element.isConnected) place.replaceChildren(drawing.element, calls.element);
  place.querySelector(":scope > .warning")?.remove();
  if (truncated) place.prepend(el("p", { class: "notice warning" }, more));
  drawing.show({ services, edges });
  calls.show(edges, sought);
}

function nothing() {
  const wider = lookback.value !== "all" && el("button", { type: "button", onclick: () => {
    lookback.value = "all";
    lookback.dispatchEvent(new Event("change"));
  } }, "Look at everything stored");
  return notice("empty", "Nothing calls anything yet",
    el("p", {}, "A call shows once both its ends are stored. Press a button on the sandbox’s page or run ", el("code", {}, "tracelab load"),
      wider ? "; or look back further." : "."),
    el("p", { class: "leads" }, el("button", { type: "button", onclick: load }, "Look again"), wider));
}

/** All calls in a table, of which `show` says those of services with the sought letters in their names. */
function list() {
  const service = (name) => el("a", { class: "service", href: search({ service: name }) }, name);
  const number = (title, key, cell) => ({ title, value: (edge) => edge[key], cell, number: true });
  const calls = sortable({
    caption: "Latencies are the caller’s where it has a span of the call, else the callee’s.",
    attributes: { class: "calls" },
    rows: [],
    sort: 2,
    most: ROWS,
    columns: [
      { title: "Caller", value: ({ from }) => from, cell: ({ from }) => service(from) },
      { title: "Callee", value: ({ to }) => to, cell: ({ to }) => service(to) },
      number("Calls", "calls", ({ calls }) => count(calls)),
      number("Errors", "errors", failures),
      ...["p50", "p95", "p99"].map((name) => number(name, name, (edge) => brief(edge[name]))),
      { title: "Traces", value: ({ to }) => to, cell: (edge) => el("span", { class: "leads" }, links(edge).map(({ href, text }) => el("a", { href }, text))) },
    ],
  });
  const found = el("p", { class: "quiet", role: "status" });
  const element = el("section", { "aria-labelledby": "calls-title" },
    el("div", { class: "bar-of-tools" }, el("h2", { id: "calls-title" }, "Calls"), found),
    el("div", { class: "calls-frame", tabindex: "0", role: "region", "aria-labelledby": "calls-title" }, calls.element));

  function show(edges, sought) {
    const named = (name) => name.toLowerCase().includes(sought);
    const those = sought === "" ? edges : edges.filter(({ from, to }) => named(from) || named(to));
    found.textContent = sought === "" ? "" : `${count(those.length)} of ${counted(edges.length, "row")}: services with “${sought}” in their names`;
    calls.show(those);
  }

  return { element, show };
}

/** Searches for the traces of a service or, which a search cannot tell from others of its callee, of a call. */
function links(subject) {
  const { name, to } = subject;
  const service = name ?? to;
  const texts = name === undefined ? ["Newest", "Slowest", "Failed"] : ["Its traces", "The longest", "With errors"];
  const asked = [{}, { sort: "longest" }, { tags: JSON.stringify({ error: "true" }) }];
  const some = asked.slice(0, subject.errors === 0 ? 2 : 3);
  return some.map((parameters, index) => ({ href: search({ service, ...parameters }), text: texts[index] }));
}

function search(parameters) {
  return `/search?${new URLSearchParams({ ...parameters, lookback: lookback.value })}`;
}

/** Writes what has changed into the address, so that it can be shared. */
function address(changes) {
  const parameters = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) parameters.delete(name);
    else parameters.set(name, value);
  }
  history.replaceState(null, "", parameters.size > 0 ? `?${parameters}` : location.pathname);
}
