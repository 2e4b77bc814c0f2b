// Scales of charts: where a value is, and which round values to write beside it. Nothing here draws.

import { clockTime } from "/assets/common/format.js";

const [SECOND_MS, MINUTE_MS, HOUR_MS, DAY_MS] = [1000, 60_000, 3_600_000, 86_400_000];
const STEPS_MS = [
  ...[1, 2, 5, 10, 20, 50, 100, 200, 500],
  ...[1, 2, 5, 10, 15, 30].map((many) => many * SECOND_MS),
  ...[1, 2, 5, 10, 15, 30].map((many) => many * MINUTE_MS),
  ...[1, 2, 3, 6, 12].map((many) => many * HOUR_MS),
  ...[1, 2, 7].map((many) => many * DAY_MS),
];

/** From numbers `[low, high]` to places `[from, to]`. A span of nothing is shown in the middle. */
export function linear([low, high], [from, to]) {
  const scale = (value) => (high === low ? (from + to) / 2 : from + ((value - low) / (high - low)) * (to - from));
  scale.invert = (place) => (to === from ? low : low + ((place - from) / (to - from)) * (high - low));
  scale.ticks = (wanted = 5) => linearTicks(low, high, wanted);
  return scale;
}

/** As `linear`, by powers of ten; what is not above zero is where the least is. */
export function log([low, high], [from, to]) {
  const least = low > 0 ? low : Number.MIN_VALUE;
  const inner = linear([Math.log10(least), Math.log10(Math.max(high, least))], [from, to]);
  const scale = (value) => inner(Math.log10(Math.max(value, least)));
  scale.invert = (place) => 10 ** inner.invert(place);
  scale.ticks = (wanted = 5) => logTicks(least, high, wanted);
  return scale;
}

/**
 * As `linear`, over milliseconds since the epoch: the ticks are round on the reader's clock, and `text` writes as much of one as differs.
 * One alone would not tell how long the time is: then both ends are written.
 */
export function time([low, high], [from, to]) {
  const scale = linear([low, high], [from, to]);
  scale.ticks = (wanted = 5) => {
    const step = STEPS_MS.find((step) => (high - low) / step <= wanted) ?? Math.ceil((high - low) / wanted / DAY_MS) * DAY_MS;
    scale.text = clockTime(step);
    // Midnight is where the reader is.
    const shift = new Date(low).getTimezoneOffset() * 60_000;
    const first = Math.ceil((low - shift) / step) * step + shift;
    const ticks = [];
    for (let tick = first; tick <= high; tick += step) ticks.push(tick);
    return ticks.length > 1 ? ticks : high - low < STEPS_MS[0] ? [low] : [low, high];
  };
  return scale;
}

/** Multiples of 1, 2 or 5 times a power of ten, about as many as wanted. */
function linearTicks(low, high, wanted) {
  if (!(high > low)) return [low];
  const rough = (high - low) / Math.max(1, wanted);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  // Multiplied, not added up: 0.1 added thrice is not 0.3.
  return Array.from({ length: last - first + 1 }, (_, place) => Number(((first + place) * step).toPrecision(12)));
}

/** Powers of ten; where there are few of them, twice and five times each as well. */
function logTicks(low, high, wanted) {
  const [first, last] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
  const powers = Array.from({ length: Math.max(1, last - first + 1) }, (_, place) => first + place);
  const factors = powers.length > wanted ? [1] : [1, 2, 5];
  const every = Math.max(1, Math.ceil(powers.length / (wanted * 2)));
  const ticks = powers.filter((_, place) => place % every === 0).flatMap((power) => factors.map((factor) => Number((factor * 10 ** power).toPrecision(3))));
  const within = ticks.filter((tick) => tick >= low * 0.999 && tick <= high * 1.001);
  // Between two powers there may be none of these.
  return within.length > 1 ? within : linearTicks(low, high, wanted);
}
