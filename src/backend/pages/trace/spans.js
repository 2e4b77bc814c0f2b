// The spans of a trace, with all that helps to read them: the overview, the waterfall or the flame graph, find, what is folded, the
// critical path. Keeps these of one mind, and the address too: `?uiFind=` (as Jaeger has it), `?view=flame`, `#span=`.

import * as api from "/assets/shared/api.js";
import { flame } from "/assets/common/chart/flame.js";
import { el, options, withStyle } from "/assets/common/dom.js";
import * as format from "/assets/common/format.js";
import { beside, found } from "/assets/trace/find.js";
import { foldAll, foldBy, foldService, foldTo, uncover } from "/assets/trace/folding.js";
import { framesOf } from "/assets/trace/frames.js";
import { overview } from "/assets/trace/overview.js";
import { waterfall } from "/assets/trace/waterfall.js";

// Typing on is quicker than finding anew in ten thousand spans.
const FIND_AFTER_MS = 120;
const LEVELS = [2, 3, 4, 6, 10, 20];
// One press of a key moves or changes the range by so much of it.
const PAN = 0.25;
const ZOOM = 0.5;

/** `onFold()` after what is folded has changed, whoever did it. */
export function spansOf(id, trace, onFold) {
  let matches = [];
  // The one that was gone to.
  let atMatch = null;
  let path = [];
  let pathShown = true;
  let flameGraph = null;
  let view = new URLSearchParams(location.search).get("view") === "flame" ? "flame" : "waterfall";
  let finding = 0;

  const lines = waterfall(id, trace, {
    onFold: () => {
      folding.value = "by-hand";
      onFold();
    },
    // The address names what was opened last, until that is closed.
    onDetails: (span, open) => {
      const hash = `#span=${encodeURIComponent(span.id)}`;
      if (open) history.replaceState(null, "", `${location.pathname}${location.search}${hash}`);
      else if (location.hash === hash) history.replaceState(null, "", `${location.pathname}${location.search}`);
    },
  });
  const small = overview(trace, (range) => zoomed(range));

  // The tools.

  const field = el("input", {
    type: "search", name: "find", "aria-label": "Find in this trace", placeholder: "Find in this trace", autocomplete: "off", spellcheck: "false",
    oninput: typed, onkeydown: inField,
  });
  const count = el("output", { class: "count", "aria-live": "polite" });
  const previous = el("button", { type: "button", disabled: true, "aria-label": "Previous match", title: "Previous match (N)", onclick: () => match(-1) }, "↑");
  const next = el("button", { type: "button", disabled: true, "aria-label": "Next match", title: "Next match (n)", onclick: () => match(1) }, "↓");
  const views = [["waterfall", "Waterfall"], ["flame", "Flame graph"]].map(([name, title]) =>
    el("button", { type: "button", "data-view": name, onclick: () => show(name) }, title));
  const folding = el("select", { "aria-label": "What is folded", onchange: () => fold(folding.value) }, options(
    ["none", "Nothing folded"], ["all", "All folded"], ["visits", "One row a visit to a service"],
    ...LEVELS.filter((levels) => levels < trace.depth).map((levels) => [`${levels}`, `${levels} levels`])),
  el("option", { value: "by-hand", hidden: true }, "Folded by hand"));
  const critical = el("input", { type: "checkbox", checked: true, disabled: true, onchange: () => showPath(critical.checked) });
  const whole = el("button", { type: "button", disabled: true, onclick: () => small.whole() }, "Whole trace");

  const pinned = el("div", { class: "pinned" },
    el("div", { class: "tools", role: "toolbar", "aria-label": "Spans" },
      el("div", { class: "views", role: "group", "aria-label": "View" }, views),
      el("div", { class: "finding", role: "search", "aria-label": "In this trace" }, field, previous, next, count),
      el("label", { class: "inline only-waterfall" }, el("span", { class: "unseen" }, "Fold"), folding),
      el("label", { class: "inline only-waterfall check" }, critical, "Critical path"),
      el("span", { class: "only-waterfall" }, whole)),
    el("div", { class: "only-waterfall" }, small.element));
  const title = el("h2", { id: "waterfall-title" });
  const help = el("p", { class: "help only-waterfall", id: "keys" },
    "A bar is a span: its solid part is self time, the pale part was spent in its children, ",
    el("span", { class: "legend way" }), " a hatched part on the way to another service; ", el("span", { class: "legend path" }),
    " what the end of the trace waited for. Click a row, or press Enter on it, for its tags and logs. ", el("kbd", {}, "?"), " lists the keys.");
  const told = el("div", { class: "help path-told only-waterfall", role: "status" });
  const frames = el("div", { class: "frames" });
  const element = el("section", { class: "spans", "aria-labelledby": "waterfall-title" }, title, help, told, pinned, lines.element, frames);
  const pinnedSeen = new ResizeObserver(() => withStyle(element, { "--pinned": `${Math.floor(pinned.offsetHeight)}px` }));
  pinnedSeen.observe(pinned);
  show(view);
  readPath();

  // The views.

  function show(wanted) {
    view = wanted;
    const isFlame = view === "flame";
    title.textContent = isFlame ? "Flame graph" : "Waterfall";
    views.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.view === view)));
    element.classList.toggle("is-flame", isFlame);
    if (isFlame && !flameGraph) {
      flameGraph = flame({ title: "Self time, by who called whom", root: framesOf(trace), text: format.duration, also: { label: "Show in the waterfall", run: (frame) => frame.longest && reveal(frame.longest) } });
      frames.append(el("p", { class: "help" }, "A frame is all spans of one operation below the same callers, as wide as the self time in it and below it. "
        + "What ran at the same time adds up, so the whole may be wider than the trace was long. Click a frame to bring it nearer; from there the one of its spans with the longest self time is a click away."), flameGraph);
    }
    frames.hidden = !isFlame;
    lines.element.hidden = isFlame;
    setAddress("view", isFlame ? "flame" : "");
    if (!isFlame) lines.render();
  }

  function setAddress(name, value) {
    const parameters = new URLSearchParams(location.search);
    if ((parameters.get(name) ?? "") === value) return;
    if (value) parameters.set(name, value);
    else parameters.delete(name);
    history.replaceState(null, "", `${location.pathname}${parameters.size > 0 ? `?${parameters}` : ""}${location.hash}`);
  }

  // The range.

  function zoomed(range) {
    whole.disabled = small.isWhole();
    lines.setRange(range);
  }

  function zoom(factor) {
    const { from, to } = small.range();
    // Around what the reader is at, where that is in view.
    const { offset, duration } = lines.current();
    const at = Math.max(from, Math.min(to, offset + duration / 2));
    small.choose({ from: at - (at - from) * factor, to: at + (to - at) * factor });
  }

  function pan(by) {
    const { from, to } = small.range();
    const move = Math.max(-from, Math.min(trace.duration - to, (to - from) * by));
    small.choose({ from: from + move, to: to + move });
  }

  /** The range of the row that the reader is at. */
  function zoomTo({ offset, duration }) {
    small.choose({ from: offset - duration * 0.02, to: offset + duration * 1.02 });
  }

  // Find.

  function typed() {
    clearTimeout(finding);
    finding = setTimeout(() => find(), FIND_AFTER_MS);
  }

  function find() {
    clearTimeout(finding);
    finding = 0;
    matches = found(trace, field.value);
    atMatch = null;
    previous.disabled = next.disabled = matches.length === 0;
    lines.mark(matches);
    small.mark(matches);
    tellMatch();
    setAddress("uiFind", field.value.trim());
  }

  function match(step) {
    if (finding) find();
    if (matches.length === 0) return;
    // The one that the reader is at is not passed over when it was not yet gone to.
    const at = lines.current();
    atMatch = step > 0 && atMatch === null && matches.includes(at) ? at : beside(matches, at, step);
    reveal(atMatch);
    tellMatch();
  }

  function tellMatch() {
    count.textContent = field.value.trim() === "" ? ""
      : atMatch ? `${format.count(matches.indexOf(atMatch) + 1)} of ${format.count(matches.length)}`
        : matches.length > 0 ? format.counted(matches.length, "match", "matches") : "nothing found";
  }

  function inField(event) {
    if (event.key === "Enter") {
      event.preventDefault();
      const had = document.activeElement;
      match(event.shiftKey ? -1 : 1);
      // Whoever types goes on typing.
      had.focus({ preventScroll: true });
    } else if (event.key === "Escape") {
      event.preventDefault();
      field.value = "";
      find();
      lines.go(lines.current());
    }
  }

  // What is folded.

  function fold(how) {
    if (how === "none" || how === "visits") foldAll(trace, false);
    else if (how === "all") foldAll(trace, true);
    else foldTo(trace, Number(how));
    refold(how, how === "visits");
  }

  function foldStep(step) {
    foldBy(trace, lines.rows(), step);
    refold("by-hand", false);
  }

  function refold(how, byVisit) {
    folding.value = how;
    lines.refold(byVisit);
    onFold();
  }

  /** Brings a span into view, whatever it is folded into. */
  function reveal(span, middle = true) {
    if (view !== "waterfall") show("waterfall");
    if (span.row !== span) {
      uncover(span);
      refold("by-hand");
      // Still part of a visit's row.
      if (span.row !== span) refold("none", false);
    }
    const { from, to } = small.range();
    if (span.offset > to || span.offset + span.duration < from) small.whole();
    lines.go(span, { middle });
  }

  function nextError(step) {
    const failed = trace.spans.filter((span) => span.error);
    if (failed.length > 0) reveal(beside(failed, lines.current(), step), false);
  }

  // The critical path.

  async function readPath() {
    let answer;
    try {
      answer = await api.criticalPath(id);
    } catch (error) {
      told.textContent = error.status === 404 ? "" : `The critical path could not be read: ${error.message}`;
      return;
    }
    const byId = new Map();
    // As children are hung onto the first of two that share an ID.
    for (const span of trace.spans) if (!byId.has(span.id)) byId.set(span.id, span);
    path = answer.parts.map(({ span_id, start_ns, end_ns }) => ({ span: byId.get(span_id), from: start_ns, to: end_ns })).filter(({ span }) => span);
    for (const { span, from, to } of path) span.onPath = (span.onPath ?? 0) + to - from;
    lines.redrawDetails();
    critical.disabled = path.length === 0;
    const own = new Map();
    for (const { span, from, to } of path) own.set(span.service, (own.get(span.service) ?? 0) + to - from);
    const [most] = [...own].sort(([, one], [, other]) => other - one);
    told.replaceChildren(...(most ? [
      `Critical path: ${format.duration(answer.duration_ns)}, of which ${format.duration(most[1])} (${format.share(most[1] / (answer.duration_ns || 1))}) in `,
      el("bdi", {}, most[0]), ".",
      answer.notes.length > 0 && el("details", {}, el("summary", {}, "Mended first"), el("ul", {}, answer.notes.map((note) => el("li", {}, note))))].filter(Boolean) : []));
    showPath(pathShown);
  }

  function showPath(shown) {
    pathShown = shown;
    critical.checked = shown;
    lines.setPath(shown ? path : []);
    small.drawPath(shown ? path : []);
  }

  // What the address asks for, once all is in the page.

  function fromAddress() {
    const wanted = /^#span=(.+)$/.exec(location.hash)?.[1];
    // As it is by now: the reader may have searched for something else.
    const text = new URLSearchParams(location.search).get("uiFind");
    if (text) {
      field.value = text;
      find();
    }
    let span = null;
    if (wanted) {
      const decoded = decode(wanted);
      span = trace.spans.find((one) => one.id === decoded);
    }
    if (span) {
      reveal(span);
      lines.toggleDetails(span, true);
    } else if (matches.length > 0) match(1);
  }

  const onWaterfall = (act) => () => {
    if (view === "waterfall") act();
  };

  return {
    element, fromAddress,
    foldService: (name, folded) => {
      foldService(trace, name, folded);
      refold("by-hand");
    },
    end: () => {
      clearTimeout(finding);
      pinnedSeen.disconnect();
      small.end();
      lines.end();
    },
    keys: {
      find: () => {
        field.focus();
        field.select();
      },
      next: () => match(1),
      previous: () => match(-1),
      down: onWaterfall(() => lines.step(1)),
      up: onWaterfall(() => lines.step(-1)),
      error: () => nextError(1),
      flame: () => show(view === "flame" ? "waterfall" : "flame"),
      path: onWaterfall(() => !critical.disabled && showPath(!pathShown)),
      foldAll: onWaterfall(() => fold("all")),
      unfoldAll: onWaterfall(() => fold("none")),
      foldOne: onWaterfall(() => foldStep(-1)),
      unfoldOne: onWaterfall(() => foldStep(1)),
      visits: onWaterfall(() => fold(folding.value === "visits" ? "none" : "visits")),
      left: onWaterfall(() => pan(-PAN)),
      right: onWaterfall(() => pan(PAN)),
      nearer: onWaterfall(() => zoom(ZOOM)),
      farther: onWaterfall(() => zoom(1 / ZOOM)),
      zoomTo: onWaterfall(() => zoomTo(lines.current())),
      whole: onWaterfall(() => small.whole()),
    },
  };
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
