// A colour for every service: a hue, which the style sheet turns into one that is readable in light and in dark.

const HUES = 24;
// The wheel is walked in steps that share no factor with it, so that all of it is tried.
const STEP = 7;
// How many slots apart two services should be: as far as there still is such a place.
const APART = [4, 3, 2, 1, 0];

/** Gives each name a hue in degrees: the same on every page where it can, and close to another's only when the page is full. */
export class Hues {
  #byName = new Map();
  #taken = new Set();

  of(name) {
    let slot = this.#byName.get(name);
    if (slot === undefined) {
      slot = this.#choose(hash(name) % HUES);
      this.#taken.add(slot);
      this.#byName.set(name, slot);
    }
    return String((slot * 360) / HUES);
  }

  #choose(wanted) {
    for (const apart of APART) {
      for (let tries = 0, slot = wanted; tries < HUES; tries++, slot = (slot + STEP) % HUES) {
        if ([...this.#taken].every((taken) => distance(slot, taken) >= apart)) return slot;
      }
    }
    return wanted;
  }
}

function distance(one, other) {
  const steps = Math.abs(one - other);
  return Math.min(steps, HUES - steps);
}

function hash(text) {
  let value = 2166136261;
  for (let index = 0; index < text.length; index++) value = Math.imul(value ^ text.charCodeAt(index), 16777619) >>> 0;
  // The low bits alone would give names that differ in their last digit neighbouring hues.
  return (value ^ (value >>> 15)) >>> 0;
}
