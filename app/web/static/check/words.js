// Problems of a file and their words, as heldout_client/problems.py has them.

export const ID_JOINT = "\u001f";
export const LISTED = 5;
const ODD = /[\p{C}\p{Z}]/u;

// The bytes are not a table of the asked form.
export class Unreadable extends Error {
  constructor(code, message, line = null) {
    super(message);
    this.problem = problem(code, message, { line });
  }
}

// Only the server can say whether the bytes are a table.
export class NotHere extends Error {}

export const problem = (code, message, { line = null, id = null, column = null, value = null, count = 1 } = {}) => ({
  code,
  message,
  line,
  id,
  column,
  value,
  count,
});

// Without what may stand around a value: blanks, tabs and line ends, but no no-break space.
export const strip = (text) => stripped(text, " \t\r\n");

export const stripped = (text, characters) => {
  let start = 0;
  let end = text.length;
  while (start < end && characters.includes(text[start])) start++;
  while (end > start && characters.includes(text[end - 1])) end--;
  return start === 0 && end === text.length ? text : text.slice(start, end);
};

// Unicode's composed form, with one kind of line break; a letter with very many marks stays as it is, as for the
// server, since to order them takes the square of their number.
export const oneForm = (text) => {
  const plain = text.replace(/\r\n?/g, "\n");
  return plain.length > 500 && /\p{M}{65}/u.test(plain) ? plain : plain.normalize("NFC");
};

export const isBlank = (fields) => fields.every((field) => strip(field) === "");

// Cut a text to 40 characters; escape invisible ones.
export const show = (text) => {
  const all = text.length > 40 ? [...text] : null;
  const cut = all && all.length > 40 ? `${all.slice(0, 39).join("")}…` : text;
  const code = (c) => `\\u${c.codePointAt(0).toString(16).padStart(4, "0")}`;
  return [...cut].map((c) => (c !== " " && ODD.test(c) ? code(c) : c)).join("");
};

export const showId = (key) => {
  const parts = key.split(ID_JOINT).map(show);
  return parts.length === 1 ? parts[0] : `(${parts.join(", ")})`;
};

export const showNames = (names) => {
  const listed = names.slice(0, 12).map(show).join(",");
  return names.length <= 12 ? listed : `${listed},... (${names.length} columns)`;
};

export const howMany = (count) => (count > 1 ? ` ${count} lines have this problem.` : "");

export const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1).replace(/\.0$/, "")} MB`;

// A number as C's %g writes it.
export const general = (number, digits = 6) => {
  if (number === 0) return Object.is(number, -0) ? "-0" : "0";
  const [mantissa, power] = number.toExponential(digits - 1).split("e");
  const exponent = Number(power);
  const short = (text) => (text.includes(".") ? text.replace(/\.?0+$/, "") : text);
  if (exponent >= -4 && exponent < digits) return short(number.toFixed(digits - 1 - exponent));
  return `${short(mantissa)}e${exponent < 0 ? "-" : "+"}${String(Math.abs(exponent)).padStart(2, "0")}`;
};

export const length = (text) => (/[\ud800-\udbff]/.test(text) ? [...text].length : text.length);

// By code points, as Python sorts; JavaScript sorts by UTF-16 units.
export const byCodePoints = (a, b) => {
  const n = Math.min(a.length, b.length);
  for (let i = 0; i < n; i++) {
    if (a[i] === b[i]) continue;
    const [x, y] = [a.codePointAt(i), b.codePointAt(i)];
    const low = (c) => c >= 0xdc00 && c <= 0xdfff;
    return low(x) && low(y) ? x - y : (low(x) ? 0x10000 + x : x) - (low(y) ? 0x10000 + y : y);
  }
  return a.length - b.length;
};
