// The bytes of a file: what they are packed with, whether they are text, and where they are no UTF-8.

import { gunzipped, member, streamed } from "./unpacking.js";
import { Unreadable, megabytes } from "./words.js";

const HEAD_BYTES = 1 << 16;
const WHITE = new Set([0x20, 0x09, 0x0d, 0x0a, 0xef, 0xbb, 0xbf]);
const BOM = "\xef\xbb\xbf";

const PACKINGS = [
  ["PK\x03\x04", "zip"],
  ["PK\x05\x06", "zip"],
  ["PK\x07\x08", "zip"],
  ["\x1f\x8b", "gzip"],
  ["BZh", "bzip2"],
  ["\xfd7zXZ\x00", "xz"],
  ["7z\xbc\xaf\x27\x1c", "7z"],
  ["Rar!\x1a\x07", "rar"],
  ["\x28\xb5\x2f\xfd", "zstd"],
];

const OTHER_FORMATS = [
  ["PAR1", "Parquet"],
  ["ARROW1", "Arrow/Feather"],
  ["%PDF", "a PDF document"],
  ["\xd0\xcf\x11\xe0", "an old Excel workbook (.xls)"],
  ["\x89HDF", "HDF5"],
  ["\x93NUMPY", "a NumPy array"],
  ["SQLite format 3", "an SQLite database"],
  ["RDX2", "a workspace of R (save)"],
  ["RDX3", "a workspace of R (save)"],
  ["X\n\x00\x00\x00", "an object of R (saveRDS)"],
  ["A\n2\n", "an object of R (saveRDS)"],
  ["A\n3\n", "an object of R (saveRDS)"],
  ["<stata_dta>", "a Stata file"],
  ["$FL2", "an SPSS file"],
  ["MATLAB 5.0", "a MATLAB file"],
  ["{\\rtf", "a text document (RTF)"],
  ["\x89PNG", "a picture"],
  ["\xff\xd8\xff", "a picture"],
  ...["\x80\x02", "\x80\x03", "\x80\x04", "\x80\x05"].map((magic) => [magic, "a Python pickle"]),
];

const JSON_START = /^(?:(?:\[[ \t\n\r\f\v]*)+[{"]|\[[ \t\n\r\f\v]*\[|\{[ \t\n\r\f\v]*["}])/;
const MARKUP = ["<!doctype", "<!--", "<html", "<?xml", "<head", "<body", "<table"];

const latin = (bytes) => {
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return text;
};
const packingOf = (start) => PACKINGS.find(([magic]) => start.startsWith(magic))?.[1] ?? "";

// One file, opened: how it is packed, and its first bytes that are not blank.
export class Source {
  constructor(file, maxBytes, onRead) {
    this.file = file;
    this.maxBytes = maxBytes;
    this.onRead = onRead;
  }

  async open() {
    const { file, maxBytes } = this;
    if (file.size > maxBytes)
      throw new Unreadable("TOO_LARGE", `The file has ${megabytes(file.size)}; the limit is ${megabytes(maxBytes)}.`);
    this.packing = packingOf(latin(new Uint8Array(await file.slice(0, 8).arrayBuffer())));
    if (!["", "gzip", "zip"].includes(this.packing))
      throw new Unreadable("NOT_CSV", `The file is packed with ${this.packing}; upload a .csv, .csv.gz or .zip.`);
    const head = await this.#firstFilled();
    if (head === null) throw new Unreadable("EMPTY_FILE", "The file is empty.");
    if (this.packing && packingOf(head))
      throw new Unreadable("NOT_CSV", "The archive holds another archive. Pack one CSV file, once.");
    this.isParquet = !this.packing && head.startsWith("PAR1");
    if (!this.isParquet) refuseOtherFormats(head, this.packing);
  }

  async #firstFilled() {
    for await (const block of this.blocks()) if (block.some((byte) => !WHITE.has(byte))) return latin(block);
    return null;
  }

  // The unpacked bytes without a mark at their start; the first block is the head.
  async *blocks() {
    let nRead = 0;
    let held = [];
    let nHeld = 0;
    const unmarked = (block) => (latin(block.subarray(0, 3)) === BOM ? block.subarray(3) : block);
    for await (const block of this.#unpacked()) {
      nRead += block.length;
      if (nRead > this.maxBytes)
        throw new Unreadable("TOO_LARGE", `The file unpacks to more than the limit of ${megabytes(this.maxBytes)}.`);
      if (held === null) {
        yield block;
        continue;
      }
      held.push(block);
      nHeld += block.length;
      if (nHeld < HEAD_BYTES) continue;
      const joined = new Uint8Array(await new Blob(held).arrayBuffer());
      held = null;
      yield unmarked(joined.subarray(0, HEAD_BYTES));
      if (joined.length > HEAD_BYTES) yield joined.subarray(HEAD_BYTES);
    }
    if (nHeld && held) yield unmarked(new Uint8Array(await new Blob(held).arrayBuffer()));
  }

  async *#unpacked() {
    if (this.packing === "gzip") yield* gunzipped(this.file, this.onRead);
    else if (this.packing === "zip") yield* member(this.file, this.onRead);
    else yield* streamed(this.file.stream(), this.onRead);
  }

  // Refuse text that is no UTF-8 or holds a NUL, with its line; the file is read again up to there.
  async refuseEncoding({ hasNul }) {
    const lead = { byte: 0, left: 0, low: 0, high: 0 };
    let line = 1;
    let last = 0;
    for await (const block of this.blocks()) {
      for (const byte of block) {
        if (byte === 0 && hasNul) {
          const words = `Line ${line} holds a NUL byte; the file is damaged or not text. Write it again as UTF-8.`;
          throw new Unreadable("ENCODING", words, line);
        }
        if (!hasNul && !continues(lead, byte)) throw notUtf8(lead.byte, line);
        if (byte === 10 ? last !== 13 : byte === 13) line++;
        last = byte;
      }
    }
    throw notUtf8(lead.byte, line);
  }
}

// Whether a byte may follow in UTF-8; `lead` keeps the first byte of the character and what may follow it.
const continues = (lead, byte) => {
  if (lead.left) {
    if (byte < lead.low || byte > lead.high) return false;
    Object.assign(lead, { left: lead.left - 1, low: 0x80, high: 0xbf });
    return true;
  }
  lead.byte = byte;
  if (byte < 0x80) return true;
  if (byte < 0xc2 || byte > 0xf4) return false;
  lead.left = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
  lead.low = byte === 0xe0 ? 0xa0 : byte === 0xf0 ? 0x90 : 0x80;
  lead.high = byte === 0xed ? 0x9f : byte === 0xf4 ? 0x8f : 0xbf;
  return true;
};

const notUtf8 = (byte, line) => {
  const hex = byte.toString(16).toUpperCase().padStart(2, "0");
  const words = `Line ${line}: byte 0x${hex} is not valid UTF-8. Save the file as UTF-8.`;
  return new Unreadable("ENCODING", words, line);
};

// Refuse what the first bytes show to be no CSV.
const refuseOtherFormats = (start, packing) => {
  const subject = packing ? `The ${packing} file holds` : "The file is";
  const other = OTHER_FORMATS.find(([magic]) => start.startsWith(magic));
  if (other) throw new Unreadable("NOT_CSV", `${subject} ${other[1]}, not CSV; upload CSV.`);
  if (isTar(start)) {
    const words = `${subject} a tar archive. Pack the CSV file alone, with gzip or zip, or upload it as it is.`;
    throw new Unreadable("NOT_CSV", words);
  }
  const head = start.slice(0, 1000);
  const text = (head.startsWith(BOM) ? head.slice(3) : head).replace(/^[ \t\n\r\f\v]+/, "").toLowerCase();
  if (MARKUP.some((tag) => text.startsWith(tag))) {
    const words = "The file is a web page (HTML or XML), not CSV. Was a login page saved instead of the file?";
    throw new Unreadable("NOT_CSV", words);
  }
  if (JSON_START.test(text))
    throw new Unreadable("NOT_CSV", "The file is JSON, not CSV. In pandas: df.to_csv(path, index=False).");
  if (start.startsWith("\xff\xfe") || start.startsWith("\xfe\xff") || looksLikeUtf16(start)) {
    const words = 'The file is UTF-16 (Excel calls it "Unicode text"). Save it as "CSV UTF-8".';
    throw new Unreadable("ENCODING", words);
  }
  const nOdd = head.match(/[\x00-\x08\x0e-\x1a\x1c-\x1e]/g)?.length ?? 0;
  if (nOdd > 0.05 * head.length && nOdd > 2) {
    const words = `${subject} binary data, not text. Write the predictions as CSV and upload that.`;
    throw new Unreadable("NOT_CSV", words);
  }
};

// The numbers in the header of a tar archive are octal, or binary after a byte of 128 or 255.
const TAR_NUMBERS = [[100, 8], [108, 8], [116, 8], [124, 12], [136, 12], [329, 8], [337, 8]];
const octal = (field) => {
  if (field[0] === "\x80" || field[0] === "\xff") return 0;
  const text = field.split("\0")[0].trim() || "0";
  return /^[0-7]+$/.test(text) ? parseInt(text, 8) : NaN;
};

const isTar = (start) => {
  const header = start.slice(0, 512);
  if (header.length < 512 || /^\0*$/.test(header)) return false;
  if (TAR_NUMBERS.some(([at, n]) => Number.isNaN(octal(header.slice(at, at + n))))) return false;
  const kept = header.slice(0, 148) + " ".repeat(8) + header.slice(156);
  let unsigned = 0;
  let signed = 0;
  for (let at = 0; at < 512; at++) {
    const byte = kept.charCodeAt(at);
    unsigned += byte;
    signed += byte > 127 ? byte - 256 : byte;
  }
  return [unsigned, signed].includes(octal(header.slice(148, 156)));
};

const looksLikeUtf16 = (start) => {
  const n = Math.floor(Math.min(start.length, 200) / 2) * 2;
  const halves = [0, 1].map((odd) => [...start.slice(0, n)].filter((_, at) => at % 2 === odd));
  return [halves, [...halves].reverse()].some(([letters, zeros]) => {
    const nZeros = zeros.filter((c) => c === "\0").length;
    return letters.length > 0 && !letters.includes("\0") && nZeros > 0.8 * zeros.length;
  });
};
