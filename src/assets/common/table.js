// A table whose columns sort by their headings.

import { el } from "/assets/common/dom.js";
import { byName, count } from "/assets/common/format.js";

/**
 * Columns: `{ title, value, cell?, number?, header? }`. `value(row)` is what is sorted by; `cell(row)` what is shown, else the value;
 * a `number` stands to the right and sorts the largest first; the one that is `header` names its row. `sort`: the place of the column
 * that sorts to begin with, else the rows stay as they come. What is equal in one column keeps the order that it had.
 */
export function table(options) {
  return sortable(options).element;
}

/**
 * The same as `{ element, show }`: `show(rows)` has it hold other rows, in the order that its reader chose. With `key(row)`, a text or
 * number that tells rows apart, a row that was there stays, and only what has changed in it is written: for numbers that run.
 * No more than `most` rows are built, the first in the order; in its foot is a button for as many more, below what its page puts there.
 */
export function sortable({ caption, columns, rows, sort = null, attributes = {}, row = () => ({}), key = null, most = Infinity }) {
  const body = el("tbody");
  let built = most;
  const beyond = el("button", { type: "button", onclick: () => {
    built += most;
    fill();
  } });
  const more = el("tr", {}, el("td", { colspan: columns.length }, beyond));
  const kept = new Map();
  let order = [...rows];
  let by = null;
  let down = false;
  const headings = columns.map((column) =>
    el("th", { scope: "col", class: column.number ? "number" : null, "aria-sort": "none" },
      el("button", { type: "button", class: "plain", onclick: () => sortBy(column) }, column.title)));

  function sortBy(column) {
    down = by === column ? !down : Boolean(column.number);
    by = column;
    arrange();
    headings.forEach((heading, place) =>
      heading.setAttribute("aria-sort", columns[place] !== by ? "none" : down ? "descending" : "ascending"));
    fill();
  }

  function arrange() {
    if (by) order = order.toSorted((one, other) => (down ? -1 : 1) * compare(by.value(one), by.value(other)));
  }

  function show(others) {
    order = [...others];
    arrange();
    fill();
  }

  function fill() {
    const first = order.slice(0, built);
    const left = order.length - first.length;
    more.hidden = left === 0;
    if (left > 0) beyond.textContent = `Show ${count(Math.min(most, left))} more of ${count(left)}`;
    const lines = first.map((one) => {
      const line = kept.get(key?.(one));
      return line ? rewrite(line, one) : build(one);
    });
    if (key) {
      kept.clear();
      first.forEach((one, place) => kept.set(key(one), lines[place]));
    }
    if (lines.length !== body.children.length || lines.some((line, place) => line !== body.children[place])) body.replaceChildren(...lines);
  }

  const shown = (column, one) => (column.cell ?? column.value)(one) ?? "";

  function build(one) {
    return el("tr", row(one), columns.map((column) =>
      el(column.header ? "th" : "td", { scope: column.header ? "row" : null, class: column.number ? "number" : null }, shown(column, one))));
  }

  function rewrite(line, one) {
    columns.forEach((column, place) => {
      const cell = line.cells[place];
      const now = shown(column, one);
      if (cell.textContent !== (now.textContent ?? String(now))) cell.replaceChildren(now);
    });
    return line;
  }

  if (sort === null) fill();
  else sortBy(columns[sort]);
  const element = el("table", attributes, caption && el("caption", {}, caption), el("thead", {}, el("tr", {}, headings)), body, el("tfoot", {}, more));
  return { element, show };
}

/** What is missing comes first, so last where the largest is first. */
function compare(one, other) {
  if (one == null || other == null) return Number(other == null) * 1 - Number(one == null) * 1;
  return typeof one === "number" && typeof other === "number" ? one - other : byName(String(one), String(other));
}
