// A flame graph, its root on top: how wide a frame is says how much of the whole passes through it, its colour whose it is.
//
// A click or Enter makes a frame the whole width; the arrows go up, down and sideways. Frames too narrow to be seen are left out, and
// no more than `MOST` are drawn, the widest first: what was left out shows when one comes nearer.

import { el, svg } from "/assets/common/dom.js";
import { share } from "/assets/common/format.js";
import { hued } from "/assets/common/hues.js";

const WIDTH = 1000;
const ROW = 20;
const NARROWEST = 0.7;
const MOST = 2000;
// So wide, in units of the drawing, is a letter.
const LETTER = 6.6;

/**
 * `root`: `{ name, service, value, children }`, where a value is not less than its children's together; `text` writes one.
 * `also`: `{ label, run(node) }`, a button for the frame that was chosen last.
 */
export function flame({ title, root, text, also = null }) {
  let [zoomed, focused] = [root, root];
  const above = new Map();
  let depth = 0;
  let frames = new Map();
  link(root);

  const said = (node) => `${node.service ? `${node.service} ` : ""}${node.name}: ${text(node.value)}, ${share(node.value / (root.value || 1))} of all`;
  const drawing = svg("svg", {
    viewBox: `0 0 ${WIDTH} ${depth * ROW}`, role: "tree", "aria-label": title, onkeydown: pressed,
    onpointermove: (event) => tell(nodeOf(event)), onpointerleave: () => tell(focused), onclick: (event) => zoom(nodeOf(event)),
  });
  const told = el("p", { class: "told" }, said(root));
  const whole = el("button", { type: "button", hidden: true, onclick: () => zoom(root) }, "Show the whole");
  const element = el("figure", { class: "chart flame" }, el("figcaption", {}, title), el("div", { class: "drawing" }, drawing), told, whole, also && [" ", el("button", { type: "button", onclick: () => also.run(focused) }, also.label)]);
  draw();
  return element;

  function link(first) {
    // Not by recursion: a chain may be longer than the stack is deep.
    const open = [[first, null, 1]];
    while (open.length > 0) {
      const [node, parent, level] = open.pop();
      above.set(node, parent);
      depth = Math.max(depth, level);
      for (const child of node.children ?? []) open.push([child, node, level + 1]);
    }
  }

  function draw() {
    const found = [];
    const path = [];
    for (let node = zoomed; node; node = above.get(node)) path.unshift(node);
    // What is above the one that fills the width fills it too.
    path.slice(0, -1).forEach((node, level) => found.push({ node, level, x: 0, width: WIDTH }));
    const open = [{ node: zoomed, level: path.length - 1, x: 0, width: WIDTH }];
    while (open.length > 0) {
      const frame = open.pop();
      found.push(frame);
      let x = frame.x;
      for (const child of frame.node.children ?? []) {
        const width = (frame.width * child.value) / (frame.node.value || 1);
        if (width >= NARROWEST) open.push({ node: child, level: frame.level + 1, x, width });
        x += width;
      }
    }
    const shown = found.length > MOST ? found.toSorted((one, other) => other.width - one.width).slice(0, MOST) : found;
    frames = new Map(shown.map((frame) => [frame.node, box(frame)]));
    // Beside the frames, not in them: a frame says its whole name, which one that was cut would contradict.
    const names = svg("g", { "aria-hidden": "true", "pointer-events": "none" }, shown.map(nameOf));
    drawing.replaceChildren(...frames.values(), names);
    if (!frames.has(focused)) focused = zoomed;
    frames.get(focused).setAttribute("tabindex", "0");
    whole.hidden = zoomed === root;
  }

  function nameOf({ node, level, x, width }) {
    const label = node.service && node.service !== node.name ? `${node.service} ${node.name}` : node.name;
    const letters = Math.floor((width - 6) / LETTER);
    const written = letters < 3 ? "" : label.length <= letters ? label : `${label.slice(0, letters - 1)}…`;
    return written ? svg("text", { x: x + 3, y: level * ROW + 14 }, written) : null;
  }

  function box({ node, level, x, width }) {
    const frame = svg("g", { class: "frame", role: "treeitem", tabindex: "-1", "aria-level": level + 1, "aria-label": said(node), onfocus: () => tell(node) },
      svg("rect", { x, y: level * ROW, width: Math.max(0.5, width - 0.5), height: ROW - 1, rx: 2 }));
    frame.node = node;
    return hued(frame, node.service ?? node.name);
  }

  function nodeOf(event) {
    return event.target.closest(".frame")?.node ?? null;
  }

  function tell(node) {
    if (node) told.textContent = said(node);
  }

  function zoom(node) {
    if (!node) return;
    zoomed = node;
    focused = node;
    const had = drawing.contains(document.activeElement) || document.activeElement === whole;
    draw();
    tell(node);
    if (had) frames.get(focused).focus();
  }

  function focus(node) {
    if (!frames.has(node)) return;
    frames.get(focused)?.setAttribute("tabindex", "-1");
    focused = node;
    const frame = frames.get(node);
    frame.setAttribute("tabindex", "0");
    frame.focus();
  }

  function beside(node, step) {
    const siblings = above.get(node)?.children ?? [];
    return siblings[siblings.indexOf(node) + step];
  }

  function pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const act = {
      ArrowUp: () => focus(above.get(focused)),
      ArrowDown: () => focus(focused.children?.find((child) => frames.has(child))),
      ArrowLeft: () => focus(beside(focused, -1)),
      ArrowRight: () => focus(beside(focused, 1)),
      Home: () => focus(zoomed),
      Enter: () => zoom(focused),
      " ": () => zoom(focused),
      Escape: () => zoom(root),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }
}
