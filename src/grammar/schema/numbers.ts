import { type Automaton, both, explore, fromRegex } from "../automaton.ts";
import { parseRegex } from "../regex.ts";

export interface Bound {
  readonly value: number;
  readonly exclusive: boolean;
}

export interface NumberLimits {
  readonly integer: boolean;
  readonly min: Bound | undefined;
  readonly max: Bound | undefined;
  readonly multiples: readonly number[];
}

/**
 * Digits of a number, before and after the point together. Up to 15, no two decimals share a double, so that whoever
 * reads them into doubles finds the same order as there is between the decimals.
 */
const DIGITS = 15;
const BEYOND = 10 ** DIGITS;

/** Integers without an exponent; other numbers with an optional fraction. No "-0". */
const INTEGER = `0|-?[1-9][0-9]{0,${DIGITS - 1}}`;
const DECIMAL = `-?(?:${Array.from({ length: DIGITS }, (_, i) => {
  const rest = DIGITS - 1 - i;
  return `[1-9][0-9]{${i}}${rest > 0 ? `(?:\\.[0-9]{1,${rest}})?` : ""}`;
}).join("|")}|0(?:\\.[0-9]{1,${DIGITS}})?)`;
/** Where nothing limits it, a number may have an exponent; two digits of it keep the number finite. */
const FREE = `-?(?:0|[1-9][0-9]{0,${DIGITS - 1}})(?:\\.[0-9]{1,${DIGITS}})?(?:[eE][+-]?[0-9]{1,2})?`;

/** Remainders that a divisor may have. */
export const MAX_DIVISOR = 1000;

/** Numbers within limits, as JSON writes them. */
export function numberAutomaton({ integer, min, max, multiples }: NumberLimits): Automaton {
  const isFree = !integer && !min && !max && multiples.length === 0;
  let automaton = regex(isFree ? FREE : integer ? INTEGER : DECIMAL);
  for (const divisor of multiples) automaton = both(automaton, multiplesOf(divisor));
  if (min) automaton = both(automaton, regex(atLeast(min)));
  if (max) automaton = both(automaton, regex(atMost(max)));
  return automaton;
}

function regex(source: string): Automaton {
  return fromRegex(parseRegex(source));
}

const REST = "(?:\\.[0-9]+)?";
const ABOVE_ZERO = `(?:[1-9][0-9]*${REST}|0\\.[0-9]*[1-9][0-9]*)`;
const FROM_ZERO = `[0-9]+${REST}`;
const NOTHING = "[^\\s\\S]";

function atLeast({ value, exclusive }: Bound): string {
  if (value < 0) return `${FROM_ZERO}|-(?:${upTo(-value, exclusive)})`;
  return from(value, exclusive);
}

function atMost({ value, exclusive }: Bound): string {
  if (value < 0) return `-(?:${from(-value, exclusive)})`;
  return `-${ABOVE_ZERO}|${upTo(value, exclusive)}`;
}

/** Numbers without sign of at least (or, exclusive, above) a bound of 0 or more. */
function from(bound: number, exclusive: boolean): string {
  if (bound >= BEYOND) return NOTHING;
  const [whole, fraction] = plainDecimal(bound);
  const out = [`[1-9][0-9]{${whole.length},}${REST}`];
  for (let k = 0; k < whole.length; k++) {
    const higher = digits(Number(whole[k]) + 1, 9);
    if (higher) out.push(`${whole.slice(0, k)}${higher}[0-9]{${whole.length - k - 1}}${REST}`);
  }
  for (let k = 0; k < fraction.length; k++) {
    const higher = digits(Number(fraction[k]) + 1, 9);
    if (higher) out.push(`${whole}\\.${fraction.slice(0, k)}${higher}[0-9]*`);
  }
  if (exclusive) out.push(`${whole}\\.${fraction}[0-9]*[1-9][0-9]*`);
  else out.push(fraction === "" ? `${whole}${REST}` : `${whole}\\.${fraction}[0-9]*`);
  return out.join("|");
}

/** Numbers without sign of at most (or, exclusive, below) a bound of 0 or more. */
function upTo(bound: number, exclusive: boolean): string {
  if (bound >= BEYOND) return FROM_ZERO;
  const [whole, fraction] = plainDecimal(bound);
  const out: string[] = [];
  if (whole.length > 1) out.push(`[0-9]{1,${whole.length - 1}}${REST}`);
  for (let k = 0; k < whole.length; k++) {
    const lower = digits(0, Number(whole[k]) - 1);
    if (lower) out.push(`${whole.slice(0, k)}${lower}[0-9]{${whole.length - k - 1}}${REST}`);
  }
  // the same whole: a fraction that is lower at some digit, or ends before the bound's does
  for (let k = 0; k < fraction.length; k++) {
    const lower = digits(0, Number(fraction[k]) - 1);
    if (lower) out.push(`${whole}\\.${fraction.slice(0, k)}${lower}[0-9]*`);
    out.push(k === 0 ? whole : `${whole}\\.${fraction.slice(0, k)}`);
  }
  if (!exclusive) out.push(fraction === "" ? `${whole}(?:\\.0+)?` : `${whole}\\.${fraction}0*`);
  return out.length === 0 ? NOTHING : out.join("|");
}

function digits(lo: number, hi: number): string | undefined {
  return lo > hi ? undefined : `[${lo}-${hi}]`;
}

/** Digits before and after the point of the shortest decimal that is this double. */
export function plainDecimal(value: number): [whole: string, fraction: string] {
  const [, int = "", frac = "", exponent = "0"] = /^(\d+)(?:\.(\d+))?(?:e([+-]\d+))?$/.exec(String(value))!;
  const shift = Number(exponent);
  const all = int + frac;
  const point = int.length + shift;
  const whole = point <= 0 ? "0" : all.slice(0, point).padEnd(point, "0");
  const fraction = point <= 0 ? "0".repeat(-point) + all : all.slice(point);
  return [whole, fraction.replace(/0+$/, "")];
}

/**
 * The divisor as an integer and the number of decimal places it stands for, or undefined if it isn't supported: 0.01
 * isn't, since validators that divide doubles find 0.07 / 0.01 to be no integer; 0.25 is, being a double exactly.
 */
export function decimalDivisor(divisor: number): [scaled: number, places: number] | undefined {
  if (!(divisor > 0) || !Number.isInteger(divisor * 1024)) return undefined;
  const places = plainDecimal(divisor)[1].length;
  const scaled = divisor * 10 ** places;
  return Number.isInteger(scaled) && scaled <= MAX_DIVISOR ? [scaled, places] : undefined;
}

function multiplesOf(divisor: number): Automaton {
  const [scaled, places] = decimalDivisor(divisor)!;
  // characters: -, ., each digit, and the rest in between
  const starts = [0, 0x2d, 0x2e, 0x2f, ...Array.from({ length: 11 }, (_, i) => 0x30 + i)];
  const finish = places + 1;
  /** Remainder so far, and digits after the point, counted from 1; 0 ahead of the point. */
  interface State {
    readonly rest: number;
    readonly after: number;
  }
  return explore<State>(
    starts,
    { rest: 0, after: 0 },
    ({ rest, after }) => rest * (finish + 1) + after,
    (state, c) => {
      const char = starts[c]!;
      if (char === 0x2d) return state;
      if (char === 0x2e) return state.after === 0 && places > 0 ? { ...state, after: 1 } : undefined;
      if (char < 0x30 || char > 0x39 || state.after === finish) return undefined;
      const rest = (state.rest * 10 + (char - 0x30)) % scaled;
      return { rest, after: state.after === 0 ? 0 : state.after + 1 };
    },
    ({ rest, after }) => (rest * 10 ** (places - Math.max(0, after - 1))) % scaled === 0,
  );
}
