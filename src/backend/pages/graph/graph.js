// /dependencies: who calls whom, as a graph and as a table. What is asked for, coloured by and picked is in the address.

import * as api from "/assets/shared/api.js";
import { METRICS, network } from "/assets/common/chart/network.js";
import { brief, failures } from "/assets/common/chart/network_figures.js";
import { byId, el, failure, notice } from "/assets/common/dom.js";
import { count, counted } from "/assets/common/format.js";
import { register } from "/assets/common/keys.js";
import { table } from "/assets/common/table.js";
import { lookbackMs } from "/assets/shared/query.js";

const byName = new Intl.Collator(undefined, { numeric: true });
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
});
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
  const edges = found.map(({ parent, child, calls, errors, p50_ms: p50, p95_ms: p95, p99_ms: p99 }) => ({ from: parent, to: child, calls, errors, p50, p95, p99 }));
  const between = edges.filter(({ from, to }) => from !== to);
  const sum = (what) => between.reduce((sum, edge) => sum + edge[what], 0);
  status.textContent = `${counted(services.length, "service")}, ${counted(sum("calls"), "call")} between them, ${counted(sum("errors"), "error")}.`;
  const more = "There are more different calls than are told apart: those beyond the first 2,500 are left out.";
  // Placed once, so that what the reader does in it outlives the next loading; and before it is drawn, as wide as there is room.
  for (const child of [...place.children]) if (child !== drawing.element) child.remove();
  if (!drawing.element.isConnected) place.append(drawing.element);
  if (truncated) place.prepend(el("p", { class: "notice warning" }, more));
  place.append(section(edges));
  drawing.show({ services, edges });
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

function section(edges) {
  const service = (name) => el("a", { class: "service", href: search({ service: name }) }, name);
  const number = (title, key, cell) => ({ title, value: (edge) => edge[key], cell, number: true });
  const calls = table({
    caption: "Latencies are the caller’s where it has a span of the call, else the callee’s.",
    attributes: { class: "calls" },
    sort: 2,
    rows: edges.toSorted((one, other) => byName.compare(one.from, other.from) || byName.compare(one.to, other.to)),
    columns: [
      { title: "Caller", value: ({ from }) => from, cell: ({ from }) => service(from) },
      { title: "Callee", value: ({ to }) => to, cell: ({ to }) => service(to) },
      number("Calls", "calls", ({ calls }) => count(calls)),
      number("Errors", "errors", failures),
      ...["p50", "p95", "p99"].map((name) => number(name, name, (edge) => brief(edge[name]))),
      { title: "Traces", value: ({ to }) => to, cell: (edge) => el("span", { class: "leads" }, links(edge).map(({ href, text }) => el("a", { href }, text))) },
    ],
  });
  return el("section", { "aria-labelledby": "calls-title" },
    el("h2", { id: "calls-title" }, "Calls"),
    el("div", { class: "calls-frame", tabindex: "0", role: "region", "aria-labelledby": "calls-title" }, calls));
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
