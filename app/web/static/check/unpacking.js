// The bytes inside a gzip file, or of the only file of a zip, in pieces.

import { Crc32 } from "./digests.js";
import { NotHere, Unreadable } from "./words.js";

const END_BYTES = 22;
const LONGEST_COMMENT = 65_535;
const GZIP_MAGIC = [0x1f, 0x8b, 0x08];

export async function* streamed(stream, onRead = () => {}) {
  const reader = stream.getReader();
  try {
    for (let step = await reader.read(); !step.done; step = await reader.read()) {
      onRead(step.value.length);
      yield step.value;
    }
  } finally {
    reader.cancel().catch(() => {}); // the stream has failed already
  }
}

const counted = (stream, onRead) =>
  stream.pipeThrough(
    new TransformStream({
      transform(block, out) {
        onRead(block.length);
        out.enqueue(block);
      },
    }),
  );

async function* inflated(stream, format, onRead) {
  let stage;
  try {
    stage = new DecompressionStream(format);
  } catch {
    throw new NotHere("a packed file, which this browser cannot unpack");
  }
  yield* streamed(counted(stream, onRead).pipeThrough(stage));
}

export async function* gunzipped(file, onRead) {
  const stages = inflated(file.stream(), "gzip", onRead);
  try {
    for (;;) {
      const step = await nextOf(stages, file);
      if (step.done) return;
      yield step.value;
    }
  } finally {
    await stages.return();
  }
}

const nextOf = async (stages, file) => {
  try {
    return await stages.next();
  } catch (wrong) {
    if (wrong instanceof NotHere) throw wrong;
    // Browsers stop after the first part of a gzip file, and at zeros that fill its end; the server does not.
    if (await mayHaveMore(file)) throw new NotHere("a gzip file of several parts, or a damaged one");
    throw damaged("gzip file");
  }
};

const mayHaveMore = async (file) => {
  const end = new Uint8Array(await file.slice(-4).arrayBuffer());
  if (end.every((byte) => byte === 0)) return true;
  let nFound = 0; // of the magic that starts a part
  let at = 0;
  for await (const block of streamed(file.stream())) {
    for (const byte of block) {
      at = byte === GZIP_MAGIC[at] ? at + 1 : byte === GZIP_MAGIC[0] ? 1 : 0;
      if (at === 3) {
        nFound++;
        at = 0;
      }
    }
  }
  return nFound > 1;
};

export async function* member(file, onRead) {
  const entry = await onlyEntry(file);
  const local = await view(file, entry.offset, 30);
  if (local.byteLength < 30 || local.getUint32(0, true) !== 0x04034b50) throw damaged("zip file or Excel workbook");
  const start = entry.offset + 30 + local.getUint16(26, true) + local.getUint16(28, true);
  const packed = file.slice(start, start + entry.nPacked);
  const crc = new Crc32();
  let nBytes = 0;
  const blocks =
    entry.method === 0 ? streamed(packed.stream(), onRead) : inflated(packed.stream(), "deflate-raw", onRead);
  try {
    for await (const block of blocks) {
      crc.update(block);
      nBytes += block.length;
      yield block;
    }
  } catch (wrong) {
    throw wrong instanceof NotHere ? wrong : damaged("zip file or Excel workbook");
  }
  if (nBytes !== entry.nBytes || crc.end() !== entry.crc) throw damaged("zip file or Excel workbook");
}

const view = async (file, start, n) => new DataView(await file.slice(start, start + n).arrayBuffer());

// The only file of a zip, litter of operating systems left out.
const onlyEntry = async (file) => {
  const entries = await entriesOf(file);
  const names = entries.map((entry) => entry.name);
  if (names.includes("[Content_Types].xml") || names.includes("mimetype")) {
    const words = "The file is an Excel workbook or another office document, not CSV. Save it as CSV (UTF-8).";
    throw new Unreadable("NOT_CSV", words);
  }
  const found = entries.filter((entry) => !isLitter(entry.name));
  if (!found.length) throw new Unreadable("EMPTY_FILE", "The zip holds no file.");
  if (found.length > 1)
    throw new Unreadable("SEVERAL_FILES", `The zip holds ${found.length} files; pack exactly one CSV file.`);
  const [entry] = found;
  if (entry.flags & 1 || ![0, 8].includes(entry.method)) {
    const words = "The zip is encrypted or uses an unusual compression; make an ordinary zip of one CSV file.";
    throw new Unreadable("NOT_CSV", words);
  }
  return entry;
};

const isLitter = (name) => {
  const parts = name.replaceAll("\\", "/").split("/");
  const last = parts.at(-1);
  return parts.includes("__MACOSX") || last.startsWith("._") || [".DS_Store", "Thumbs.db", "desktop.ini"].includes(last);
};

// The files that the directory at the end of a zip lists.
const entriesOf = async (file) => {
  const tailStart = Math.max(0, file.size - END_BYTES - LONGEST_COMMENT);
  const tail = await view(file, tailStart, file.size - tailStart);
  let end = tail.byteLength - END_BYTES;
  while (end >= 0 && tail.getUint32(end, true) !== 0x06054b50) end--;
  if (end < 0) throw damaged("zip file or Excel workbook");
  const nBytes = tail.getUint32(end + 12, true);
  const offset = tail.getUint32(end + 16, true);
  if (nBytes === 0xffffffff || offset === 0xffffffff) throw new NotHere("a zip of the form for very large files");
  const start = tailStart + end - nBytes;
  const before = start - offset; // bytes in front of the zip
  if (before < 0) throw damaged("zip file or Excel workbook");
  const directory = await view(file, start, nBytes);
  const found = [];
  for (let at = 0; at < nBytes; ) {
    if (at + 46 > directory.byteLength || directory.getUint32(at, true) !== 0x02014b50)
      throw damaged("zip file or Excel workbook");
    const number = (place, size) => (size === 2 ? directory.getUint16(at + place, true) : directory.getUint32(at + place, true));
    const nName = number(28, 2);
    const bytes = new Uint8Array(directory.buffer, directory.byteOffset + at + 46, Math.max(0, Math.min(nName, nBytes - at - 46)));
    const entry = {
      name: new TextDecoder().decode(bytes),
      flags: number(8, 2),
      method: number(10, 2),
      crc: number(16, 4),
      nPacked: number(20, 4),
      nBytes: number(24, 4),
      offset: before + number(42, 4),
    };
    if ([entry.nPacked, entry.nBytes, number(42, 4)].includes(0xffffffff))
      throw new NotHere("a zip of the form for very large files");
    if (!entry.name.endsWith("/")) found.push(entry);
    at += 46 + nName + number(30, 2) + number(32, 2);
  }
  return found;
};

const damaged = (kind) =>
  new Unreadable("NOT_CSV", `The file is a damaged ${kind}. Save the predictions as CSV and upload that.`);
