// One trace against all that is stored of its kind: how long each of its spans usually takes, and how unusual this one is.
//
// Of a kind are spans of the same service, operation and kind. They are asked for one after the other, those that took most of the
// trace's time first, and no more than a few unless the reader wants more: each answer goes through all that is stored of it.

import * as api from "/assets/shared/api.js";
import { el, named, withStyle } from "/assets/common/dom.js";
import { histogram } from "/assets/common/chart/histogram.js";
import * as format from "/assets/common/format.js";
import { hued } from "/assets/common/hues.js";
import { kindOf } from "/assets/compare/merge.js";

const AT_ONCE = 8;
const MS = 1e6;
// From so many on it can be said that one is unusual, and from so many that it is rare.
const FEW = 5;
const MANY = 20;
// Slower than so many of its siblings is worth a look …
const RARE = 0.95;
// … and so is more of the trace's time than is usual, be it a time that many siblings share.
const MUCH = 0.1;
// On a phone a smaller drawing keeps its texts large.
const DRAWN = { width: innerWidth < 600 ? 460 : 640 };

/** Kinds of spans of a trace, by the span of each that was longest busy itself. */
function kinds(trace) {
  const found = new Map();
  for (const span of trace.spans) {
    const key = kindOf(span);
    const kind = found.get(key) ?? { span, many: 0 };
    kind.many += 1;
    if (span.selfTime > kind.span.selfTime) kind.span = span;
    found.set(key, kind);
  }
  return [...found.values()].sort((one, other) => other.span.selfTime - one.span.selfTime);
}

/** `id` is the trace's; the answer's `step(by)` chooses the next kind or the one before, `mostUnusual()` is the span to look at. */
export function againstItsKind(id, trace) {
  const all = kinds(trace);
  let [asked, chosen, byHand, failedAt] = [0, null, false, null];
  const summary = el("p", { class: "found", role: "status" });
  const list = el("ol", { class: "kinds" });
  const detail = el("div", { class: "detail" });
  const more = el("button", { type: "button", onclick: () => askMore() });
  const element = el("section", { "aria-labelledby": "kinds-title" },
    el("h2", { id: "kinds-title" }, "Each span against its siblings"),
    el("p", { class: "help" },
      "Siblings are all stored spans of the same service, operation and kind. Those that were longest busy themselves come first."),
    summary,
    el("div", { class: "kinds-and-detail" }, el("div", {}, list, more), detail));
  askMore();

  async function askMore() {
    const some = all.slice(asked, asked + AT_ONCE);
    asked += some.length;
    more.hidden = true;
    for (const kind of some) {
      kind.row = row(kind);
      list.append(kind.row);
    }
    if (!chosen) choose(some[0]);
    failedAt = null;
    for (const kind of some) await ask(kind);
    sayWhatStandsOut();
    more.hidden = asked === all.length;
    more.textContent = `Compare ${format.count(Math.min(AT_ONCE, all.length - asked))} more of ${format.counted(all.length - asked, "kind")} left`;
  }

  async function ask(kind) {
    const { span } = kind;
    try {
      // What has no kind is asked for as the API names it.
      kind.stored = await api.distribution({ service: span.service, operation: span.name, kind: span.kind || "unspecified" });
      kind.self = placeAmong(kind.stored.self ?? {}, kind.stored.count, span.selfTime / MS);
      kind.whole = placeAmong(kind.stored, kind.stored.count, span.duration / MS);
    } catch (error) {
      kind.error = error;
      failedAt ??= kind;
    }
    kind.row.querySelector(".verdict").replaceChildren(...verdict(kind));
    kind.row.classList.toggle("notable", isNotable(kind));
    if (chosen === kind) showDetail();
  }

  function row(kind) {
    const { span, many } = kind;
    return el("li", {}, hued(el("button", { type: "button", class: "kind", "aria-pressed": "false", onclick: () => { byHand = true; choose(kind); } },
      el("span", { class: "title" }, named(span.service, span.name)),
      el("span", { class: "amount" }, format.duration(span.selfTime)),
      el("span", { class: "quiet what" }, [span.kind, many > 1 && `the longest of ${format.count(many)} here`].filter(Boolean).join(", ")),
      el("span", { class: "verdict" }, "asking …")), span.service));
  }

  function choose(kind) {
    chosen?.row.firstChild.setAttribute("aria-pressed", "false");
    chosen = kind;
    kind.row.firstChild.setAttribute("aria-pressed", "true");
    showDetail();
  }

  function showDetail() {
    const { span, stored, error, self, whole } = chosen;
    const link = el("a", { href: `/trace/${encodeURIComponent(id)}#span=${encodeURIComponent(span.id)}` }, "in the trace");
    const title = el("h3", {}, named(span.service, span.name));
    if (error) {
      detail.replaceChildren(title, el("p", {}, `Its siblings could not be asked for: ${error.message}. `),
        el("button", { type: "button", onclick: () => ask(chosen) }, "Try again"));
      return;
    }
    detail.replaceChildren(title,
      el("p", { class: "quiet" }, `${span.kind || "no kind"} · ${format.duration(span.duration)}, of it ${format.duration(span.selfTime)} itself · `, link),
      ...(stored
        ? [picture("Time that it was busy itself", stored.self ?? {}, span.selfTime, self), picture("Duration", stored, span.duration, whole),
            el("p", { class: "help" }, failures(stored, span))]
        : [el("p", { class: "waiting" }, "Asking for its siblings …")]));
  }

  function sayWhatStandsOut() {
    const known = all.filter((kind) => kind.self);
    const most = mostNotable();
    if (known.length === 0) summary.textContent = "";
    else if (most) {
      const { span, stored, self } = most;
      summary.replaceChildren("Furthest beyond what is usual: ", el("strong", {}, named(span.service, span.name)),
        ` was busy itself for ${format.duration(span.selfTime)}, where ${format.duration(stored.self.p50_ms * MS)} is the median: ${sentence(self)}.`);
    } else {
      summary.replaceChildren(...(known.some(({ self }) => self.siblings >= FEW)
        ? ["None of these spans was busy for unusually long. What is as slow every time does not show here: look at the ",
            el("a", { href: "/suspects" }, "suspects"), "."]
        : ["Too few siblings are stored to say what is usual: some dozens say more."]));
    }
    if (most && !byHand) choose(most);
    if (failedAt) summary.append(` ${format.counted(known.length, "kind")} could be compared; others could not be asked for.`);
  }

  function step(by) {
    const shown = all.slice(0, asked);
    const next = shown[Math.max(0, Math.min(asked - 1, shown.indexOf(chosen) + by))];
    if (!next) return;
    byHand = true;
    choose(next);
    next.row.firstChild.focus();
  }

  function isNotable(kind) {
    const { self, span } = kind;
    if (!self || self.siblings < FEW || self.faster < self.slower) return false;
    const rare = self.siblings >= MANY && self.faster / self.siblings >= RARE;
    return excess(kind) > 0 && (rare || excess(kind) > MUCH * Math.max(trace.duration, span.duration));
  }

  function mostNotable() {
    return all.filter(isNotable).toSorted((one, other) => excess(other) - excess(one))[0];
  }

  return { element, step, mostUnusual: () => (byHand ? chosen : (mostNotable() ?? chosen)).span };
}

const excess = ({ span, stored }) => span.selfTime - stored.self.p50_ms * MS;

/**
 * How many siblings are surely faster, and surely slower: those of other buckets than its own. The span is one of those that were
 * counted, and the bounds of the buckets are milliseconds.
 */
function placeAmong({ buckets = [] }, count, ms) {
  const at = buckets.findIndex(([upper]) => ms <= upper);
  const own = at < 0 ? buckets.length - 1 : at;
  const sum = (some) => some.reduce((sum, [, many]) => sum + many, 0);
  return { siblings: Math.max(0, count - 1), faster: sum(buckets.slice(0, own)), slower: sum(buckets.slice(own + 1)) };
}

/** Shares are rounded down: nobody is slower than all but who is. */
function sentence({ siblings, faster, slower }) {
  const share = (part) => format.share(Math.floor((1000 * part) / siblings) / 1000);
  if (siblings === 0) return "it has no siblings to compare it with";
  if (siblings === 1) return faster === slower ? "as fast as its only sibling" : `${faster ? "slower" : "faster"} than its only sibling`;
  const of = format.counted(siblings, "sibling");
  if (faster === siblings) return `slower than all of its ${of}`;
  if (slower === siblings) return `faster than all of its ${of}`;
  if (faster >= slower) return `slower than ${share(faster)} of its ${of}`;
  return `faster than ${share(slower)} of its ${of}`;
}

function verdict({ error, self, stored }) {
  if (error) return [`could not be asked for: ${error.message}`];
  const place = self.siblings > 0 ? (self.faster + (self.siblings - self.faster - self.slower) / 2) / self.siblings : 0.5;
  return [
    withStyle(el("span", { class: "place", "aria-hidden": "true" }), { "--left": `${(100 * place).toFixed(1)}%` }),
    el("span", {}, sentence(self)),
    stored.self?.p50_ms != null && el("span", { class: "quiet" }, ` · median ${format.duration(stored.self.p50_ms * MS)}`),
  ].filter(Boolean);
}

function failures({ errors, count }, { error }) {
  if (errors === 0) return "No span of this kind failed.";
  const many = `${format.count(errors)} of ${format.counted(count, "span")} of this kind failed (${format.share(errors / count)})`;
  return `${many}${error ? ", and so did this one." : "; this one did not."}`;
}

function picture(title, of, ns, place) {
  const known = (of.buckets ?? []).length > 0;
  if (!known) return el("p", { class: "help" }, `${title}: nothing is counted yet.`);
  const marks = [{ at: ns, name: "this span" }, ...(of.p50_ms == null ? [] : [{ at: of.p50_ms * MS, name: "median" }])];
  return el("div", {}, histogram({
    title: `${title}: ${sentence(place)}`, buckets: of.buckets.map(([upper, many]) => [upper * MS, many]), marks,
    text: format.duration, label: title.toLowerCase(), size: DRAWN,
  }));
}
