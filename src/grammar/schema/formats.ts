/*
 * Formats as regular expressions. Each is a part of what its RFC allows, and of what ajv-formats accepts, so that whoever
 * checks finds the text valid; values that only one of them accepts are left out.
 */

const DAY = [
  "(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])",
  "(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)",
  "02-(?:0[1-9]|1[0-9]|2[0-8])",
].join("|");
const LEAP_DAY = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29";
const DATE = `(?:[0-9]{4}-(?:${DAY})|${LEAP_DAY})`;
const TIME =
  "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,9})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])";
const OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
const IPV4 = `${OCTET}(?:\\.${OCTET}){3}`;
const HEX4 = "[0-9a-fA-F]{1,4}";
const IPV6 = [
  `(?:${HEX4}:){7}${HEX4}`,
  // n groups, two colons, and at most 6 − n groups
  ...Array.from({ length: 7 }, (_, n) => {
    const head = n === 0 ? ":" : `(?:${HEX4}:){${n}}`;
    const tail = n === 6 ? `(?:${HEX4})?` : `(?:${HEX4}(?::${HEX4}){0,${5 - n}})?`;
    return `${head}:${tail}`;
  }),
].join("|");
/** Two hyphens in a row are left out: in the third and fourth place they announce Punycode. */
const LABEL = "[a-zA-Z0-9](?:-?[a-zA-Z0-9]){0,30}";
const DOMAIN = `${LABEL}(?:\\.${LABEL}){1,3}`;
const PATH_CHAR = "(?:[a-zA-Z0-9._~!$&'()*+,;=:@-]|%[0-9a-fA-F]{2})";
const URI = [
  `[a-zA-Z][a-zA-Z0-9+.-]*://${DOMAIN}(?::[0-9]{1,5})?(?:/${PATH_CHAR}*)*`,
  `(?:\\?(?:${PATH_CHAR}|[/?])*)?(?:#(?:${PATH_CHAR}|[/?])*)?`,
].join("");

/** By name of the format, the texts of it that are written, to match as a whole. */
export const FORMATS: Readonly<Record<string, string>> = {
  date: DATE,
  time: TIME,
  "date-time": `${DATE}T${TIME}`,
  duration:
    "P(?:[0-9]+W|[0-9]+Y(?:[0-9]+M(?:[0-9]+D)?)?|[0-9]+M(?:[0-9]+D)?|[0-9]+D)|" +
    "P(?:[0-9]+Y(?:[0-9]+M(?:[0-9]+D)?)?|[0-9]+M(?:[0-9]+D)?|[0-9]+D)?T" +
    "(?:[0-9]+H(?:[0-9]+M(?:[0-9]+S)?)?|[0-9]+M(?:[0-9]+S)?|[0-9]+S)",
  uuid: "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
  email: `[a-zA-Z0-9_+-]+(?:\\.[a-zA-Z0-9_+-]+)*@${DOMAIN}`,
  hostname: `${LABEL}(?:\\.${LABEL}){0,3}`,
  ipv4: IPV4,
  ipv6: IPV6,
  uri: URI,
  "json-pointer": "(?:/(?:[^~/]|~[01])*)*",
};
