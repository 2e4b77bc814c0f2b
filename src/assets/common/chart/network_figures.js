// Figures of calls between services, in words: what network.js writes beside them, and the panel that says all of one.

import { el, figures } from "/assets/common/dom.js";
import { count, counted, duration, share } from "/assets/common/format.js";

const LATENCIES = ["p50", "p95", "p99"];
// So many of the hottest calls are listed where nothing is picked, and so many named in a sentence.
const LISTED = 8;
const NAMED = 3;

/** A few digits of so many milliseconds. */
export const brief = (ms) => (ms == null ? "–" : duration(Number((ms * 1e6).toPrecision(3))));

/** How many failed, and how large a part that is. */
export const failures = ({ calls, errors }) => (errors > 0 ? `${count(errors)} (${share(errors / calls)})` : "0");

/** What a call is coloured by: milliseconds, the share that failed, or null where it is not known. */
export function valueOf(edge, by) {
  return by === "errors" ? edge.errors / Math.max(1, edge.calls) : (edge[by] ?? null);
}

/** No more than `most` of them, the slowest or those that fail most. */
export function hottest(edges, by, most) {
  return edges.filter((edge) => valueOf(edge, by) > 0).toSorted((one, other) => valueOf(other, by) - valueOf(one, by)).slice(0, most);
}

/** Who calls a service and whom it calls, for who hears the page. */
export function sentence({ edges }, name) {
  const said = (those, end) => {
    const named = those.slice(0, NAMED).map((edge) => `${edge[end]} (${counted(edge.calls, "call")}, ${counted(edge.errors, "error")}, p95 ${brief(edge.p95)})`);
    const more = those.length > NAMED ? [`${count(those.length - NAMED)} more`] : [];
    return those.length === 0 ? "nobody" : [...named, ...more].join(", ");
  };
  const [into, out] = ["to", "from"].map((end) => edges.filter((edge) => edge[end] === name));
  return `${name} is called by ${said(into, "from")} and calls ${said(out, "to")}.`;
}

/**
 * Beside the drawing: its `show(graph, by, subject)` says all of a service, of a call, or of neither what is worst. `pick(name)` and
 * `open(edge)` are what pressing a service and a call do; the rest is as for `network`.
 */
export function panel({ title, key, links, pick, open }) {
  let graph;
  let by;
  const element = el("div", { class: "network-panel", role: "region", "aria-label": `${title}: figures`, tabindex: "0" });

  function show(latest, colouredBy, subject) {
    [graph, by] = [latest, colouredBy];
    // Figures change while somebody is in it.
    const reached = () => [...element.querySelectorAll("a, button")];
    const focused = reached().indexOf(document.activeElement);
    const parts = !subject ? overview() : subject.name !== undefined ? ofService(subject.name) : ofCall(subject);
    element.replaceChildren(...parts.filter(Boolean));
    if (focused >= 0) reached()[focused]?.focus();
  }

  function overview() {
    const worst = hottest(graph.edges, by, LISTED);
    const what = by === "errors" ? "Calls that fail most" : `Slowest calls by ${by}`;
    return [
      el("h3", {}, what),
      worst.length > 0
        ? el("ol", { class: "hottest" }, worst.map((edge) => el("li", {},
          el("button", { type: "button", class: "plain", onclick: () => open(edge) }, way(edge)),
          el("span", { class: "number" }, by === "errors" ? failures(edge) : brief(valueOf(edge, by))))))
        : el("p", { class: "quiet" }, by === "errors" && graph.edges.length > 0 ? "No call failed." : "Nothing is measured yet."),
      el("p", { class: "help" }, "Point at a service or a call to see it alone; a click keeps it. ", el("kbd", {}, key),
        " finds a service, the arrow keys go from one to the next, ", el("kbd", {}, "Esc"), " shows all again."),
    ];
  }

  function ofService(name) {
    const sides = [["Called by", "to", "from"], ["Calls", "from", "to"]].map(([caption, own, other]) => {
      const edges = graph.edges.filter((edge) => edge[own] === name)
        .toSorted((one, other) => valueOf(other, by) - valueOf(one, by) || other.calls - one.calls);
      return edges.length === 0
        ? el("p", { class: "quiet" }, caption === "Calls" ? "It calls nobody." : "Nobody calls it.")
        : calls(`${caption} ${counted(edges.length, "service")}`, edges, other);
    });
    const known = graph.services.some((service) => service.name === name);
    return [
      el("h3", {}, el("span", { class: "service" }, name)), leads({ name }),
      ...(known ? sides : [el("p", { class: "quiet" }, "Nothing of it is among what is read here. Is its name spelt so, and was it called in that time?")]),
    ];
  }

  function ofCall(subject) {
    const edge = graph.edges.find(({ from, to }) => from === subject.from && to === subject.to);
    const of = edge ? [["Calls", count(edge.calls)], ["Errors", failures(edge)], ...LATENCIES.map((name) => [name, brief(edge[name])])] : [];
    return [
      el("h3", {}, way(subject)), leads(subject),
      figures(...of),
      el("p", { class: "ends" }, [subject.from, subject.to].map((name) =>
        el("button", { type: "button", onclick: () => pick(name) }, el("span", { class: "service" }, name)))),
    ];
  }

  function leads(subject) {
    const found = links(subject);
    return found.length > 0 && el("p", { class: "leads" }, found.map(({ href, text, target }) => el("a", { href, target, rel: target ? "noopener" : null }, text)));
  }

  function calls(caption, edges, end) {
    const heading = (head) => el("th", { scope: "col", class: "number" }, head);
    const line = (edge) => el("tr", {},
      el("th", { scope: "row" }, el("button", { type: "button", class: "plain service", title: edge[end], onclick: () => pick(edge[end]) }, edge[end])),
      [count(edge.calls), failures(edge), ...LATENCIES.map((name) => brief(edge[name]))].map((text) => el("td", { class: "number" }, text)));
    return el("table", {}, el("caption", {}, caption),
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Service"), ["Calls", "Errors", ...LATENCIES].map(heading))),
      el("tbody", {}, edges.map(line)));
  }

  return { element, show };
}

const way = ({ from, to }) => [el("bdi", {}, from), " → ", el("bdi", {}, to)];
