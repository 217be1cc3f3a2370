"use strict";
// The page: the questions from the data, and what moves about in it.

const TITLES = { 1: "Layers in numbers", 2: "Weight sharing", 3: "Gradients", 4: "Detectors", 5: "3D convolution" };

function verdict(holds, words = ["holds", "fails"]) {
  return element("span", holds ? `✓ ${words[0]}` : `✗ ${words[1]}`, { className: `verdict ${holds ? "right" : "wrong"}` });
}

const isMatrix = (value) => Array.isArray(value) && value.length > 0 && value.every((row) => Array.isArray(row) && row.length && row.every((one) => typeof one === "number"));
const isRagged = (matrix) => new Set(matrix.map((row) => row.length)).size > 1;

// what was found or the bound, as the program writes it; a matrix as one
function comparedText(value) {
  if (typeof value === "string") return typeset(value);
  return isMatrix(value) && !isRagged(value) ? typeset(matrixText(value)) : valueText(value);
}

function conditionTable(conditions) {
  const table = element("table", "", { className: "conditions" });
  const head = element("tr");
  head.append(...["", "compared", "found", "", "bound"].map((name) => element("th", name, { scope: "col" })));
  table.createTHead().append(head);
  const body = table.createTBody();
  for (const condition of conditions) {
    const line = element("tr", "", { className: condition.holds ? "" : "broken" });
    const cells = ["", "", "", condition.relation, ""].map((text) => element("td", text));
    cells[0].append(verdict(condition.holds));
    cells[1].append(typeset(condition.text));
    cells[2].append(comparedText(condition.value));
    cells[4].append(comparedText(condition.bound));
    line.append(...cells);
    body.append(line);
  }
  const scroll = element("div", "", { className: "scroll" });
  scroll.append(table);
  return scroll;
}

function derivation(answer) {
  const list = element("dl", "", { className: "derivation" });
  const entry = (name, ...content) => {
    const value = element("dd");
    value.append(...content);
    list.append(element("dt", name), value);
  };
  if (answer.formula) entry("formula", typeset(answer.formula, "span", [...RULES, LETTER]));
  if (answer.put_in) entry("put in", typeset(answer.put_in));
  if (answer.steps.length) {
    const steps = element("ol", "", { className: "steps" });
    steps.append(...answer.steps.map((step) => typeset(step, "li")));
    entry("steps", steps);
  }
  if (answer.result !== null) {
    const parts = Array.isArray(answer.result) && answer.result.every(isMatrix) ? answer.result : [answer.result];
    entry("result", ...parts.flatMap((part) => [comparedText(part), " "]));
  }
  return list;
}

function card(answer) {
  const made = element("article", "", { className: "card", id: `q${answer.question}`, tabIndex: -1 });
  const title = element("h3");
  title.append(element("b", answer.question), " ", typeset(answer.asked), " ", verdict(answer.right, ["right", "wrong"]));
  const words = typeset(answer.answer, "p");
  words.className = "answer";
  made.append(title, words, derivation(answer));
  if (answer.experiment) {
    const line = element("p", "", { className: "experiment" });
    line.append(element("b", "Shown by "), typeset(answer.experiment));
    made.append(line);
  }
  if (answer.panels.length) {
    const figures = element("div", "", { className: "panels" });
    figures.append(...answer.panels.map(drawPanel));
    made.append(figures);
  }
  for (const { title: name, columns, rows } of answer.tables) {
    const details = element("details", "", { className: "table", open: rows.length <= 8 });
    const summary = element("summary");
    summary.append(typeset(name));
    details.append(summary, drawTable({ columns, rows }), csvButtons(name, { columns, rows }));
    made.append(details);
  }
  const conditions = element("details", "", { className: "table", open: true });
  const holding = answer.conditions.filter((one) => one.holds).length;
  conditions.append(element("summary", `Conditions: ${holding} of ${answer.conditions.length} hold`), conditionTable(answer.conditions));
  made.append(conditions);
  if (answer.question in NUMERIC) made.append(live(answer, data.limits));
  for (const [name, lines] of [["Noted", answer.noted], ["Sources", answer.sources]]) {
    if (!lines.length) continue;
    const list = element("ul");
    list.append(...lines.map((line) => typeset(line, "li")));
    made.append(element("h4", name), list);
  }
  return made;
}

function contents() {
  const list = element("ul");
  for (const { question, right, asked } of data.answers) {
    const link = element("a", `${question} ${right ? "✓" : "✗"}`, { href: `#q${question}`, title: asked, className: right ? "right" : "wrong" });
    const entry = element("li");
    entry.append(link);
    list.append(entry);
  }
  for (const [id, name] of [["convolution", "convolution step by step"], ["field", "receptive field"]]) {
    const entry = element("li");
    entry.append(element("a", name, { href: `#${id}` }));
    list.append(entry);
  }
  document.getElementById("contents").append(list);
}

const main = document.getElementById("answers");
for (const [number, title] of Object.entries(TITLES)) {
  const own = data.answers.filter(({ question }) => question.startsWith(number));
  if (own.length) main.append(element("h2", `${number}  ${title}`), ...own.map(card));
}
contents();
convolutionLab(document.getElementById("convolution"));
fieldLab(document.getElementById("field"));
