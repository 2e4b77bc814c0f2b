// A colour for every service: a hue, which tokens.css turns into one that is readable in light and in dark.
//
// It follows from the name alone. So a service looks the same on every page of both servers, whatever else is shown beside it; that
// two of ninety look alike is the price, which is why a colour never stands without the name.

import { withStyle } from "/assets/common/dom.js";

/** The hue of a name, in whole degrees. */
export function hue(name) {
  let value = 2166136261;
  for (let index = 0; index < name.length; index++) value = Math.imul(value ^ name.charCodeAt(index), 16777619);
  // Names that differ in their last digit alone would get neighbouring hues: every bit is to reach every other (MurmurHash3's end).
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
  return Math.floor((((value ^ (value >>> 16)) >>> 0) * 360) / 2 ** 32);
}

/** Gives an element the colours of a service: `--service` and, for what is behind text, `--service-tint`. */
export function hued(element, name) {
  element.classList.add("hued");
  return withStyle(element, { "--hue": hue(name) });
}
