// Check a file of predictions against the schema of its competition, as heldout_client/checking.py does.
// tests/web/test_file_check_in_chromium.py holds the verdicts of the two together, word by word.
//
// Problems mean that the server would refuse the file; warnings are about files that it accepts and that are
// rarely meant. `unchecked` names what only the server can check.

import { Source } from "./bytes.js";
import { Records } from "./csv.js";
import { headerProblems } from "./header.js";
import { Rows } from "./rows.js";
import { ID_JOINT, NotHere, Unreadable, oneForm, problem, strip } from "./words.js";

const MIN_UNPACKED_BYTES = 10_000_000;
const MOST_PROBLEMS = 20;
const SAMPLE_CELLS = 20;

// The answer of the server; `more` are ids that it does not list and cells of the sample.
export const schemaOf = (document, more = {}) => {
  const ids = document.ids ?? {};
  const columns = document.ids && document.columns ? document.columns : null;
  const idColumns = ids.columns ?? [];
  return {
    idColumns,
    idRule: ids.rule ?? "not_checked",
    columns,
    names: [...idColumns, ...(columns ?? []).map((column) => column.name)],
    rows: document.rows ?? [],
    metricKind: document.metric?.kind ?? "",
    maxBytes: document.max_bytes ?? MIN_UNPACKED_BYTES,
    takesParquet: (document.formats ?? []).includes("parquet"),
    nIds: ids.count ?? null,
    idsSha256: ids.sha256 ?? null,
    ids: more.ids ?? ids.values ?? null,
    sample: more.sample ?? {},
  };
};

const verdict = (problems, more = {}) => ({
  ok: problems.length === 0,
  rows: 0,
  problems: problems.slice(0, MOST_PROBLEMS),
  warnings: [],
  unchecked: [],
  preview: [],
  isWhole: false, // whether all rows were read
  ...more,
});

export const check = async (file, schema, onRead = () => {}) => {
  try {
    const source = new Source(file, schema.maxBytes, onRead);
    await source.open();
    if (source.isParquet) {
      if (schema.takesParquet) return verdict([], { unchecked: ["a Parquet file, which only the server reads"] });
      throw new Unreadable("NOT_CSV", "The file is Parquet, not CSV; upload CSV.");
    }
    if (schema.columns === null)
      return verdict([], { unchecked: ["all of it, since this competition has no schema"] });
    return await checkText(source, schema);
  } catch (wrong) {
    if (wrong instanceof Unreadable) return verdict([wrong.problem]);
    if (wrong instanceof NotHere) return verdict([], { unchecked: [`all of ${wrong.message}`] });
    throw wrong;
  }
};

class Enough extends Error {}

const checkText = async (source, schema) => {
  let rows = null;
  let found = null;
  const take = (line, fields, isPlain) => {
    const texts = isPlain ? fields : fields.map(oneForm);
    if (rows) {
      if (!rows.take(line, texts)) throw new Enough();
      return;
    }
    const names = texts.map(strip);
    rows = new Rows(names, schema);
    const problems = headerProblems(names, schema.names, (id) => rows.isKnown(id));
    if (problems.length) found = verdict(problems, { preview: [names] });
    else if (schema.idRule === "not_checked")
      found = verdict([], { unchecked: ["the rows, which the metric matches itself"], preview: [names] });
    if (found) throw new Enough();
  };
  const ended = await readRecords(source, take);
  if (found) return found;
  if (ended instanceof Unreadable && !rows) throw ended;
  const { problems, ...more } = rows.verdict(ended);
  return verdict(problems, { ...more, warnings: more.warnings.slice(0, MOST_PROBLEMS) });
};

// Pass on the records of a file; return why they ended before its end, or null.
//
// The rest is decoded all the same, since a file that is no UTF-8 is refused for that alone.
const readRecords = async (source, take) => {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  let records = null;
  let ended = null;
  let hasNul = false;
  const attempt = (step) => {
    try {
      if (!ended) step();
    } catch (wrong) {
      if (!(wrong instanceof Unreadable || wrong instanceof Enough)) throw wrong;
      ended = wrong;
    }
  };
  const decoded = async (block) => {
    try {
      return block ? decoder.decode(block, { stream: true }) : decoder.decode();
    } catch {
      return source.refuseEncoding({ hasNul: false });
    }
  };
  for await (const block of source.blocks()) {
    const text = await decoded(block);
    records ??= new Records(take, text);
    hasNul ||= block.includes(0);
    if (!hasNul) attempt(() => records.feed(text));
  }
  await decoded(null);
  if (hasNul) await source.refuseEncoding({ hasNul });
  attempt(() => records.end());
  return ended;
};

// The ids of a public table, and a few different cells of each column; no ids if the table has none.
export const cellsOf = async (file, idColumns, columns) => {
  const ids = new Set();
  const cells = new Map();
  let header = null;
  let idAt = [];
  const take = (line, fields, isPlain) => {
    const texts = isPlain ? fields : fields.map(oneForm);
    if (!header) {
      header = texts.map(strip);
      idAt = idColumns.map((name) => header.indexOf(name));
      if (idAt.includes(-1)) throw new Enough();
      for (const name of columns) if (header.includes(name)) cells.set(header.indexOf(name), new Set());
      return;
    }
    if (fields.length !== header.length) return;
    ids.add(idAt.length === 1 ? strip(texts[idAt[0]]) : idAt.map((at) => strip(texts[at])).join(ID_JOINT));
    for (const [at, seen] of cells) if (seen.size < SAMPLE_CELLS) seen.add(fields[at]);
  };
  try {
    const source = new Source(file, Infinity, () => {});
    await source.open();
    const ended = await readRecords(source, take);
    if (ended) return { ids: null, sample: {} };
  } catch (wrong) {
    if (!(wrong instanceof Unreadable || wrong instanceof NotHere)) throw wrong;
    return { ids: null, sample: {} };
  }
  return { ids: [...ids], sample: Object.fromEntries([...cells].map(([at, seen]) => [header[at], [...seen]])) };
};

export const sameFile = (id) => problem("SAME_FILE", `These bytes were sent before, as submission ${id}.`);
