// What one cell of a prediction column must hold, by the rules of the server.

import { byCodePoints, general, howMany, length, problem, show, showId, strip } from "./words.js";

const LARGEST = 1e100;
export const NUMBER = /^[ \t\r\n]*[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?[ \t\r\n]*$/;
const NOT_FINITE = /^[+-]?(?:nan|inf|infinity)$/i;
const WHOLE = /^[1-9]\d{0,14}$/;
const CANONICAL = /^(?:0|-?[1-9]\d*|-?(?:0|[1-9]\d*)\.\d*[1-9])$/;
const CANONICAL_WHOLE = /^(?:0|-?[1-9]\d*)$/;
const MOST_DIGITS = 30;
const FEW = 0.1; // a file is refused if fewer than this share of its labels is known

const NUMERIC = ["number", "integer", "flag"];
const EMPTY_MASKS = ["", "-", "-1", "1 0"];
// By form of boxes: the values of one box, and how many of them are labels.
const BOX_VALUES = { boxes: [6, 1], true_boxes: [5, 1], bare_boxes: [5, 0], bare_true_boxes: [4, 0] };

const isTruth = (text) => ["true", "false"].includes(text.toLowerCase());

// The one spelling of a label: "1.0" as "1", "true" as "True", no outer spaces.
export const canonicalLabel = (text) => {
  const label = strip(text);
  const whole = /^(-?[0-9]+)\.0*$/.exec(label);
  if (whole) return whole[1] === "-0" ? "0" : whole[1];
  return isTruth(label) ? label[0].toUpperCase() + label.slice(1).toLowerCase() : label;
};

// An exact number as a text that is the same for equal numbers; null if it is none.
const exact = (text) => {
  if (length(text) > 2 * MOST_DIGITS || !NUMBER.test(text)) return null;
  const [, sign, whole, fraction = "", exponent = "0"] =
    /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d+))?$/.exec(strip(text)) ?? [];
  if (exponent.length > 18) return null;
  const digits = (whole + fraction).replace(/^0+/, "");
  const short = digits.replace(/0+$/, "");
  if (!short) return "0";
  const power = Number(exponent) - fraction.length;
  if (Math.abs(power + digits.length - 1) > MOST_DIGITS) return null;
  return `${sign === "-" ? "-" : ""}${short}e${power + digits.length - short.length}`;
};

// The cells of a column with one kind of fault: the first in the file, and how many.
class Fault {
  count = 0;

  add(line, key, text, words) {
    this.count++;
    if (this.count === 1 || line < this.line) Object.assign(this, { line, key, text, words });
  }

  problem(code, column) {
    const { line, key, text, words, count } = this;
    const id = showId(key);
    const message = `Column ${show(column.name)}, line ${line} (id ${id}): ${words}${howMany(count)}`;
    return problem(code, message, { line, id, column: column.name, value: show(text), count });
  }
}

// One prediction column of a schema, and the faults found in it.
export class Column {
  constructor(entry, sample = []) {
    this.name = String(entry.name);
    this.kind = String(entry.kind);
    this.low = entry.low ?? -LARGEST;
    this.high = entry.high ?? LARGEST;
    this.holds = entry.holds || "";
    this.grammar = entry.grammar || "";
    this.separator = entry.separator || " ";
    this.takesFirst = this.kind === "label" && Boolean(entry.separator);
    this.isNumber = NUMERIC.includes(this.kind);
    this.labels = entry.labels ? new Set(entry.labels.map(String)) : null;
    this.placeholders = new Set(sample.map(canonicalLabel)); // no labels, and accepted all the same
    this.faults = new Map();
    this.nLabels = 0;
    this.nUnknown = 0;
    this.firstUnknown = null;
    this.firstFraction = null;
    if (!this.labels) return;
    const known = [...this.labels];
    const numbers = known.filter((name) => NUMBER.test(name));
    this.areWhole = known.length > 0 && known.every((name) => CANONICAL_WHOLE.test(name));
    this.numbers = new Set(numbers.every((name) => CANONICAL.test(name)) ? numbers.map(exact) : []);
    this.areOnly = (...names) => known.length === names.length && names.every((name) => this.labels.has(name));
    this.judged = new Map();
  }

  // What only the server checks in this column; empty if nothing.
  get unchecked() {
    if (this.kind === "list") return `the form of the lists in column ${show(this.name)}`;
    if (this.kind === "label" && !this.labels) return `whether the labels in column ${show(this.name)} are known`;
    return "";
  }

  // Take one cell; return its number, or null if it is none or has a fault.
  read(line, key, text) {
    if (this.isNumber) return this.#number(line, key, text);
    if (this.kind === "label") this.#label(line, key, text);
    else if (this.kind === "text" && this.grammar) this.#text(line, key, strip(text));
    return null;
  }

  problems() {
    const found = [...this.faults].map(([code, fault]) => fault.problem(code, this));
    return found.length ? found : this.#unknownLabels();
  }

  warnings() {
    if (!this.firstUnknown || this.problems().length) return [];
    const [line, , text] = this.firstUnknown;
    const words =
      `Column ${show(this.name)}: ${this.nUnknown} of ${this.nLabels} labels are not known, ` +
      `the first is "${show(text)}" in line ${line}; they count as wrong.`;
    return [problem("NOTICE_UNKNOWN_LABELS", words, { line, column: this.name })];
  }

  #fault(code, line, key, text, words) {
    if (!this.faults.has(code)) this.faults.set(code, new Fault());
    this.faults.get(code).add(line, key, text, words);
    return null;
  }

  #number(line, key, text) {
    let value;
    if (NUMBER.test(text)) {
      value = Number(text);
    } else {
      const bare = strip(text);
      if (this.kind !== "flag" || !isTruth(bare)) {
        const code = noNumber(bare);
        return this.#fault(code, line, key, text, numberWords(code, bare, this));
      }
      value = bare.toLowerCase() === "true" ? 1 : 0;
    }
    const isFinite = Number.isFinite(value);
    if (this.low <= value && value <= this.high && isFinite) {
      if (this.kind === "number" || value === Math.floor(value)) return value;
      const words = `"${show(strip(text))}" is not ${this.holds || "whole"}.`;
      return this.#fault("NOT_WHOLE", line, key, text, words);
    }
    const shown = show(strip(text));
    if (!isFinite) return this.#fault("NOT_FINITE", line, key, text, `${shown} is too large for a number.`);
    if ((value > LARGEST && this.high === LARGEST) || (value < -LARGEST && this.low === -LARGEST)) {
      const words = `"${shown}" is too large; numbers up to ${general(LARGEST)} in size are allowed.`;
      return this.#fault("VALUE_TOO_LARGE", line, key, text, words);
    }
    const low = general(this.low);
    const bounds = this.high < LARGEST ? `[${low}, ${general(this.high)}]` : `the range from ${low} upwards`;
    const isPercent = this.low === 0 && this.high === 1 && value > 2 && value <= 100;
    const hint = isPercent ? "; divide by 100 if these are percent, apply the sigmoid if these are logits" : "";
    return this.#fault("OUT_OF_RANGE", line, key, text, `${shown} is outside ${bounds}${hint}.`);
  }

  #label(line, key, text) {
    if (this.takesFirst) text = text.split(this.separator).map(canonicalLabel).find(Boolean) ?? "";
    const label = canonicalLabel(text);
    if (!label) return this.#fault("EMPTY_VALUE", line, key, text, "the value is empty.");
    this.nLabels++;
    if (!this.labels) return;
    if (!this.judged.has(label)) this.judged.set(label, this.#knows(label));
    if (this.judged.get(label)) return;
    this.nUnknown++;
    this.firstUnknown ??= [line, key, label];
    if (this.areWhole && NUMBER.test(label) && Number(label) !== Math.floor(Number(label)))
      this.firstFraction ??= [line, key, label];
  }

  #knows(label) {
    if (this.labels.has(label) || this.placeholders.has(label)) return true;
    const number = exact(label);
    if (this.areOnly("0", "1") && ["True", "False"].includes(label)) return true;
    if (this.areOnly("True", "False") && ["0", "1e0"].includes(number)) return true;
    return number !== null && this.numbers.has(number);
  }

  #unknownLabels() {
    if (!this.firstUnknown) return [];
    const nKnown = this.nLabels - this.nUnknown;
    let first = this.firstUnknown;
    let words;
    if (this.firstFraction && !this.takesFirst) {
      first = this.firstFraction;
      words = `"${show(first[2])}" is no label. This metric takes labels, not probabilities`;
    } else if (nKnown < FEW * this.nLabels) {
      words = `only ${nKnown} of ${this.nLabels} labels are known; the first that is not is "${show(first[2])}"`;
    } else {
      return [];
    }
    const [line, key, value] = first;
    const id = showId(key);
    const listed = [...this.labels].sort((a, b) => length(a) - length(b) || byCodePoints(a, b));
    words += `. The labels are ${listed.slice(0, 10).map(show).join(", ")}${listed.length > 10 ? ", ..." : ""}.`;
    const message = `Column ${show(this.name)}, line ${line} (id ${id}): ${words}`;
    return [problem("UNKNOWN_LABELS", message, { line, id, column: this.name, value, count: this.nUnknown })];
  }

  #text(line, key, bare) {
    if (this.grammar === "number") {
      if (NUMBER.test(bare) && Number.isFinite(Number(bare))) return;
      const code = noNumber(bare);
      this.#fault(code, line, key, bare, numberWords(code, bare, this));
    } else if (this.grammar === "filled" || this.grammar === "not_blank") {
      if (!bare) this.#fault("EMPTY_VALUE", line, key, bare, "the value is empty.");
    } else {
      const words = this.grammar === "rle" ? maskFault(bare) : boxFault(bare, this.grammar);
      if (words) this.#fault("BAD_FORM", line, key, bare, `"${show(bare)}" ${words}.`);
    }
  }
}

const noNumber = (bare) => {
  if (!bare) return "EMPTY_VALUE";
  return NOT_FINITE.test(bare) || NUMBER.test(bare) ? "NOT_FINITE" : "NOT_A_NUMBER";
};

const numberWords = (code, bare, column) => {
  if (code === "EMPTY_VALUE") return "the value is empty.";
  if (code === "NOT_FINITE") return `${show(bare)} is not allowed.`;
  let hint = "";
  if (bare.endsWith("%")) hint = " - write 0.45 for 45%";
  else if (bare.includes(",")) hint = " - use a decimal point and no thousands separators";
  else if (isTruth(bare)) hint = " - write 1 for True and 0 for False";
  return `"${show(bare)}" is not ${column.holds || "a number"}${hint}.`;
};

// Split at white space as Python does, for which U+FEFF is none.
const WHITE = /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/;
const words = (text) => text.split(WHITE).filter(Boolean);

// What is wrong with run lengths: pairs of 1-based start and length, in rising order.
const maskFault = (text) => {
  if (EMPTY_MASKS.includes(text)) return "";
  const numbers = words(text);
  if (numbers.length % 2) return "has a start without a length; runs are pairs of start and length";
  let end = 0;
  for (let at = 0; at < numbers.length; at += 2) {
    const [start, size] = [numbers[at], numbers[at + 1]];
    if (!WHOLE.test(start) || !WHOLE.test(size))
      return `has the run "${show(`${start} ${size}`)}"; start and length are whole numbers from 1 on`;
    if (Number(start) <= end)
      return `has a run at ${Number(start)} that overlaps or precedes the one before it, which ends at ${end}`;
    end = Number(start) + Number(size) - 1;
  }
  return "";
};

const boxFault = (text, grammar) => {
  const [nValues, nLabels] = BOX_VALUES[grammar] ?? [0, 0];
  if (!nValues) return "";
  const parts = words(text);
  if (parts.length % nValues) return `has ${parts.length} values; every box takes ${nValues}`;
  for (const [at, part] of parts.entries()) {
    if (at % nValues < nLabels) continue;
    if (!NUMBER.test(part) || Math.abs(Number(part)) > LARGEST)
      return `has "${show(part)}" where a number is expected`;
  }
  return "";
};
