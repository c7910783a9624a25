// The rows of one file: each id once, and every cell by the rules of its column.

import { Column, NUMBER, canonicalLabel } from "./cells.js";
import { splitAgain } from "./csv.js";
import { Sha256 } from "./digests.js";
import { respelt } from "./respelling.js";
import { ID_JOINT, LISTED, Unreadable, byCodePoints, general, howMany, isBlank, problem, show, showId, strip } from "./words.js";

const PREVIEW_ROWS = 5;
const MOST_BLANK_ROWS = 1_048_576;
const OFF_BY = 1e-3;

export class Rows {
  constructor(names, schema) {
    this.schema = schema;
    this.names = names;
    this.columns = (schema.columns ?? []).map((entry) => new Column(entry, schema.sample[entry.name] ?? []));
    this.idAt = schema.idColumns.map((name) => names.indexOf(name));
    this.at = this.columns.map((column) => names.indexOf(column.name));
    this.isExact = schema.idRule === "exactly_once";
    this.isListed = schema.ids !== null;
    // By id: the line where it stands first, 0 for a required id that has not been seen.
    this.lines = new Map(this.isListed ? schema.ids.map((key) => [key, 0]) : []);
    this.nListed = this.lines.size;
    const nIds = this.isListed ? this.nListed : schema.nIds;
    this.left = this.isExact && nIds !== null ? 2 * nIds + 1000 : 1e9;
    this.duplicates = new Map();
    this.unknown = [];
    this.ragged = new Map();
    this.shifted = new Set();
    this.nPlaced = 0;
    this.nBlank = 0;
    this.nUnplaced = 0;
    this.repeatedHeaders = [];
    this.withoutId = [];
    this.preview = [names];
    this.rules = schema.rows.map((entry) => new Rule(entry, this.columns));
    this.values = new Values(this.columns);
  }

  isKnown(key) {
    return this.isListed && this.lines.has(key);
  }

  // Take one record; return false once more would not help.
  take(line, fields) {
    if (isBlank(fields)) {
      if (++this.nBlank > MOST_BLANK_ROWS)
        throw new Unreadable("EMPTY_ROWS", `There are more than ${MOST_BLANK_ROWS} empty rows; delete them.`, line);
      return true;
    }
    if (this.preview.length <= PREVIEW_ROWS) this.preview.push(fields);
    this.#take(line, fields);
    return --this.left >= 0;
  }

  #isId(key) {
    return !this.isListed || this.lines.has(key);
  }

  #key(fields) {
    return this.idAt.length === 1 ? fields[this.idAt[0]] : this.idAt.map((at) => fields[at]).join(ID_JOINT);
  }

  #take(line, fields) {
    const isRight = fields.length === this.names.length;
    if (isRight && this.isListed) {
      const key = this.#key(fields);
      if (this.lines.has(key)) return this.#place(key, line, fields);
    }
    if (isRight && fields.every((name, at) => strip(name) === this.names[at])) {
      this.repeatedHeaders.push(line);
      return;
    }
    const keys = this.idAt.filter((at) => at < fields.length).map((at) => strip(fields[at]));
    const key = keys.length === this.idAt.length && keys.every(Boolean) ? keys.join(ID_JOINT) : "";
    if (!isRight) this.#takeRagged(line, fields, key);
    else if (!key) this.withoutId.push(line);
    else if (this.#isId(key)) this.#place(key, line, fields);
    else this.unknown.push([this.#key(fields), line]);
  }

  #takeRagged(line, fields, key) {
    const isTrailing = strip(fields.at(-1)) === "";
    const kind = `${fields.length} ${isTrailing}`;
    if (!this.ragged.has(kind))
      this.ragged.set(kind, { n: fields.length, isTrailing, count: 0, nQuoted: 0, line, first: fields[0] });
    const found = this.ragged.get(kind);
    found.count++;
    if (this.isListed && fields.length === this.names.length + 1) {
      const shifted = this.#key(fields.slice(1));
      if (this.lines.has(shifted)) this.shifted.add(shifted);
    }
    if (fields.length === 1 && splitAgain(fields[0]).length === this.names.length) found.nQuoted++;
    if (!key || !this.#isId(key)) this.nUnplaced++;
    else if (!this.lines.get(key)) this.lines.set(key, line);
  }

  #place(key, line, fields) {
    if (this.lines.get(key)) {
      if (!this.duplicates.has(key)) this.duplicates.set(key, { next: line, count: 0 });
      this.duplicates.get(key).count++;
      return;
    }
    this.lines.set(key, line);
    this.nPlaced++;
    const texts = this.at.map((at) => fields[at]);
    const numbers = this.columns.map((column, place) => column.read(line, key, texts[place]));
    this.values.add(numbers, texts);
    for (const rule of this.rules) rule.read(line, key, numbers);
  }

  // What was found; `ended` is the reason why the records ended before the end of the file, or null.
  verdict(ended) {
    const problems = ended instanceof Unreadable ? [ended.problem] : [];
    problems.push(...this.#lineProblems(), ...this.#idProblems(ended === null));
    const cells = this.columns.flatMap((column) => column.problems());
    const warnings = this.columns.flatMap((column) => column.warnings());
    // Where ids may be left out it is not public which are scored, and the others may hold anything.
    (this.isExact ? problems : warnings).push(...cells);
    if (!problems.length && !cells.length) problems.push(...this.rules.flatMap((rule) => rule.problems()));
    if (!problems.length) warnings.push(...this.#oddities());
    const unchecked = [...this.columns, ...this.rules].map((part) => part.unchecked).filter(Boolean);
    if (!this.isListed && this.schema.idsSha256 === null) unchecked.push("the ids");
    if (!this.isExact) unchecked.push("which of the ids are needed");
    return { problems, warnings, unchecked, rows: this.nPlaced, preview: this.preview, isWhole: ended === null };
  }

  // Whether every line has a row name before its id, as R writes it.
  get #areShifted() {
    const n = this.#nRagged;
    return n > 0 && this.nPlaced === 0 && this.shifted.size === n;
  }

  get #nRagged() {
    return [...this.ragged.values()].reduce((sum, { count }) => sum + count, 0);
  }

  #lineProblems() {
    const problems = [];
    for (const { n, isTrailing, count, nQuoted, line, first } of [...this.ragged.values()].slice(0, LISTED)) {
      let words = `Line ${line}${count > 1 ? ` and ${count - 1} more` : ""}: ${n} values, expected ${this.names.length}`;
      let code = "FIELD_COUNT";
      if (this.#areShifted) {
        code = "INDEX_COLUMN";
        words +=
          `; the first value, ${show(first)}, is a row name that the header does not count, ` +
          "as R writes it. In R: write.csv(df, path, row.names = FALSE)";
      } else if (nQuoted === count) {
        code = "BAD_QUOTE";
        words += ": the whole line is in quotes; quote each value by itself, or none";
      } else if (n === this.names.length + 1) {
        words += isTrailing ? " (trailing comma?)" : " (a comma inside a value, or a decimal comma?)";
      }
      problems.push(problem(code, `${words}.`, { line, count }));
    }
    if (this.repeatedHeaders.length) {
      const [line] = this.repeatedHeaders;
      const count = this.repeatedHeaders.length;
      const words = `Line ${line} repeats the header; remove it.${howMany(count)}`;
      problems.push(problem("REPEATED_HEADER", words, { line, count }));
    }
    if (this.withoutId.length) {
      const [line] = this.withoutId;
      const count = this.withoutId.length;
      const words = `Line ${line}: the id is empty.${howMany(count)}`;
      problems.push(problem("EMPTY_VALUE", words, { line, column: this.names[0], count }));
    }
    return problems;
  }

  #idProblems(isComplete) {
    if (this.#areShifted) return [];
    const problems = [];
    if (this.duplicates.size) {
      const [[key, { next, count: later }]] = this.duplicates;
      const count = [...this.duplicates.values()].reduce((sum, one) => sum + one.count, 0);
      let words = `Id ${showId(key)} appears ${later + 1} times (lines ${this.lines.get(key)} and ${next}).`;
      if (this.duplicates.size > 1) words += ` ${this.duplicates.size - 1} more ids appear more than once.`;
      problems.push(problem("DUPLICATE_IDS", words, { line: next, id: showId(key), count }));
    }
    if (!this.isExact) return problems;
    if (!this.isListed) return [...problems, ...this.#digestProblems(isComplete)];
    let { unknown } = this;
    let missing = [];
    for (const [key, line] of this.lines) if (!line) missing.push(key);
    const [cause, pairs] = unknown.length && missing.length ? respelt(unknown, missing) : ["", []];
    if (pairs.length) {
      const [[received, line, expected]] = pairs;
      const words =
        `Ids look like ${showId(received)} where ${showId(expected)} is expected ` +
        `(${pairs.length}). Write ids exactly as in the sample submission - ${cause}.`;
      problems.push(problem("ID_FORMAT", words, { line, id: showId(received), count: pairs.length }));
      const paired = new Set(pairs.map(([, at]) => at));
      const found = new Set(pairs.map(([, , one]) => one));
      unknown = unknown.filter(([, at]) => !paired.has(at));
      missing = missing.filter((key) => !found.has(key));
    }
    const more = (found) => (found.length > LISTED ? ", ..." : "");
    if (unknown.length) {
      const listing = unknown.slice(0, LISTED).map(([key, line]) => `${showId(key)} (line ${line})`).join(", ");
      const are = unknown.length === 1 ? "1 id is" : `${unknown.length} ids are`;
      const [[key, line]] = unknown;
      const words = `${are} not in the test set: ${listing}${more(unknown)}.`;
      problems.push(problem("UNKNOWN_IDS", words, { line, id: showId(key), count: unknown.length }));
    }
    // A line whose id is empty or cannot be read may be the very row that seems to be missing.
    if (isComplete && missing.length > this.nUnplaced + this.withoutId.length) {
      const listing = missing.slice(0, LISTED).map(showId).join(", ");
      const words =
        `${missing.length} of ${this.nListed} required ids missing: ${listing}${more(missing)}. ` +
        "Every id of the sample submission must appear exactly once.";
      problems.push(problem("MISSING_IDS", words, { id: showId(missing[0]), count: missing.length }));
    }
    return problems;
  }

  // Compare count and digest of the ids, where the list is not at hand.
  #digestProblems(isComplete) {
    const { nIds, idsSha256 } = this.schema;
    if (idsSha256 === null || nIds === null || !isComplete || this.nUnplaced) return [];
    const ids = [...this.lines.keys()].sort(byCodePoints);
    const digest = new Sha256();
    const encoder = new TextEncoder();
    for (let at = 0; at < ids.length; at += 10_000)
      digest.update(encoder.encode(ids.slice(at, at + 10_000).map((key) => `${key}\n`).join("")));
    if (digest.hex() === idsSha256) return [];
    const words =
      `The file has ${ids.length} different ids and ${nIds} are required; they are not the same. ` +
      "Use exactly the ids of the sample submission.";
    const code = ids.length < nIds ? "MISSING_IDS" : "UNKNOWN_IDS";
    return [problem(code, words, { count: Math.abs(ids.length - nIds) || 1 })];
  }

  #oddities() {
    const found = this.values.oddities(this.schema);
    const count = this.rules.reduce((sum, rule) => sum + rule.nOff, 0);
    if (count) {
      const words = `${count} rows do not sum to 1; the server divides every row by its sum.`;
      found.push(problem("NOTICE_RENORMALISED", words, { count }));
    }
    return found;
  }
}

// The sum of a few numbers, rounded once: partial sums keep what each addition would lose.
const sum = (numbers) => {
  const parts = [];
  for (let x of numbers) {
    let n = 0;
    for (let y of parts) {
      if (Math.abs(x) < Math.abs(y)) [x, y] = [y, x];
      const high = x + y;
      const low = y - (high - x);
      if (low) parts[n++] = low;
      x = high;
    }
    parts.length = n;
    parts.push(x);
  }
  return parts.reduceRight((total, part) => total + part, 0);
};

// A rule over several columns of one row, such as probabilities that sum to 1.
class Rule {
  constructor(entry, columns) {
    this.kind = entry.rule;
    this.names = [...new Set(entry.columns ?? [])].sort(byCodePoints);
    this.at = [...columns.keys()].filter((place) => this.names.includes(columns[place].name));
    this.tolerance = entry.tolerance || 1e-3;
    this.first = null;
    this.count = 0;
    this.nOff = 0;
  }

  get unchecked() {
    if (this.kind === "sums_to_1" || this.kind === "positive_sum") return "";
    return `a rule of the metric over column ${this.names.slice(0, LISTED).map(show).join(", ")}`;
  }

  read(line, key, numbers) {
    if (this.at.length < 2 || this.unchecked) return;
    const values = this.at.map((place) => numbers[place]);
    if (values.includes(null)) return;
    const total = sum(values);
    const distance = Math.abs(total - 1);
    if (this.kind === "sums_to_1" ? distance > this.tolerance : total === 0) {
      this.count++;
      if (!this.first || line < this.first.line) this.first = { line, key, total };
    } else if (distance > OFF_BY) {
      this.nOff++;
    }
  }

  problems() {
    if (!this.first) return [];
    const { line, key, total } = this.first;
    const what = this.kind === "sums_to_1" ? `sum to ${general(total)} instead of 1` : "are all 0";
    const words = `Line ${line} (id ${showId(key)}): the probabilities ${what}.${howMany(this.count)}`;
    return [problem("ROW_SUM", words, { line, id: showId(key), count: this.count })];
  }
}

// What shows files that are accepted and rarely meant.
class Values {
  constructor(columns) {
    this.columns = columns;
    this.first = null;
    this.n = 0;
    this.isConstant = true;
    this.isHard = true;
    this.low = columns.map(() => Infinity);
    this.high = columns.map(() => -Infinity);
  }

  add(numbers, texts) {
    this.n++;
    if (this.isConstant) {
      const bare = this.columns.map((column, at) => (column.isNumber ? numbers[at] : canonicalLabel(texts[at])));
      this.first ??= bare;
      this.isConstant = bare.every((value, at) => Object.is(value, this.first[at]));
    }
    for (let at = 0; at < numbers.length; at++) {
      const number = numbers[at];
      if (number === null) continue;
      this.isHard &&= number === 0 || number === 1;
      if (number < this.low[at]) this.low[at] = number;
      if (number > this.high[at]) this.high[at] = number;
    }
  }

  oddities(schema) {
    const found = [];
    if (this.n > 1 && this.isConstant && !this.columns.some((column) => column.kind === "list"))
      found.push(problem("NOTICE_CONSTANT", "All predictions are equal."));
    else if (this.n && this.isHard && schema.metricKind === "probability" && this.columns.every((c) => c.isNumber))
      found.push(problem("NOTICE_HARD_LABELS", "All predictions are 0 or 1; this metric rewards probabilities."));
    for (const [at, column] of this.columns.entries()) {
      const cells = schema.sample[column.name] ?? [];
      const sample = cells.every((cell) => NUMBER.test(cell)) ? cells.map(Number) : [];
      if (column.kind !== "number" || !sample.length || sample.some((one) => one < 0 || one > 1)) continue;
      if (sample.every((one) => one === Math.floor(one))) continue; // a sample of zeros shows no range
      if (this.low[at] < 0 || this.high[at] <= 1 || this.high[at] > 100) continue;
      const words =
        `Column ${show(column.name)}: numbers up to ${general(this.high[at])}, while those of the ` +
        "sample are between 0 and 1. If these are percent, divide them by 100.";
      found.push(problem("LOOKS_LIKE_PERCENT", words, { column: column.name }));
    }
    return found;
  }
}
