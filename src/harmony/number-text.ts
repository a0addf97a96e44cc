/**
 * Text of a JSON number as Rust's serde_json reads and writes it, since that's how the model has seen numbers: integers
 * of 64 bits as they are; all else as a double, with a point from 1e-5 up to 1e16, or else with an exponent.
 *
 * @param text a number in JSON's grammar
 * @returns undefined if it's too large for a double
 */
export function numberText(text: string): string | undefined {
  if (/^-?\d{1,20}$/.test(text) && text !== "-0") {
    const integer = BigInt(text);
    if (integer >= -(2n ** 63n) && integer < 2n ** 64n) return text;
  }
  const value = toDouble(text);
  if (!Number.isFinite(value)) return undefined;
  if (Object.is(value, -0)) return "-0.0";
  const [digits, exponent] = value.toExponential().split("e") as [string, string];
  const power = Number(exponent);
  if (power < -5 || power > 15) return `${digits}e${power}`;
  return Number.isInteger(value) ? `${value}.0` : String(value);
}

/*
 * serde_json rounds more than once: the digits that fit in 64 bits become a double, which is scaled by a power of ten.
 * From 16 digits on, that can be off by one in the last place, and so is the text of the number.
 * Source: `f64_from_parts` and its callers in serde-rs/json 1.0.140, src/de.rs, without the feature float_roundtrip.
 */
function toDouble(text: string): number {
  const [, sign, whole, fraction = "", exponent = "0"] = /^(-?)(\d+)(?:\.(\d+))?(?:e(.+))?$/i.exec(text)!;
  let significand = 0n;
  let power = Number(exponent);
  const take = (digit: string): boolean => {
    const next = significand * 10n + BigInt(digit);
    if (next >= 2n ** 64n) return false;
    significand = next;
    return true;
  };
  let taken = 0;
  while (taken < whole!.length && take(whole![taken]!)) taken++;
  power += whole!.length - taken;
  for (const digit of fraction) {
    if (!take(digit)) break;
    power--;
  }

  let value = Number(significand);
  for (; power < -308 && value !== 0; power += 308) value /= 1e308;
  if (value !== 0) value = power < 0 ? value / Number(`1e${-power}`) : value * Number(`1e${power}`);
  return sign === "-" ? -value : value;
}
