"use strict";
// A question with the reader's own numbers: every step anew, and where its claims hold.

const MOST = 61; // values of a number that a claim is tried at
const isMatrixName = (name) => ["x", "w", "output_gradient"].includes(name);
const MATRIX_TITLES = { x: "x", w: "W", output_gradient: "∂L/∂o" };

// what `make` gives, or why that cannot be
function possibly(make) {
  try {
    return make();
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return { impossible: error.message };
  }
}
const attempt = (question, numbers) => possibly(() => NUMERIC[question].work(numbers));
const claimsOf = (question, numbers) => {
  const worked = attempt(question, numbers);
  return worked.impossible ? worked : possibly(worked.claims);
};

function live(answer, limits) {
  const { question } = answer;
  const also = NUMERIC[question].also ?? {};
  const given = { ...answer.numbers, ...also };
  const own = structuredClone(given);
  const box = element("section", "", { className: "live" });
  const inputs = element("div", "", { className: "inputs controls" });
  const steps = element("ol", "", { className: "steps" });
  const result = element("p", "", { className: "result" });
  const claims = element("div", "", { className: "claims" });
  result.setAttribute("aria-live", "polite");
  const fields = {};
  const open = []; // strips of a claim, as they were left

  const shapeOfGradient = () => (question === "3c" ? shapeOf(own.x) : outputShape(own));
  function fitGradient() {
    if (!("output_gradient" in own)) return;
    try {
      own.output_gradient = resized(own.output_gradient ?? [], shapeOfGradient());
      fields.output_gradient?.set(own.output_gradient);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error; // W is larger than x, which the steps say
    }
  }
  fitGradient();

  for (const name of Object.keys(own)) {
    const changed = (value) => {
      own[name] = structuredClone(value);
      if (name !== "output_gradient") fitGradient();
      show();
    };
    fields[name] = isMatrixName(name)
      ? matrixControl(question === "3c" && name === "output_gradient" ? "g = ∂L/∂f" : MATRIX_TITLES[name], own[name], changed, name !== "output_gradient")
      : numberControl(name, own[name], limits[name] ?? [1, 512], changed);
    if (name in also) fields[name].classList.add("also");
    fields[name].dataset.name = name;
    inputs.append(fields[name]);
  }
  const reset = element("button", "the first numbers again", { type: "button" });
  reset.onclick = () => {
    Object.assign(own, structuredClone(given));
    for (const [name, field] of Object.entries(fields)) if (own[name] !== null) field.set(own[name]);
    fitGradient();
    show();
  };
  const buttons = element("div", "", { className: "choice controls" });
  buttons.append(reset);
  if ("x" in own) {
    const random = element("button", "random numbers", { type: "button" });
    random.onclick = () => {
      for (const name of Object.keys(fields)) fields[name].set((own[name] = randomMatrix(shapeOf(own[name]))));
      show();
    };
    buttons.append(random);
  }
  if (question === "3a" || question === "3b") {
    const animate = element("button", "animate these", { type: "button" });
    animate.onclick = () => document.dispatchEvent(new CustomEvent("animate", { detail: { ...own, backward: question === "3b" } }));
    buttons.append(animate);
  }

  function show() {
    const worked = attempt(question, own);
    if (worked.impossible) {
      steps.replaceChildren();
      result.replaceChildren(element("b", "cannot be: "), worked.impossible);
      claims.replaceChildren();
      return;
    }
    steps.replaceChildren(...worked.lines.map((line) => typeset(line, "li")));
    const matrix = Array.isArray(worked.result) && Array.isArray(worked.result.at(-1));
    const pieces = question === "3c" ? worked.result : [worked.result];
    result.replaceChildren(element("b", "result "), ...pieces.flatMap((one) => [matrix && question[0] === "3" ? typeset(matrixText(one)) : valueText(one), " "]));
    const found = possibly(worked.claims);
    if (found.impossible) claims.replaceChildren(element("b", "The claims cannot be tried: "), found.impossible);
    else claims.replaceChildren(...found.map((one, i) => claimBox(one, i)));
  }

  function claimBox(one, index) {
    const holds = fulfils(one);
    const made = element("div", "", { className: "claim" });
    const line = element("p");
    line.append(verdict(holds), " ", typeset(one.text));
    const found = element("p", "", { className: "found" });
    const relation = holds ? one.relation : { "=": "≠", "<": "≥", ">": "≤" }[one.relation];
    found.append(comparedText(one.value), ` ${relation} `, comparedText(one.bound));
    made.append(line, found);
    const names = Object.keys(own).filter((name) => !isMatrixName(name));
    if (names.length) {
      const details = element("details", "", { open: open[index] ?? index === 0 });
      details.append(element("summary", "where it holds, number by number"));
      const fill = () => details.children.length > 1 || details.append(...names.map((name) => strip(name, index)));
      if (details.open) fill();
      details.ontoggle = () => {
        open[index] = details.open;
        fill();
      };
      made.append(details);
    }
    return made;
  }

  // one number changes, the others stay as they are
  function strip(name, index) {
    const [low, high] = fields[name].reach;
    const every = Math.ceil((high - low + 1) / MOST);
    const values = range(Math.ceil((high - low + 1) / every)).map((i) => low + i * every);
    for (const value of [own[name], high]) if (!values.includes(value)) values.push(value);
    values.sort((a, b) => a - b);
    const states = values.map((value) => {
      const found = claimsOf(question, { ...own, [name]: value });
      return found.impossible ? "impossible" : fulfils(found[index]) ? "holds" : "fails";
    });
    const line = element("div", "", { className: "strip" });
    const cells = element("span", "", { className: "cells" });
    cells.setAttribute("aria-hidden", "true");
    values.forEach((value, i) => {
      const cell = element("i", "", { className: states[i], title: `${name} = ${value}: ${states[i] === "impossible" ? "cannot be" : states[i]}` });
      if (value === own[name]) cell.classList.add("now");
      cells.append(cell);
    });
    line.append(element("b", name.replaceAll("_", " ")), cells, element("span", stripText(values, states, every), { className: "where" }));
    return line;
  }

  show();
  box.append(element("h4", "With your own numbers"), inputs, buttons, steps, result, element("h4", "Try to break it"), element("p", "A claim may hold for some numbers and fail for others: change them, or read below where it holds.", { className: "hint" }), claims);
  return box;
}

function stripText(values, states, every) {
  const runs = [];
  states.forEach((state, i) => {
    if (state !== "holds") return;
    if (i && states[i - 1] === "holds") runs.at(-1)[1] = values[i];
    else runs.push([values[i], values[i]]);
  });
  const tried = every > 1 ? `, tried at every ${every}${every === 2 ? "nd" : every === 3 ? "rd" : "th"} value` : "";
  const span = `${numberText(values[0])} to ${numberText(values.at(-1))}${tried}`;
  if (!runs.length) return `holds nowhere from ${span}`;
  if (states.every((state) => state === "holds")) return `holds everywhere from ${span}`;
  const shown = runs.slice(0, 6).map(([from, to]) => (from === to ? numberText(from) : `${numberText(from)} to ${numberText(to)}`));
  return `holds at ${shown.join(", ")}${runs.length > 6 ? ", …" : ""} (${every > 1 ? "" : "tried: "}${span})`;
}
