// Ids that are required ones in another spelling, as heldout_client/respelling.py finds them.

import { ID_JOINT, strip, stripped } from "./words.js";

const NUMBER = /^([+-]?)(\d+)(?:\.(\d*))?(?:[eE]([+-]?\d{1,6}))?$/;
const EXTENSION = /(.)\.[A-Za-z][A-Za-z0-9]{1,4}(?:\.gz)?$/;

// Sign, digits and exponent: the same for 1, 1.0, 01 and 1e0.
const number = (text) => {
  const match = NUMBER.exec(text);
  if (!match) return null;
  const [, sign, whole, fraction = "", exponent = "0"] = match;
  const digits = (whole + fraction).replace(/^0+/, "");
  const short = digits.replace(/0+$/, "");
  return short ? [sign.replace("+", ""), short, Number(exponent) - fraction.length + digits.length - short.length] : [0];
};

const folded = (text) => text.toLowerCase().replaceAll("ß", "ss").replaceAll("ς", "σ");
const stem = (text) => text.replaceAll("\\", "/").replace(/\/+$/, "").split("/").at(-1).replace(EXTENSION, "$1");
const letters = (text) => folded(stem(text)).replace(/[^\p{L}\p{N}]/gu, "") || null;

const WAYS = [
  ["a program read them as numbers; read and write this column as text, or as whole numbers", number],
  ["they differ in blanks or invisible characters", (text) => text.replace(/[\s\p{Zs}\p{Cf}]/gu, "")],
  ["upper and lower case matter", folded],
  ["the folder or the file extension differs", stem],
  ["leave out quotes, brackets and b'...'", (text) => stripped(text.replace(/^b(?=['"])/, ""), "'\"`[](){} ")],
  ["punctuation, blanks, case or the extension differ", letters],
];

const keyOf = (way, text) => {
  if (!text.includes(ID_JOINT)) return way(strip(text))?.toString() ?? null;
  const parts = text.split(ID_JOINT).map(strip);
  const keys = parts.map(way);
  return keys.every((key) => key === null) ? null : JSON.stringify(keys.map((key, at) => key ?? parts[at]));
};

// The cause of most unknown ids, and [received, line, expected]; empty if there is none.
export const respelt = (unknown, missing) => {
  for (const [cause, way] of WAYS) {
    const wanted = new Map();
    for (const text of missing) {
      const key = keyOf(way, text);
      if (key !== null && !wanted.has(key)) wanted.set(key, text);
    }
    const pairs = [];
    for (const [text, line] of unknown) {
      const expected = wanted.get(keyOf(way, text));
      if (expected !== undefined) pairs.push([text, line, expected]);
    }
    if (pairs.length) return [cause, pairs];
  }
  return ["", []];
};
