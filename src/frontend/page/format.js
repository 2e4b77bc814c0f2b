// Numbers as the reader's locale writes them.

const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const one = new Intl.NumberFormat(undefined, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const two = new Intl.NumberFormat(undefined, { minimumFractionDigits: 2, maximumFractionDigits: 2 });

export const count = (number) => whole.format(number);

/** Milliseconds, with fewer digits the more there are. */
export const ms = (number) => (number < 10 ? two : number < 1000 ? one : whole).format(number);

export const perSecond = (number) => (number < 100 ? one : whole).format(number);

/** Seconds as 12.3 s, 4:05 or 1:04:05. */
export function duration(seconds) {
  if (seconds < 60) return `${one.format(seconds)} s`;
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, Math.floor(seconds) % 60];
  if (parts[0] === 0) parts.shift();
  return parts.map((part, index) => (index === 0 ? String(part) : String(part).padStart(2, '0'))).join(':');
}

/** As a clock on a wall shows them: 0:07, 4:05, 1:04:05. */
export function clock(seconds) {
  const left = Math.ceil(seconds);
  const parts = [Math.floor(left / 3600), Math.floor(left / 60) % 60, left % 60];
  if (parts[0] === 0) parts.shift();
  return parts.map((part, index) => (index === 0 ? String(part) : String(part).padStart(2, '0'))).join(':');
}
