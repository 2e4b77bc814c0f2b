// /search: the form, the address and what is found, as a plot and as a list.

import * as api from "/assets/shared/api.js";
import { byId, choose, el, failure, notice, offerNames } from "/assets/common/dom.js";
import * as format from "/assets/common/format.js";
import { register } from "/assets/common/keys.js";
import { plot } from "./plot.js";
import { readSummary, results } from "./results.js";
import { DEFAULTS, MAX_LIMIT, beginTimes, fromAddress, lookbacks, problems, toAddress, toApi, toLocal } from "/assets/shared/query.js";

// So many traces are drawn and counted, however few are listed: the plot is to show what else there is.
const PLOTTED = 1000;
// How many more one click lists.
const MORE = 100;
const form = byId("search");
const status = byId("status");
const list = byId("results");
const sidebar = byId("sidebar");
const drawn = plot(byId("plot"), { narrow: (conditions) => narrow(conditions), told: (trace) => found.mark(trace) });
const found = results(list, byId("picked"), { reached: (trace) => drawn.mark(trace) });
let running = new AbortController();
let shown = null;
// Where it is not, the form folds away: what was found is below it.
const wide = matchMedia("(min-width: 48rem)");

async function start() {
  const openWhenWide = () => wide.matches && (sidebar.open = true);
  wide.addEventListener("change", openWhenWide);
  openWhenWide();

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (go(readForm())) foldForm();
  });
  for (const field of [form.elements.sort, form.elements.errors]) field.addEventListener("change", () => go(readForm()));
  form.elements.service.addEventListener("change", () => showOperations(form.elements.service.value, ""));
  form.elements.lookback.addEventListener("change", () => {
    beginMoment();
    showTimes();
  });
  form.elements.moment.addEventListener("input", () => (form.elements.at.value = fromField(form.elements.moment.value)));
  addEventListener("popstate", () => showAndRun(fromAddress(location.search)));
  await Promise.all([showServices(), showAndRun(fromAddress(location.search))]);
}

/** Searches with some fields of the form changed; `next` as `run` has it. */
function narrow(conditions, next) {
  showForm({ ...readForm(), ...conditions });
  go(readForm(), next);
}

/** Puts a query into the address, so that it can be shared and gone back to, and runs it: false where it cannot be run. */
function go(query, next) {
  if (showProblems(query)) return false;
  const address = toAddress(query);
  if (address !== location.pathname + location.search) history.pushState(null, "", address);
  run(query, next);
  return true;
}

function foldForm() {
  if (wide.matches) return;
  sidebar.open = false;
  sidebar.querySelector("summary").focus();
}

async function showAndRun(asked) {
  showForm(asked);
  const query = readForm();
  const operations = showOperations(query.service, query.operation);
  if (showProblems(query)) {
    // An answer to what was asked before must not come over this.
    running.abort();
    list.removeAttribute("aria-busy");
    status.textContent = "The search in the address cannot be run as it is: mend the marked fields.";
    showNothing();
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
    if (field instanceof HTMLSelectElement) choose(field, value);
    else if (field.type === "checkbox") field.checked = value !== "";
    else field.value = value;
  }
  showTimes();
}

/** Who has just chosen to ask for a moment gets one to begin with: half-way through what is at the top, when something was in flight. */
function beginMoment() {
  const { lookback, at, moment } = form.elements;
  const top = shown?.[0];
  const busy = top ? top.start + BigInt(Math.floor(top.duration / 2)) : BigInt(Date.now()) * 1_000_000n;
  if (lookback.value === "moment" && !at.value) at.value = fromField(moment.value) || String(busy);
}

function showTimes() {
  const { lookback, at, moment } = form.elements;
  beginTimes(form.elements);
  // The field is not as fine as a moment, so that the moment changes only when somebody changes the field.
  if (at.value) moment.value = toLocal(format.toMillis(BigInt(at.value)));
  byId("custom-times").hidden = lookback.value !== "custom";
  byId("moment-time").hidden = lookback.value !== "moment";
}

function fromField(local) {
  const millis = Date.parse(local);
  return Number.isNaN(millis) ? "" : String(BigInt(millis) * 1_000_000n);
}

function showProblems(query) {
  const wrong = problems(query);
  for (const name of ["tags", "minDuration", "maxDuration", "limit", "from", "at"]) {
    byId(`${name}-error`).textContent = wrong[name] ?? "";
    fieldOf(name).setAttribute("aria-invalid", name in wrong);
  }
  const first = Object.keys(wrong)[0];
  if (first === undefined) return false;
  sidebar.open = true;
  fieldOf(first).focus();
  return true;
}

/** Where the reader mends it. */
const fieldOf = (name) => form.elements[name === "at" ? "moment" : name];

async function showServices() {
  try {
    const names = await api.services();
    // What the reader may have chosen meanwhile stays chosen.
    offerNames(form.elements.service, names);
  } catch {
    // The search meets the same backend and says what is wrong with it.
  }
}

async function showOperations(service, chosen) {
  offerNames(form.elements.operation, [], chosen);
  if (!service) return;
  try {
    const names = await api.operations(service);
    if (form.elements.service.value === service) offerNames(form.elements.operation, names);
  } catch {
    // As above.
  }
}

/** `next`: which result is to have the focus, where what had it will be gone. */
async function run(query, next = null) {
  running.abort();
  running = new AbortController();
  const { signal } = running;
  list.setAttribute("aria-busy", "true");
  status.textContent = "Searching …";
  byId("asked").replaceChildren(...conditions(query).flatMap((text, place) => [place > 0 ? " · " : "", el("bdi", {}, text)]));
  try {
    const limit = Number(query.limit);
    // One more than is shown: so it is known whether there are more.
    const asked = toApi(query, Math.min(MAX_LIMIT, Math.max(limit, PLOTTED) + 1));
    const summaries = await (query.lookback === "moment" ? api.inFlight : api.summaries)(asked, signal);
    const empty = summaries.length === 0 && (await api.services()).length === 0;
    if (signal.aborted) return;
    show(summaries, query, limit, empty);
    if (next !== null) found.go(next);
  } catch (error) {
    if (signal.aborted) return;
    status.textContent = "The search failed.";
    showNothing(failure(error, () => run(query)));
  }
  list.removeAttribute("aria-busy");
}

/** What was asked for, for who has the form folded away. Errors and order have fields that are always there. */
function conditions({ service, operation, tags, minDuration, maxDuration, lookback }) {
  const when = { custom: "between two times", moment: "in flight" }[lookback] ?? form.elements.lookback.selectedOptions[0].textContent.toLowerCase();
  return [service, operation, tags, minDuration && `${minDuration} or longer`, maxDuration && `${maxDuration} or shorter`, when].filter(Boolean);
}

function show(summaries, query, limit, empty) {
  if (summaries.length === 0) {
    status.textContent = "No traces found.";
    showNothing(empty ? nothingStored(query) : nothingMatches(query));
    return;
  }
  const most = Math.max(limit, PLOTTED);
  const traces = summaries.slice(0, most).map(readSummary);
  // The deepest search does not tell whether there are more.
  const total = { known: traces.length, more: summaries.length > most || most === MAX_LIMIT && traces.length === most };
  shown = traces.slice(0, limit);
  status.textContent = saysHowMany(total, query);
  drawn.show(traces, query);
  found.show(shown, el("div", { class: "more" }, moreButtons(total, shown.length)));
  byId("more").replaceChildren(...moreButtons(total, 0));
}

function saysHowMany({ known, more }, query) {
  const all = more ? `more than ${format.counted(known, "trace")}` : format.counted(known, "trace");
  const order = form.elements.sort.selectedOptions[0].textContent.toLowerCase();
  const when = query.lookback === "moment" ? ` in flight at ${format.dateTime(BigInt(query.at))}` : "";
  return `${shown.length < known || more ? `${format.count(shown.length)} of ${all}` : all}${when}, ${order}.`;
}

/** What is not listed is one click away; the click leads to the result at `place`. */
function moreButtons({ known, more }, place) {
  const button = (limit, text) => el("button", { type: "button", onclick: () => narrow({ limit: String(limit) }, place) }, text);
  const [some, deep] = [shown.length + MORE, Math.min(MAX_LIMIT, known * 10)];
  if (shown.length < known) {
    const all = button(known, `List ${more ? "" : "all "}${format.count(known)}`);
    return some < known ? [button(some, `List ${format.count(some)}`), all] : [all];
  }
  return more && known < MAX_LIMIT ? [button(deep, `List up to ${format.count(deep)}`)] : [];
}

/** Says why there is no list. */
function showNothing(why = "") {
  shown = null;
  drawn.show([], DEFAULTS);
  byId("more").replaceChildren();
  found.show([], why);
}

function nothingStored(query) {
  return notice("empty", "Nothing is stored yet",
    el("p", {}, "Press a button on the sandbox’s page or run ", el("code", {}, "tracelab load"),
      ", then search again. A program of your own may send OTLP here, over HTTP (port 4318) or gRPC (4317)."),
    el("button", { type: "button", onclick: () => run(query) }, "Search again"));
}

function nothingMatches(query) {
  return notice("empty", "No stored trace matches",
    el("p", {}, query.lookback === "moment"
      ? `Nothing that matches had begun and not ended at ${format.dateTime(BigInt(query.at))}. Choose another moment, or loosen a condition.`
      : "All conditions must hold, the tags on one span. Loosen one, or widen the lookback."),
    query.lookback === "all"
      ? el("a", { href: "/search?lookback=all" }, "Search without conditions")
      : el("button", { type: "button", onclick: widenAndGo }, "Look through everything stored"));
}

function widenAndGo() {
  narrow({ lookback: "all" });
}

register(
  { keys: "j", what: "next result", run: () => found.step(1) },
  { keys: "k", what: "previous result", run: () => found.step(-1) },
  { keys: "o", what: "open the result in a new tab (Enter: here)", run: () => openBeside(found.current()) },
  { keys: "x", what: "pick the result for a comparison", run: () => found.togglePick() },
  { keys: "c", what: "compare the two that are picked", run: () => found.compare() },
  { keys: "/", what: "go to the form", run: searchAgain },
  { keys: "p", what: "go to the plot: arrows walk, Shift and arrows choose a range", run: () => drawn.focus() },
  { keys: "i", what: "what was in flight when the result began", run: inFlightThen },
  { keys: "e", what: "only with errors, or all", run: () => form.elements.errors.click() },
  { keys: "l", what: "longest first", run: () => narrow({ sort: "longest" }) },
  { keys: "n", what: "newest first", run: () => narrow({ sort: "newest" }) },
  { keys: "r", what: "search again", run: () => go(readForm()) });

function openBeside(trace) {
  if (trace) window.open(trace.address, "_blank", "noopener");
}

/** Of the result that the reader is at, else of the moment that is picked in the plot. */
function inFlightThen() {
  const trace = found.current();
  if (trace) narrow({ lookback: "moment", at: String(trace.start) });
  else if (shown) drawn.ask();
}

function searchAgain() {
  sidebar.open = true;
  form.elements.service.focus();
}

form.elements.lookback.append(...lookbacks(["custom", "From … to …"], ["moment", "In flight at …"]));
start();
