// /compare and /trace/{a}...{b}: which traces to compare, two of them side by side, or one against all of its kind (`/compare?one={id}`).

import * as api from "/assets/shared/api.js";
import { el, failure, figures, named, notice, withStyle } from "/assets/common/dom.js";
import * as format from "/assets/common/format.js";
import { register } from "/assets/common/keys.js";
import { table } from "/assets/common/table.js";
import { addressOf, chooser, idsIn } from "/assets/compare/chooser.js";
import { againstItsKind } from "/assets/compare/kind.js";
import { differences, merge } from "/assets/compare/merge.js";
import { overview } from "/assets/compare/overview.js";
import { sideBySide } from "/assets/compare/side_by_side.js";
import { DEFAULTS, toApi } from "/assets/shared/query.js";
import { readTrace } from "/assets/shared/trace_model.js";

// So many services and operations differ at most in the table: the largest differences are what is looked for.
const MOST_DIFFERENCES = 100;
// What differs by no more than this part of the longer trace is no difference to speak of.
const LITTLE = 0.01;
// Among so many an ordinary one is looked for.
const MOST_ORDINARY = 500;
const status = document.getElementById("status");
const place = document.getElementById("compare");
const tools = document.getElementById("tools");

function asked() {
  const parameters = new URLSearchParams(location.search);
  const segment = location.pathname.startsWith("/trace/") ? location.pathname.slice("/trace/".length) : "";
  const decoded = (text) => {
    try {
      return decodeURIComponent(text);
    } catch {
      return text;
    }
  };
  const [a = "", b = ""] = segment ? segment.split("...").map(decoded) : [parameters.get("a") ?? "", parameters.get("b") ?? ""];
  return { a: a.trim(), b: b.trim(), one: idsIn(parameters.get("one") ?? "")[0] ?? "", two: Boolean(segment) };
}

function start() {
  const { a, b, one, two } = asked();
  tools.replaceChildren();
  if (two && a && b) return compareTwo(a, b);
  if (one) return compareWithKind(one);
  const choosing = chooser({ a, b });
  place.replaceChildren(
    el("p", { class: "intro" }, "Why did this one take longer? Put a slow trace beside an ordinary one, or one against all of its kind."),
    choosing.element);
  choosing.focus();
}

/** A trace, or what is to be shown in its place. */
async function fetched(id, name) {
  try {
    const trace = readTrace(await api.trace(id));
    return trace.spans.length > 0 ? { id, trace } : { id, missing: nothingStored(id, name) };
  } catch (error) {
    if (error.status === 404) return { id, missing: nothingStored(id, name) };
    if (error.status !== 400) return { id, missing: failure(error, start) };
    return { id, missing: notice("error", `${name} is not a trace ID`, el("p", { class: "id" }, id), el("p", {}, error.message)) };
  }
}

function nothingStored(id, name) {
  return notice("empty", `${name} is not stored`, el("p", { class: "id" }, id),
    el("p", {}, "It may not have arrived yet (programs send their spans seconds after they end), have been evicted, "
      + "or never have been sent because of sampling."),
    el("button", { type: "button", onclick: start }, "Look again"));
}

async function compareTwo(idA, idB) {
  document.title = "Two traces compared · Tracelab";
  status.textContent = "Loading both traces …";
  const [a, b] = await Promise.all([fetched(idA, "Trace A"), fetched(idB, "Trace B")]);
  if (a.missing || b.missing) return instead([a.missing, b.missing], { a: idA, b: idB });
  const pairs = merge(a.trace, b.trace);
  status.textContent = counts(pairs);
  const found = differences(a.trace, b.trace);
  const rows = sideBySide(pairs, a.trace, b.trace);
  const whole = Math.max(a.trace.duration, b.trace.duration);
  tools.replaceChildren(
    el("button", { type: "button", onclick: swap }, "Swap A and B"),
    el("a", { href: `/compare?${new URLSearchParams({ a: idA, b: idB })}` }, "Choose others"));
  place.replaceChildren(
    conclusion(a.trace, b.trace, found),
    remark(pairs),
    el("div", { class: "two" }, head("A", a, whole), head("B", b, whole)),
    differenceTable(found),
    rows.element);
  registerRows(rows);
  register(
    { keys: "x", what: "swap A and B", run: swap },
    { keys: "d", what: "show all spans, or only what differs", run: rows.toggle });

  function swap() {
    location.replace(addressOf(idB, idA));
  }
}

function counts(pairs) {
  const count = (state) => pairs.filter((pair) => pair.state === state).length;
  const alone = count("only-a") + count("only-b");
  const of = [["slower", "slower in B"], ["faster", "faster in B"], ["only-a", "only in A"], ["only-b", "only in B"]]
    .map(([state, what]) => [count(state), what]).filter(([many]) => many > 0);
  return `${[`${format.counted(pairs.length - alone, "span")} matched`, ...of.map(([many, what]) => `${format.count(many)} ${what}`)].join(", ")}.`;
}

function registerRows({ step }) {
  register(
    { keys: "j", what: "go to the next row", run: () => step(1) },
    { keys: "k", what: "go to the row before", run: () => step(-1) });
}

/** What stands where the comparison would be, and how to choose other traces. */
function instead(notices, known) {
  status.textContent = "Nothing can be compared as it is.";
  place.replaceChildren(...notices.filter(Boolean), chooser(known).element);
}

/** In one sentence: by how much, and where most of it is. */
function conclusion(a, b, found) {
  const change = b.duration - a.duration;
  const [most] = found;
  const little = LITTLE * Math.max(a.duration, b.duration);
  const alike = Math.abs(change) <= little;
  const how = alike ? "about as long as A" : `${format.duration(Math.abs(change))} ${change > 0 ? "longer" : "shorter"} than A`;
  const explains = !alike && Math.sign(most.change) === Math.sign(change) && Math.abs(most.change) >= Math.abs(change) / 2;
  return el("p", { class: "found" }, `B took ${format.duration(b.duration)}, ${how}. `,
    Math.abs(most.change) > little && [
      explains ? "Most of it: " : "What differs most: ",
      el("strong", {}, named(most.service, most.name)),
      ` was busy itself for ${format.duration(most.b)} in B, ${format.duration(most.a)} in A.`,
    ]);
}

function remark(pairs) {
  const none = !pairs.some(({ a, b }) => a && b);
  if (!none) return "";
  return notice("warning", "These traces do not begin alike",
    el("p", {}, "No span of one has its like in the other, so each is shown alone. Two traces of the same button say more."));
}

function head(name, { id, trace }, whole) {
  const root = trace.roots[0];
  return el("section", { class: "side", "aria-labelledby": `side-${name}` },
    el("h2", { id: `side-${name}` }, name && [el("span", { class: "letter" }, name), " "],
      el("a", { href: `/trace/${encodeURIComponent(id)}` }, named(root.service, root.name))),
    el("p", { class: "id" }, id),
    figures(
      ["Duration", format.duration(trace.duration)],
      ["Spans", format.count(trace.spans.length)],
      ["Services", format.count(trace.services.length)],
      ["Errors", el("span", { class: trace.errors ? "badge error" : "" }, format.count(trace.errors))],
      ["Start", format.dateTime(trace.start)]),
    overview(trace, whole, `Trace ${name}`.trim()),
    name && el("p", {}, el("a", { href: addressOf(id) }, `${name} against its kind`)));
}

function differenceTable(found) {
  const rows = found.slice(0, MOST_DIFFERENCES);
  const most = Math.max(1, ...rows.map(({ change }) => Math.abs(change)));
  return el("section", { class: "differences", "aria-labelledby": "differences-title" },
    el("h2", { id: "differences-title" }, "Where the time differs"),
    el("p", { class: "help" },
      "Self time, in which no child of a span ran, of all spans of a service, operation and kind together; the largest difference first.",
      found.length > rows.length && ` These are the ${format.count(rows.length)} largest of ${format.count(found.length)}.`),
    el("div", { class: "scrolled", tabindex: "0", role: "region", "aria-label": "Differences" }, table({
      rows, attributes: { class: "figures-table" },
      columns: [
        { title: "Service and operation", header: true, value: ({ service, name }) => `${service} ${name}`, cell: ({ service, name, kind }) =>
          [...named(service, name), kind && [" ", el("span", { class: "quiet" }, kind)]] },
        { title: "Difference", number: true, value: ({ change }) => Math.abs(change), cell: ({ change }) =>
          withStyle(el("span", { class: change > 0 ? "swing longer" : "swing shorter" }, format.change(change)),
            { "--part": `${(100 * Math.abs(change)) / most}%` }) },
        { title: "A", number: true, value: ({ a }) => a, cell: ({ a, spansA }) => (spansA ? format.duration(a) : "–") },
        { title: "B", number: true, value: ({ b }) => b, cell: ({ b, spansB }) => (spansB ? format.duration(b) : "–") },
        { title: "Spans A", number: true, value: ({ spansA }) => spansA, cell: ({ spansA }) => format.count(spansA) },
        { title: "Spans B", number: true, value: ({ spansB }) => spansB, cell: ({ spansB }) => format.count(spansB) },
      ],
    })));
}

async function compareWithKind(id) {
  document.title = "One trace against its kind · Tracelab";
  status.textContent = "Loading the trace …";
  const one = await fetched(id, "The trace");
  if (one.missing) return instead([one.missing], { a: id });
  status.textContent = "";
  const kinds = againstItsKind(id, one.trace);
  tools.replaceChildren(
    el("button", { type: "button", onclick: againstAnOrdinaryOne }, "Against an ordinary trace"),
    el("a", { href: `/compare?${new URLSearchParams({ a: id })}` }, "Against another one"), el("a", { href: "/compare" }, "Choose another"));
  place.replaceChildren(head("", one, one.trace.duration), kinds.element);
  registerRows(kinds);
  register({ keys: "o", what: "compare with an ordinary trace of the same services", run: againstAnOrdinaryOne });

  async function againstAnOrdinaryOne() {
    status.textContent = "Looking for an ordinary trace of the same services …";
    try {
      const found = await ordinary(id, one.trace, kinds.mostUnusual());
      if (found) return location.assign(addressOf(found, id));
      status.textContent = "No other trace without errors that passed the same services is stored: choose one by hand.";
    } catch (error) {
      status.textContent = `An ordinary trace could not be looked for: ${error.message}`;
    }
  }
}

/** The one of median duration among the newest that passed the same services, with this span among them, and did not fail. */
async function ordinary(id, trace, { service, name }) {
  const query = toApi({ ...DEFAULTS, service, operation: name, lookback: "all", limit: String(MOST_ORDINARY) });
  const passed = (names) => [...names].sort().join("\n");
  const same = passed(trace.services.map(({ name }) => name));
  const long = ({ minStartTimeUnixNano: start, maxEndTimeUnixNano: end }) => Number(BigInt(end ?? 0) - BigInt(start ?? 0));
  const like = (await api.summaries(query)).filter((other) =>
    other.traceId !== id && !other.errorSpanCount && passed((other.services ?? []).map(({ name }) => name)) === same);
  return like.sort((one, other) => long(one) - long(other))[Math.floor(like.length / 2)]?.traceId;
}

start();
