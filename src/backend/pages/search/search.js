// /search: the form, the address and the list of traces that match.

import * as api from "/assets/shared/api.js";
import { el, failure, notice, withStyle } from "/assets/common/dom.js";
import * as format from "/assets/common/format.js";
import { hued } from "/assets/common/hues.js";
import { DEFAULTS, fromAddress, problems, toAddress, toApi } from "/assets/shared/query.js";

const SERVICES_SHOWN = 8;
const form = document.getElementById("search");
const status = document.getElementById("status");
const results = document.getElementById("results");
const sidebar = document.getElementById("sidebar");
let running = new AbortController();

async function start() {
  const wide = matchMedia("(min-width: 48rem)");
  const openWhenWide = () => wide.matches && (sidebar.open = true);
  wide.addEventListener("change", openWhenWide);
  openWhenWide();

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    go(readForm());
  });
  form.elements.sort.addEventListener("change", () => go(readForm()));
  form.elements.service.addEventListener("change", () => showOperations(form.elements.service.value, ""));
  form.elements.lookback.addEventListener("change", () => showCustomTimes());
  addEventListener("popstate", () => showAndRun(fromAddress(location.search)));
  await Promise.all([showServices(), showAndRun(fromAddress(location.search))]);
}

/** Puts a query into the address, so that it can be shared and gone back to, and runs it. */
function go(query) {
  if (showProblems(query)) return;
  const address = toAddress(query);
  if (address !== location.pathname + location.search) history.pushState(null, "", address);
  run(query);
}

async function showAndRun(asked) {
  showForm(asked);
  const query = readForm();
  const operations = showOperations(query.service, query.operation);
  if (showProblems(query)) {
    sidebar.open = true;
    status.textContent = "The search in the address cannot be run as it is: mend the marked fields.";
    results.replaceChildren();
  } else await run(query);
  await operations;
}

function readForm() {
  const data = new FormData(form);
  return Object.fromEntries(Object.keys(DEFAULTS).map((name) => [name, String(data.get(name) ?? "").trim()]));
}

function showForm(query) {
  for (const [name, value] of Object.entries(query)) {
    const field = form.elements[name];
    // An address may ask for what the list does not offer, a lookback of 3h for example: it counts all the same.
    if (field instanceof HTMLSelectElement) ensureOption(field, value);
    field.value = value;
  }
  showCustomTimes();
}

function showCustomTimes() {
  const custom = form.elements.lookback.value === "custom";
  const fields = document.getElementById("custom-times");
  if (custom && !form.elements.to.value) {
    const local = (millis) => new Date(millis - new Date().getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
    form.elements.from.value = local(Date.now() - 3_600_000);
    form.elements.to.value = local(Date.now());
  }
  fields.hidden = !custom;
}

function showProblems(query) {
  const found = problems(query);
  for (const name of ["tags", "minDuration", "maxDuration", "limit", "from"]) {
    document.getElementById(`${name}-error`).textContent = found[name] ?? "";
    form.elements[name].setAttribute("aria-invalid", name in found);
  }
  const first = Object.keys(found)[0];
  if (first) form.elements[first].focus();
  return first !== undefined;
}

function ensureOption(select, value) {
  if (![...select.options].some((option) => option.value === value)) select.append(el("option", { value }, value));
}

function setOptions(select, names, chosen) {
  select.replaceChildren(select.options[0], ...names.map((name) => el("option", { value: name }, name)));
  ensureOption(select, chosen);
  select.value = chosen;
}

const byName = new Intl.Collator(undefined, { numeric: true });

async function showServices() {
  try {
    const names = (await api.services()).sort(byName.compare);
    // Read after the answer: the reader may have chosen meanwhile.
    setOptions(form.elements.service, names, form.elements.service.value);
  } catch {
    // The search meets the same backend and says what is wrong with it.
  }
}

async function showOperations(service, chosen) {
  setOptions(form.elements.operation, [], chosen);
  if (!service) return;
  try {
    const names = new Set((await api.operations(service)).map((operation) => operation.name));
    const select = form.elements.operation;
    if (form.elements.service.value === service) setOptions(select, [...names].sort(byName.compare), select.value);
  } catch {
    // As above.
  }
}

async function run(query) {
  running.abort();
  running = new AbortController();
  const { signal } = running;
  results.setAttribute("aria-busy", "true");
  status.textContent = "Searching …";
  try {
    const found = await api.summaries(toApi(query), signal);
    const empty = found.length === 0 && (await api.services()).length === 0;
    if (signal.aborted) return;
    show(found, query, empty);
  } catch (error) {
    if (signal.aborted) return;
    status.textContent = "The search failed.";
    results.replaceChildren(failure(error, () => run(query)));
  }
  results.removeAttribute("aria-busy");
}

function show(found, query, empty) {
  if (found.length === 0) {
    status.textContent = "No traces found.";
    results.replaceChildren(empty ? nothingStored(query) : nothingMatches(query));
    return;
  }
  const traces = found.map(summary);
  const longest = Math.max(...traces.map((trace) => trace.duration));
  const all = String(found.length) !== query.limit;
  const order = form.elements.sort.selectedOptions[0].textContent.toLowerCase();
  status.textContent = `${format.counted(traces.length, "trace")}, ${order}${all ? "" : "; there may be more: raise the limit to see them"}.`;
  results.replaceChildren(el("ol", { class: "results" }, traces.map((trace) => row(trace, longest))));
}

function nothingStored(query) {
  return notice("empty", "Nothing is stored yet",
    el("p", {}, "Press a button on the sandbox’s page or run ", el("code", {}, "tracelab load"),
      ", then search again. A program of your own may send OTLP here, over HTTP (port 4318) or gRPC (4317)."),
    el("button", { type: "button", onclick: () => run(query) }, "Search again"));
}

function nothingMatches(query) {
  return notice("empty", "No stored trace matches",
    el("p", {}, "All conditions must hold, the tags on one span. Loosen one, or widen the lookback."),
    query.lookback === "all"
      ? el("a", { href: "/search?lookback=all" }, "Search without conditions")
      : el("button", { type: "button", onclick: widenAndGo }, "Look through everything stored"));
}

function widenAndGo() {
  form.elements.lookback.value = "all";
  showCustomTimes();
  go(readForm());
}

/** Fields that are zero or empty may be absent. */
function summary(json) {
  const [start, end] = [BigInt(json.minStartTimeUnixNano ?? 0), BigInt(json.maxEndTimeUnixNano ?? 0)];
  return {
    id: json.traceId,
    service: json.rootServiceName,
    operation: json.rootOperationName,
    start,
    duration: end > start ? Number(end - start) : 0,
    spans: json.spanCount ?? 0,
    errors: json.errorSpanCount ?? 0,
    orphans: json.orphanSpanCount ?? 0,
    services: json.services ?? [],
  };
}

function row(trace, longest) {
  const title = trace.operation
    ? [el("span", { class: "service" }, trace.service || "unnamed service"), " ", el("span", { class: "operation" }, trace.operation)]
    : [el("span", { class: "operation missing" }, "root span not stored")];
  return el("li", { class: trace.errors ? "result failed" : "result" },
    el("a", { href: `/trace/${encodeURIComponent(trace.id)}`, title: trace.id },
      el("span", { class: "title" }, title),
      el("span", { class: "duration" }, format.duration(trace.duration))),
    el("div", { class: "track", "aria-hidden": "true" },
      withStyle(el("div", { class: "fill" }), { "--width": `${(100 * trace.duration) / (longest || 1)}%` })),
    el("p", { class: "facts" },
      el("time", { datetime: new Date(format.toMillis(trace.start)).toISOString() }, format.dateTime(trace.start)),
      el("span", {}, format.ago(trace.start)),
      el("span", {}, format.counted(trace.spans, "span")),
      trace.errors > 0 && el("span", { class: "badge error" }, format.counted(trace.errors, "error")),
      trace.orphans > 0 && el("span", { class: "badge warning", title: "Spans whose parent is not stored" }, format.counted(trace.orphans, "orphan"))),
    el("ul", { class: "chips", "aria-label": "Services" }, chips(trace.services)));
}

function chips(services) {
  const shown = services.slice(0, SERVICES_SHOWN).map(({ name, spanCount, errorSpanCount }) =>
    hued(el("li", { class: errorSpanCount ? "chip failed" : "chip" }, el("bdi", {}, name), " ", el("span", { class: "amount" }, format.count(spanCount ?? 0))), name));
  const more = services.length - shown.length;
  return more > 0 ? [...shown, el("li", { class: "chip more" }, `and ${format.count(more)} more`)] : shown;
}

start();
