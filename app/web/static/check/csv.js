// Records of CSV text that arrives in pieces, by the rules of Python's strict csv reader.

import { Unreadable, length, megabytes } from "./words.js";

const MOST_IN_RECORD = 1_000_000;
const SEPARATORS = { ";": '";"', "\t": "tabs", "|": '"|"', " ": "spaces" };

class BadQuote extends Error {}

// The fields of one record, which may span several lines.
class Fields {
  constructor(separator = ",", skipsBlanks = false) {
    this.separator = separator;
    this.skipsBlanks = skipsBlanks;
    this.isOpen = false;
    this.fields = [];
    this.value = "";
  }

  // Take one line; return the fields, or null if a quoted value goes on in the next line.
  take(line, end) {
    const n = line.length;
    let at = 0;
    if (!this.isOpen) {
      this.fields = [];
      if (n === 0) return this.fields;
    }
    for (;;) {
      if (!this.isOpen) {
        while (this.skipsBlanks && line[at] === " ") at++;
        if (line[at] !== '"') {
          const next = line.indexOf(this.separator, at);
          this.fields.push(next < 0 ? line.slice(at) : line.slice(at, next));
          if (next < 0) return this.fields;
          at = next + 1;
          continue;
        }
        this.isOpen = true;
        this.value = "";
        at++;
      }
      const quote = line.indexOf('"', at);
      if (quote < 0) {
        this.value += line.slice(at) + end;
        return null;
      }
      this.value += line.slice(at, quote);
      at = quote + 1;
      if (line[at] === '"') {
        this.value += '"';
        at++;
        continue;
      }
      this.isOpen = false;
      this.fields.push(this.value);
      if (at >= n) return this.fields;
      if (line[at] !== this.separator) throw new BadQuote();
      at++;
    }
  }
}

// Call `take(line, fields, isPlain)` for each record; a blank line has no fields.
export class Records {
  constructor(take, head) {
    this.take = take;
    this.head = head;
    this.rest = "";
    this.line = 1;
    this.begun = 1;
    this.used = 0;
    this.record = new Fields();
  }

  feed(piece) {
    const text = this.rest + piece;
    const isPlain = !/[^\x00-\x7f]/.test(text);
    let at = 0;
    let feed = text.indexOf("\n");
    let back = text.indexOf("\r");
    let quote = text.indexOf('"');
    for (;;) {
      if (feed >= 0 && feed < at) feed = text.indexOf("\n", at);
      if (back >= 0 && back < at) back = text.indexOf("\r", at);
      if (quote >= 0 && quote < at) quote = text.indexOf('"', at);
      let end = feed < 0 || (back >= 0 && back < feed) ? back : feed;
      if (end < 0 || (end === back && end === text.length - 1)) break; // the "\n" of a "\r" may follow
      const stop = end;
      end += end === back && feed === end + 1 ? 2 : 1;
      this.#refuseLong(text, at, end);
      if (!this.record.isOpen && (quote < 0 || quote >= stop)) {
        this.take(this.line, stop === at ? [] : text.slice(at, stop).split(","), isPlain);
        this.used = 0;
      } else {
        this.#takeQuoted(text.slice(at, stop), text.slice(stop, end));
      }
      this.line++;
      at = end;
    }
    this.rest = text.slice(at);
    const { used } = this;
    this.#refuseLong(this.rest, 0, this.rest.length);
    this.used = used; // the rest is counted again with the next piece
  }

  end() {
    if (this.rest) {
      const end = this.rest.endsWith("\r") ? "\r" : "";
      this.#refuseLong(this.rest, 0, this.rest.length);
      this.#takeQuoted(this.rest.slice(0, this.rest.length - end.length), end);
    }
    if (this.record.isOpen) this.#refuse("UNCLOSED_QUOTE", `Line ${this.begun}: a quoted value is never closed.`);
  }

  #takeQuoted(line, end) {
    if (!this.record.isOpen) this.begun = this.line;
    let fields;
    try {
      fields = this.record.take(line, end);
    } catch (wrong) {
      if (!(wrong instanceof BadQuote)) throw wrong;
      this.#refuse(
        "BAD_QUOTE",
        `Line ${this.begun}: text follows a closing quote. Inside a quoted value write " as "", ` +
          "and put nothing between the closing quote and the next comma.",
      );
    }
    if (fields === null) return;
    this.used = 0;
    this.take(this.begun, fields, false);
  }

  #refuse(code, words) {
    const separator = this.begun === 1 ? splitBy(this.head) : "";
    if (separator) throw new Unreadable("SEPARATOR", separatorWords(separator), 1);
    throw new Unreadable(code, words, this.begun);
  }

  #refuseLong(text, start, end) {
    this.used += end - start;
    if (this.used <= MOST_IN_RECORD) return;
    this.used += length(text.slice(start, end)) - (end - start);
    if (this.used <= MOST_IN_RECORD) return;
    if (this.record.isOpen)
      throw new Unreadable("UNCLOSED_QUOTE", `Line ${this.begun}: a quoted value is never closed.`, this.begun);
    throw new Unreadable(
      "LINE_TOO_LONG",
      `Line ${this.line} is longer than ${megabytes(MOST_IN_RECORD)}.`,
      this.line,
    );
  }
}

// The fields of the first lines; nothing if quotes are misplaced.
export const splitLines = (lines, separator) => {
  const record = new Fields(separator, separator === " ");
  const found = [];
  try {
    for (const line of lines.filter((text) => text.trim())) {
      const fields = record.take(line, "");
      if (fields) found.push([...fields]);
    }
  } catch (wrong) {
    if (!(wrong instanceof BadQuote)) throw wrong;
    return [];
  }
  return record.isOpen ? [] : found.slice(0, 20);
};

// The values of a line that was quoted as a whole.
export const splitAgain = (text) => {
  try {
    return new Fields().take(text, "") ?? [];
  } catch (wrong) {
    if (!(wrong instanceof BadQuote)) throw wrong;
    return [];
  }
};

export const separatorWords = (separator) =>
  `Columns are separated by ${SEPARATORS[separator]}; use "," between columns and "." in decimals ` +
  "(in pandas: df.to_csv(path, index=False); in R: write.csv(df, path, row.names = FALSE)).";

// The separator that splits a file whose first line no comma can split, or nothing.
const splitBy = (head) => {
  const lines = head.split(/\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]/).slice(0, 20);
  for (const separator of Object.keys(SEPARATORS)) {
    const [header = [], ...rows] = splitLines(lines, separator);
    const fits = (row) => row.length === header.length || row.length === header.length + 1;
    if (header.length > 1 && rows.length && rows.every(fits)) return separator;
  }
  return "";
};
