// What a file must be, rule by rule, and which of the problems break which rule.

import { show, showNames } from "./words.js";

const MOST_COLUMNS = 6; // that get a rule each
const OF_HEADER = ["NO_HEADER", "COLUMN_NAME", "DUPLICATE_COLUMN", "EXTRA_COLUMN"];
const OF_LINES = ["FIELD_COUNT", "REPEATED_HEADER"];
const OF_IDS = ["DUPLICATE_IDS", "UNKNOWN_IDS", "MISSING_IDS", "ID_FORMAT"];
const OF_VALUES = ["OUT_OF_RANGE", "NOT_A_NUMBER", "NOT_FINITE", "NOT_WHOLE", "VALUE_TOO_LARGE"];
const LEFT_OPEN = ["UNKNOWN_LABELS", "BAD_FORM", "EMPTY_VALUE"];

// Each rule as {name, state, problems}; the state is "good", "bad" or "open", which is for the server to decide.
export const rulesOf = (verdict, schema) => {
  const columns = schema.columns ?? [];
  const ids = schema.idColumns;
  const of = (problem) => {
    if (OF_HEADER.includes(problem.code) || (problem.code === "INDEX_COLUMN" && problem.line === 1)) return "header";
    if (OF_LINES.includes(problem.code) || problem.code === "INDEX_COLUMN") return "lines";
    if (OF_IDS.includes(problem.code)) return "ids";
    if (problem.code === "EMPTY_VALUE" && ids.includes(problem.column)) return "ids";
    if (problem.code === "ROW_SUM") return "rows";
    if (OF_VALUES.includes(problem.code) || LEFT_OPEN.includes(problem.code)) return `=${problem.column}`;
    if (problem.code === "BAD_QUOTE" && verdict.isWhole) return "lines";
    return "file";
  };
  const wasTable = verdict.preview.length > 0;
  const rules = [];
  const add = (name, is, { isChecked = true } = {}) => {
    const problems = verdict.problems.filter((problem) => is(of(problem)));
    rules.push({ name, problems, state: problems.length ? "bad" : isChecked ? "good" : "open" });
  };
  const wereRead = verdict.isWhole;
  add("A CSV file in UTF-8", (group) => group === "file", { isChecked: wasTable });
  if (!columns.length) return rules;
  add(`The columns ${showNames(schema.names)}`, (group) => group === "header", { isChecked: wasTable });
  if (schema.idRule === "not_checked") return rules;
  add(`${schema.names.length} values in every line`, (group) => group === "lines", { isChecked: wereRead });
  const isExact = schema.idRule === "exactly_once";
  const nIds = schema.ids?.length ?? schema.nIds;
  const each = nIds === null ? "Every id" : nIds === 1 ? "The only id" : `Each of the ${nIds.toLocaleString("en")} ids`;
  const knowsIds = schema.ids !== null || schema.idsSha256 !== null;
  add(isExact ? `${each} exactly once` : "No id twice", (group) => group === "ids", {
    isChecked: wereRead && (knowsIds || !isExact),
  });
  const isKnown = (column) => wereRead && isExact && column.kind !== "list" && (column.kind !== "label" || column.labels);
  if (columns.length <= MOST_COLUMNS) {
    for (const column of columns)
      add(`${show(column.name)}: ${column.holds || "a value"}`, (group) => group === `=${column.name}`, {
        isChecked: isKnown(column),
      });
  } else {
    const holds = new Set(columns.map((column) => column.holds));
    const what = holds.size === 1 && columns[0].holds ? `: ${columns[0].holds}` : "";
    add(`The values of ${columns.length} columns${what}`, (group) => group.startsWith("="), {
      isChecked: columns.every(isKnown),
    });
  }
  if (schema.rows.some((row) => row.rule === "sums_to_1"))
    add("Probabilities that sum to 1 in every row", (group) => group === "rows", {
      isChecked: wereRead && verdict.ok,
    });
  else if (schema.rows.some((row) => row.rule === "positive_sum"))
    add("A number above 0 in every row", (group) => group === "rows", { isChecked: wereRead && verdict.ok });
  return rules;
};

