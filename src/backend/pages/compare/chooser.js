// Which traces to compare: two fields to paste into, and the traces of a search to pick from.
//
// The search is the address's own (`/compare?service=…`, with the parameters of /search), so that one can be carried over.

import * as api from "/assets/shared/api.js";
import { choose, el, failure, named, notice, offerNames, options } from "/assets/common/dom.js";
import * as format from "/assets/common/format.js";
import { fromAddress, problems, toApi } from "/assets/shared/query.js";

const SHOWN = 20;
// So many services that a trace passed are named.
const NAMED = 3;

/** The IDs in what was pasted: an ID, a link to a trace, or a link to a comparison of two. */
export function idsIn(text) {
  const inPath = /\/trace\/([^/?#\s]+)/.exec(text)?.[1];
  const inQuery = /[?&]one=([^&#\s]+)/.exec(text)?.[1];
  return (inPath ?? inQuery ?? text).trim().split("...").map((id) => id.trim()).filter(Boolean);
}

export const addressOf = (a, b) =>
  (a && b ? `/trace/${encodeURIComponent(a)}...${encodeURIComponent(b)}` : `/compare?${new URLSearchParams({ one: a || b })}`);

/** The form and the list; `a` and `b` are what is known already. */
export function chooser({ a = "", b = "" } = {}) {
  const field = (name, value) => el("input", { name, value, autocomplete: "off", spellcheck: "false", placeholder: "ID or link", oninput: pasted });
  const fields = { a: field("a", a), b: field("b", b) };
  const go = el("button", { class: "primary" }, "Compare");
  const wrong = el("p", { class: "field-error", role: "alert" });
  const list = el("div", { class: "candidates" });
  const sort = el("select", { "aria-label": "Which traces to offer", onchange: offer },
    options(["longest", "Longest of all"], ["newest", "Newest"]));
  const service = el("select", { "aria-label": "Service", onchange: offer }, options(["", "any service"]));
  const query = { ...fromAddress(location.search), limit: String(SHOWN) };
  const parameters = new URLSearchParams(location.search);
  if (!parameters.has("lookback") && !parameters.has("start")) query.lookback = "all";
  if (!parameters.has("sort")) query.sort = "longest";
  choose(sort, query.sort);
  const element = el("section", { class: "chooser", "aria-labelledby": "chooser-title" },
    el("h2", { id: "chooser-title" }, "Which traces?"),
    el("form", { onsubmit: submitted },
      el("label", {}, "A: this trace", fields.a), el("label", {}, "B: against this one", fields.b),
      el("div", { class: "actions" }, go, el("button", { type: "button", onclick: swap }, "Swap"))),
    wrong,
    el("p", { class: "help" }, "With one of them alone: against all stored spans of its kind."),
    el("div", { class: "bar-of-tools" }, el("h3", {}, "Pick from what is stored"), el("div", { class: "from" }, service, sort)),
    list);
  name();
  offer();
  offerServices();
  return { element, focus: () => fields.a.focus() };

  function name() {
    const both = fields.a.value.trim() && fields.b.value.trim();
    go.textContent = both || !(fields.a.value.trim() || fields.b.value.trim()) ? "Compare" : "Compare with its kind";
  }

  /** A link to a comparison fills both fields. */
  function pasted(event) {
    const ids = idsIn(event.target.value);
    if (ids.length === 2) [fields.a.value, fields.b.value] = ids;
    wrong.textContent = "";
    name();
  }

  function swap() {
    [fields.a.value, fields.b.value] = [fields.b.value, fields.a.value];
  }

  function submitted(event) {
    event.preventDefault();
    const [one, other] = [idsIn(fields.a.value)[0] ?? "", idsIn(fields.b.value)[0] ?? ""];
    if (one || other) location.assign(addressOf(one, other));
    else {
      wrong.textContent = "Paste the ID of a trace or a link to it, or pick one below.";
      fields.a.focus();
    }
  }

  function pick(side, id) {
    fields[side].value = id;
    wrong.textContent = "";
    name();
    (fields.a.value && fields.b.value ? go : fields[side === "a" ? "b" : "a"]).focus();
  }

  async function offerServices() {
    // Without the list any service is offered, and the list below says what is wrong with the backend.
    offerNames(service, await api.services().catch(() => []), query.service);
  }

  async function offer(event) {
    // To begin with the address says which, later the lists do.
    if (event) [query.service, query.sort] = [service.value, sort.value];
    list.setAttribute("aria-busy", "true");
    try {
      const found = Object.keys(problems(query)).length > 0 ? [] : await api.summaries(toApi(query));
      list.replaceChildren(found.length > 0 ? candidates(found) : nothing());
    } catch (error) {
      list.replaceChildren(failure(error, () => offer()));
    }
    list.removeAttribute("aria-busy");
  }

  function candidates(found) {
    const heading = (title, name = null) => el("th", { scope: "col", class: name }, title);
    return el("table", {},
      el("thead", {}, el("tr", {}, heading("Trace"), heading("Duration", "number"), heading("When", "when"), heading("Compare as"))),
      el("tbody", {}, found.map(candidate)));
  }

  function candidate(json) {
    const [start, end] = [BigInt(json.minStartTimeUnixNano ?? 0), BigInt(json.maxEndTimeUnixNano ?? 0)];
    const title = named(json.rootServiceName || "unnamed service", json.rootOperationName || "root span not stored");
    const button = (side) => {
      const name = side.toUpperCase();
      return el("button", { type: "button", "aria-label": `${name}: ${json.traceId}`, onclick: () => pick(side, json.traceId) }, name);
    };
    const through = (json.services ?? []).map(({ name }) => name).filter((name) => name !== json.rootServiceName);
    return el("tr", {},
      el("th", { scope: "row" }, el("a", { href: `/trace/${encodeURIComponent(json.traceId)}`, title: json.traceId }, title), " ",
        (json.errorSpanCount ?? 0) > 0 && [el("span", { class: "badge error" }, format.counted(json.errorSpanCount, "error")), " "],
        through.length > 0 && el("span", { class: "through" }, "through ",
          through.slice(0, NAMED).map((name, place) => [place > 0 && ", ", el("bdi", { title: name }, name)]),
          through.length > NAMED && ` and ${format.count(through.length - NAMED)} more`)),
      el("td", { class: "number" }, format.duration(end > start ? Number(end - start) : 0)),
      el("td", { class: "quiet when" }, el("time", { title: format.dateTime(start) }, format.ago(start))),
      el("td", { class: "sides" }, button("a"), " ", button("b"), " ",
        el("a", { href: addressOf(json.traceId), "aria-label": `its kind: ${json.traceId}` }, "its kind")));
  }

  function nothing() {
    return notice("empty", "No trace to pick from",
      el("p", {}, "Press a button on the sandbox’s page or run ", el("code", {}, "tracelab load"), ", then look again."),
      el("button", { type: "button", onclick: () => offer() }, "Look again"));
  }
}
