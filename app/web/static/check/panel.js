// Shows under the drop zone what the check finds in the chosen file. It advises: the form can always be sent.

const MOST_COLUMNS = 12;
const ICONS = {
  good: "m3 8.5 3.2 3.2L13 5",
  bad: "m4 4 8 8M12 4l-8 8",
  open: "M4 8h8",
  warn: "M8 2 15 14H1zM8 6.5v3.5M8 11.8v.4",
};
const SPOKEN = { good: "kept", bad: "broken", open: "not checked here" };
const SVG = "http://www.w3.org/2000/svg";
const STOPPED = "The check was stopped. The server checks the file when you upload it.";
const NOT_HERE = "The file cannot be checked in this browser. The server checks it when you upload it.";

const make = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
};

const icon = (kind) => {
  const svg = document.createElementNS(SVG, "svg");
  for (const [name, value] of Object.entries({ class: "icon", viewBox: "0 0 16 16", "aria-hidden": "true" }))
    svg.setAttribute(name, value);
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[kind]);
  svg.append(path);
  return svg;
};

const count = (n, one, many = `${one}s`) => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;

const where = (problem) => {
  const parts = [make("code", {}, problem.code)];
  for (const name of ["line", "id", "column", "value"])
    if (problem[name] !== null)
      parts.push(make("span", {}, `${name === "value" ? "got" : name} `, make("b", {}, String(problem[name] || "nothing"))));
  if (problem.count > 1) parts.push(make("span", {}, count(problem.count, "place")));
  return make("p", { class: "where" }, ...parts);
};

const problemList = (problems) =>
  make("ol", { class: "problems" }, ...problems.map((one) => make("li", {}, make("p", {}, one.message), where(one))));

const ruleList = (rules) =>
  make(
    "ul",
    { class: "rules" },
    ...rules.map(({ name, state, problems }) => {
      const words = make("span", {}, name, make("span", { class: "aside" }, `: ${SPOKEN[state]}`));
      const item = make("li", { class: `rule-${state}` }, icon(state), words);
      if (problems.length) item.append(problemList(problems));
      return item;
    }),
  );

const previewTable = ([header, ...rows]) => {
  const cut = (fields) => (fields.length > MOST_COLUMNS ? [...fields.slice(0, MOST_COLUMNS), "…"] : fields);
  const line = (fields, tag, attributes = {}) =>
    make("tr", {}, ...cut(fields).map((text) => make(tag, attributes, text.length > 60 ? `${text.slice(0, 60)}…` : text)));
  const caption = rows.length === 1 ? "The first row" : `The first ${count(rows.length, "row")}`;
  const table = make(
    "table",
    {},
    make("caption", {}, caption),
    make("thead", {}, line(header, "th", { scope: "col" })),
    make("tbody", {}, ...rows.map((fields) => line(fields, "td"))),
  );
  return make("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": caption }, table);
};

// [class, headline, what follows from it] of a verdict.
const summary = (verdict, rules) => {
  if (!verdict.ok) {
    const n = verdict.problems.length;
    const advice = "You can upload it all the same: the server decides, and a rejected file does not count.";
    return ["bad", `The server would reject this file: ${count(n, "problem")}.`, advice];
  }
  if (rules.every((rule) => rule.state === "open")) return ["open", NOT_HERE, ""];
  const rows = verdict.rows ? ` ${count(verdict.rows, "row")} read.` : "";
  if (verdict.warnings.length)
    return ["warn", `The server would take this file, but is it what you mean?${rows}`, ""];
  const isAll = rules.every((rule) => rule.state === "good") && !verdict.unchecked.length;
  const words = isAll ? "This file fits." : "Nothing is wrong with this file, as far as this browser can check.";
  return ["good", words + rows, ""];
};

class Panel {
  constructor(form) {
    this.form = form;
    this.words = make("p", { class: "check-words" });
    this.status = make("div", { role: "status", class: "check-status" }, this.words);
    this.bar = make("progress", { max: "1", "aria-label": "Check of the file" });
    this.cancel = make("button", { type: "button", class: "quiet" }, "Stop the check");
    this.doing = make("div", { class: "check-doing" }, this.bar, this.cancel);
    this.found = make("div", { class: "check-found" });
    this.box = make("section", { class: "check", "aria-label": "Check of the file" }, this.status, this.found);
    this.worker = null;
    this.cancel.addEventListener("click", () => {
      this.end("open", STOPPED);
      form.querySelector("[data-send]").focus();
    });
    form.addEventListener("submit", () => {
      if (this.worker) this.end("open", STOPPED);
    });
    form.querySelector("[data-drop]").after(this.box);
  }

  begin(file) {
    this.end();
    this.box.hidden = !file;
    if (!file) return;
    this.say("doing", "Checking the file. Nothing is sent.");
    this.bar.removeAttribute("value");
    this.status.after(this.doing);
    this.found.replaceChildren();
    try {
      this.worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    } catch {
      return this.end("open", NOT_HERE);
    }
    const { worker } = this;
    // What an ended worker has sent before can still arrive.
    worker.addEventListener("message", ({ data }) => worker === this.worker && this.take(data));
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      if (worker === this.worker) this.end("open", NOT_HERE);
    });
    worker.postMessage({ file, address: new URL(this.form.dataset.schema, location).href });
  }

  take({ read, verdict, rules, failed }) {
    if (read !== undefined) {
      this.bar.value = read;
      return;
    }
    if (failed !== undefined) return this.end("open", `${NOT_HERE} ${failed}`.trim());
    const [kind, words, advice] = summary(verdict, rules);
    this.end(kind, words);
    if (advice) this.found.append(make("p", { class: "hint" }, advice));
    if (verdict.warnings.length) {
      const warnings = verdict.warnings.map((one) => make("li", {}, icon("warn"), make("span", {}, one.message)));
      this.found.append(make("ul", { class: "rules warnings" }, ...warnings));
    }
    if (kind !== "open") this.found.append(ruleList(rules));
    if (verdict.unchecked.length)
      this.found.append(make("p", { class: "hint" }, `Left to the server: ${verdict.unchecked.join("; ")}.`));
    if (verdict.preview.length > 1) this.found.append(previewTable(verdict.preview));
  }

  end(kind = "", words = "") {
    this.worker?.terminate();
    this.worker = null;
    this.doing.remove();
    this.say(kind, words);
  }

  say(kind, words) {
    this.box.dataset.kind = kind;
    this.words.replaceChildren(...(ICONS[kind] ? [icon(kind)] : []), make("span", {}, words));
  }
}

const styled = new Promise((done) => {
  const sheet = make("link", { rel: "stylesheet", href: new URL("panel.css", import.meta.url).href });
  sheet.addEventListener("load", done);
  sheet.addEventListener("error", done);
  document.head.append(sheet);
});

let panel = null;

// Check a file, or without one show nothing.
export const check = async (form, file) => {
  await styled;
  panel ??= new Panel(form);
  panel.begin(file);
};
