// /suspects: what `tracelab diagnose` says of the traces that are stored, in its own words. Nothing is concluded here.
//
// What to look at is in the address: `service`, and `lookback` or, as Jaeger writes times, `start` and `end` in microseconds.

import * as api from "/assets/shared/api.js";
import { byId, el, failure, figures, notice, withStyle } from "/assets/common/dom.js";
import * as format from "/assets/common/format.js";
import { hued } from "/assets/common/hues.js";
import { register } from "/assets/common/keys.js";
import { DEFAULTS, beginTimes, fromAddress, lookbackMs, problems } from "/assets/shared/query.js";
import { latency, paths } from "/assets/suspects/pictures.js";

// Clocks differ: a trace that starts a little after our now is still one of the last hour.
const AHEAD_MS = 60_000;
const form = byId("asked");
const status = byId("status");
const place = byId("suspects");
let running = new AbortController();
// The address that is shown.
let opened;

const toMicros = (local) => String(Date.parse(local) * 1000);

function toAddress({ service, lookback, from, to }) {
  const times = lookback === "custom" ? { start: toMicros(from), end: toMicros(to) } : { lookback };
  return `/suspects?${new URLSearchParams(service ? { service, ...times } : times)}`;
}

function toApi({ service, lookback, from, to }) {
  if (lookback === "custom") return { service, start: toMicros(from), end: toMicros(to) };
  if (lookback === "all") return { service };
  const now = Date.now();
  return { service, start: (now - lookbackMs(lookback)) * 1000, end: (now + AHEAD_MS) * 1000 };
}

function showForm({ service, lookback, from, to }) {
  // An address may ask for what the lists do not offer: it counts all the same.
  for (const [name, value] of [["service", service], ["lookback", lookback]]) {
    const field = form.elements[name];
    if (![...field.options].some((option) => option.value === value)) field.append(el("option", { value }, value));
    field.value = value;
  }
  [form.elements.from.value, form.elements.to.value] = [from, to];
  showTimes();
}

function showTimes() {
  beginTimes(form.elements);
  byId("custom-times").hidden = form.elements.lookback.value !== "custom";
}

const readForm = () => Object.fromEntries(["service", "lookback", "from", "to"].map((name) => [name, form.elements[name].value]));

/** Puts what is asked into the address, so that it can be shared and gone back to, and asks it. */
function go() {
  const asked = readForm();
  if (isWrong(asked)) return form.elements.from.focus();
  const address = toAddress(asked);
  if (address !== location.pathname + location.search) history.pushState(null, "", address);
  opened = location.search;
  return load(asked);
}

/** Says what is wrong with the times that are asked for, or nothing. */
function isWrong(asked) {
  const { from = "" } = problems({ ...DEFAULTS, ...asked });
  byId("times-error").textContent = from;
  return Boolean(from);
}

/** Asks what the address asks. */
function open() {
  opened = location.search;
  const query = fromAddress(opened);
  // A moment is too short to compare what there was.
  showForm(query.lookback === "moment" ? { ...query, lookback: DEFAULTS.lookback } : query);
  const asked = readForm();
  if (!isWrong(asked)) return load(asked);
  running.abort();
  place.removeAttribute("aria-busy");
  place.replaceChildren();
  status.textContent = "What the address asks for cannot be looked at as it is: mend the times.";
}

async function load(asked) {
  running.abort();
  running = new AbortController();
  const { signal } = running;
  const since = Date.now();
  // To be seen only: read aloud every second it would be in the way.
  const waited = el("span", { "aria-hidden": "true" });
  const tell = () => (waited.textContent = ` ${format.elapsed((Date.now() - since) / 1000)}`);
  status.replaceChildren("Comparing every stored trace with the others …", waited);
  place.setAttribute("aria-busy", "true");
  const ticking = setInterval(tell, 1000);
  try {
    const answer = await api.suspects(toApi(asked), signal);
    if (signal.aborted) return;
    show(answer, asked);
  } catch (error) {
    if (signal.aborted) return;
    status.textContent = "What is stored could not be looked at.";
    place.replaceChildren(failure(error, () => load(asked)));
  } finally {
    clearInterval(ticking);
  }
  place.removeAttribute("aria-busy");
}

function show(answer, asked) {
  const { read, page } = answer;
  if (read.traces === 0) return nothingRead(page, asked);
  const [traces, spans, services] = [[read.traces, "trace"], [read.spans, "span"], [page.services, "service"]].map((many) => format.counted(...many));
  status.textContent = `${traces} with ${spans} of ${services} looked at.`;
  const remarks = [answer.note, ...page.remarks].filter(Boolean);
  place.replaceChildren(
    el("section", { class: "verdict", "aria-labelledby": "verdict" },
      el("h2", { id: "verdict", class: answer.suspects.length > 0 ? "found" : "", title: page.title }, page.title),
      page.looked_at && el("p", {}, page.looked_at),
      now(page)),
    remarks.length > 0 && el("ul", { class: "notice warning" }, remarks.map((remark) => el("li", {}, remark))) || "",
    answer.suspects.length > 0
      ? el("ol", { class: "suspects", "aria-label": "Suspects" }, answer.suspects.map((suspect, rank) => card(suspect, page.suspects[rank], rank + 1)))
      : "",
    el("div", { class: "pictures" }, latency(answer), ranking(answer)),
    paths(answer));
}

function nothingRead(page, asked) {
  // That there is none is the first remark; more say what was left out, and why.
  status.textContent = "No traces.";
  const everything = asked.lookback === "all" && !asked.service;
  place.replaceChildren(notice("empty", everything ? "Nothing is stored yet" : "No stored trace is from this time and service",
    page.remarks.length > 1 && el("p", {}, page.remarks.join("; ")),
    el("p", {}, "Run ", el("code", {}, "tracelab load"), " or start a run on the sandbox’s page, then look again: "
      + "some hundred traces let differences show."),
    everything ? null : el("button", { type: "button", onclick: lookAtAll }, "Look at everything stored")));
}

function lookAtAll() {
  showForm({ service: "", lookback: "all", from: "", to: "" });
  go();
}

/** How traces are now, before anything is fixed. */
function now({ now: { p50_ms: p50, p99_ms: p99, error_share: failing } }) {
  const duration = ({ now }) => format.duration(now * 1e6);
  return figures(["p50", duration(p50)], ["p99", duration(p99)], ["Failing", format.share(failing.now)]);
}

function card(suspect, said, rank) {
  const changes = said.changes.map(([what, now, fixed]) =>
    el("tr", {}, el("th", { scope: "row" }, what), el("td", { class: "number" }, now), el("td", { class: "number better" }, "→ ", fixed)));
  const title = `suspect-${rank}`;
  return el("li", { class: "suspect", "aria-labelledby": title, tabindex: "-1" },
    el("header", {},
      el("span", { class: "rank", "aria-hidden": "true" }, rank),
      el("div", {},
        el("h3", { id: title, title: said.place }, said.place),
        el("p", {}, el("span", { class: "badge cause" }, suspect.cause), " ", said.meaning)),
      withStyle(el("p", { class: "sure" }, `${said.sure} % sure`, el("span", { class: "meter", "aria-hidden": "true" })),
        { "--width": `${said.sure}%` })),
    el("div", { class: "why" },
      el("div", {}, el("h4", {}, "Evidence"), el("ul", { class: "evidence" }, suspect.evidence.map((line) => el("li", {}, el("p", {}, line))))),
      el("table", { class: "effect" }, el("caption", {}, "If fixed"), el("tbody", {}, changes,
        el("tr", {}, el("th", { scope: "row" }, "concerns"), el("td", { class: "number", colspan: 2 }, format.counted(suspect.effect.traces, "trace")))))),
    suspect.examples.length > 0 && el("div", { class: "examples" },
      el("h4", {}, "Traces that show it"),
      el("ul", {}, suspect.examples.map((id) => el("li", {},
        el("a", { class: "id", href: `/trace/${encodeURIComponent(id)}` }, id), " ",
        el("a", { href: `/compare?${new URLSearchParams({ one: id })}`, "aria-label": `against its kind: ${id}` }, "against its kind"))))),
    el("p", { class: "more" }, el("a", { href: searchFor(suspect) }, "Search for all of them")));
}

/** The search that comes nearest to what the suspect is about, the slowest first. */
function searchFor({ service, callee, attribute }) {
  const query = { lookback: "all", sort: "longest" };
  if (service ?? callee) query.service = service ?? callee;
  if (attribute) query.tags = JSON.stringify({ [attribute.key]: attribute.value });
  return `/search?${new URLSearchParams(query)}`;
}

function ranking({ suspects, page }) {
  const against = page.ranking.filter(({ score }) => score > 0);
  const most = against[0]?.score ?? 1;
  const suspected = new Set(suspects.flatMap(({ service, callee }) => [service, callee]));
  return el("section", { class: "ranking", "aria-labelledby": "ranking-title" },
    el("h2", { id: "ranking-title" }, "What speaks against services"),
    against.length === 0
      ? el("p", { class: "help" }, "Of no service did any request take clearly longer than is typical for it.")
      : [el("p", { class: "help" }, suspects.length > 0
          ? "The suspects first, then by the time beyond what is typical. For the others chance is enough to explain it."
          : "By the time beyond what is typical: of none is it more than chance makes it."),
        el("ol", {}, against.map(({ service, score }) => hued(withStyle(el("li", {},
          el("span", { class: "service", title: service }, service),
          suspected.has(service) && el("span", { class: "badge error" }, "suspect"),
          el("span", { class: "meter", "aria-hidden": "true" })), { "--width": `${(100 * score) / most}%` }), service)))]);
}

async function showServices() {
  try {
    const names = await api.services();
    const field = form.elements.service;
    const chosen = field.value;
    field.replaceChildren(field.options[0], ...names.map((name) => el("option", { value: name }, name)));
    if (chosen && !names.includes(chosen)) field.append(el("option", { value: chosen }, chosen));
    field.value = chosen;
  } catch {
    // The page's own question meets the same backend and says what is wrong with it.
  }
}

/** The next suspect, or the one before. */
function step(by) {
  const cards = [...place.querySelectorAll(".suspect")];
  const at = cards.indexOf(document.activeElement?.closest(".suspect"));
  const next = cards[Math.max(0, Math.min(cards.length - 1, at + by))];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

register(
  { keys: "j", what: "go to the next suspect", run: () => step(1) },
  { keys: "k", what: "go to the suspect before", run: () => step(-1) },
  { keys: "r", what: "look again", run: go });
form.addEventListener("submit", (event) => {
  event.preventDefault();
  go();
});
form.addEventListener("change", (event) => {
  showTimes();
  // Times are typed in parts: the button says when they are whole.
  if (event.target instanceof HTMLSelectElement && readForm().lookback !== "custom") go();
});
// An address within the page is no other question.
addEventListener("popstate", () => location.search !== opened && open());
open();
showServices();
