// What is wrong with a header, as heldout_client/header.py names it.

import { NUMBER } from "./cells.js";
import { separatorWords, splitAgain } from "./csv.js";
import { LISTED, isBlank, problem, show, showNames, strip, stripped } from "./words.js";

const INDEX_NAMES = ["", "Unnamed: 0", "X", "...1", "rownames", "row.names", "index"];
const sameNames = (a, b) => a.length === b.length && JSON.stringify([...a].sort()) === JSON.stringify([...b].sort());

// Whether the first line is data, a comment or blank.
const isNoHeader = (names, expected, isId) => {
  const lowered = new Set(expected.map((name) => name.toLowerCase()));
  if (names.some((name) => lowered.has(name.toLowerCase()))) return false;
  if (isBlank(names) || names.length === 1) return true;
  if (names.slice(0, 1000).some((name) => NUMBER.test(name))) return true;
  return isId(names[0]) || /^(?:#|sep=)/i.test(names[0]);
};

const otherShape = (name, expected) => {
  if (!name.startsWith("#")) {
    for (const separator of [";", "\t", "|", " "]) {
      const parts = name.split(separator).map((part) => stripped(part, ' \t\r\n"'));
      const found = new Set(parts);
      const fits = separator === " " ? expected.every((one) => found.has(one)) : expected.some((one) => found.has(one));
      if (found.size > 1 && (fits || (separator !== " " && parts.length === expected.length)))
        return problem("SEPARATOR", separatorWords(separator), { line: 1 });
    }
  }
  if (!sameNames(splitAgain(name).map(strip), expected)) return null;
  return problem("BAD_QUOTE", "Line 1: the whole line is in quotes; quote each value by itself, or none.", { line: 1 });
};

// The problems of a header; none if it has the expected names in any order.
export const headerProblems = (names, expected, isId) => {
  if (sameNames(names, expected)) return [];
  const wanted = showNames(expected);
  const present = new Set(names);
  const required = new Set(expected);
  const shape = names.length === 1 ? otherShape(names[0], expected) : null;
  if (shape) return [shape];
  if (!expected.some((name) => present.has(name)) && isNoHeader(names, expected, isId)) {
    const found = isBlank(names) ? "the line is blank" : `found "${showNames(names)}"`;
    return [problem("NO_HEADER", `Line 1: expected the header ${wanted} but ${found}.`, { line: 1 })];
  }
  const twice = [...present].filter((name) => name && names.indexOf(name) !== names.lastIndexOf(name));
  const problems = twice
    .slice(0, LISTED)
    .map((name) => problem("DUPLICATE_COLUMN", `Line 1: column ${show(name)} appears twice.`, { line: 1, column: name }));
  const missing = expected.filter((name) => !present.has(name));
  const extra = names.filter((name) => !required.has(name));
  if (missing.length) {
    let words = `Line 1: expected the columns ${wanted} but found ${showNames(names)}`;
    const lowered = new Set(names.map((name) => name.toLowerCase()));
    if (missing.every((name) => lowered.has(name.toLowerCase()))) words += " (names are case-sensitive)";
    problems.push(problem("COLUMN_NAME", `${words}.`, { line: 1, column: missing[0] }));
  } else if (extra.length === 1 && INDEX_NAMES.includes(names[0])) {
    const what = names[0] ? `"${names[0]}" is not asked for` : "has no name";
    const words =
      `Line 1: the first column ${what}; in pandas: df.to_csv(path, index=False), ` +
      "in R: write.csv(df, path, row.names = FALSE).";
    problems.push(problem("INDEX_COLUMN", words, { line: 1 }));
  } else if (extra.length) {
    const unnamed = showNames(extra.map((name) => name || "(no name)"));
    const words =
      `Line 1: unexpected columns ${unnamed}. The file must have exactly the columns ${wanted}` +
      (names.at(-1) ? "." : " (trailing comma?).");
    problems.push(problem("EXTRA_COLUMN", words, { line: 1, column: extra[0], count: extra.length }));
  }
  return problems;
};
