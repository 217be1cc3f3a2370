"use strict";
// Formulas that are written as text become MathML; the words around them stay text, so that lines can break there.

const MATHML = "http://www.w3.org/1998/Math/MathML";
const math = (tag, ...children) => {
  const made = document.createElementNS(MATHML, tag);
  made.append(...children);
  return made;
};
const operator = (text) => math("mo", text);
// the style sheet draws the brackets: operators stretch in fonts for mathematics alone
const bracketed = (name, content) => {
  const made = math("mrow", content);
  made.setAttribute("class", name);
  return made;
};
const formula = (...children) => {
  const made = math("math", math("mrow", ...children));
  made.setAttribute("displaystyle", "true");
  return made;
};

// 1.25, −3, 10,001,000: as the program writes numbers
function numberText(value) {
  if (typeof value !== "number") return String(value ?? "not finite");
  if (Number.isInteger(value) && !Number.isSafeInteger(value)) return `≈ ${value.toExponential(3)}`;
  const shown = Number.isInteger(value)
    ? (value + 0).toLocaleString("en")
    : Math.abs(value) >= 1e-3 && Math.abs(value) < 1e6 ? String(+value.toPrecision(4)) : value.toExponential(2);
  return shown.replace("-", "−");
}
const valueText = (value) => (Array.isArray(value) ? `[${value.map(valueText).join(", ")}]` : numberText(value));
const matrixText = (matrix) => `[${matrix.map((row) => `[${row.map((value) => String(+value.toPrecision(6)).replace("-", "−")).join(", ")}]`).join(", ")}]`;

const NAME = "[A-Za-zα-ωΔ∇][′]?";
const RULES = [
  // a matrix [[0, −1], [2, 0.5]]; its entries may be sums
  [/\[\[[^[\]]*\](?:, \[[^[\]]*\])*\]/g, (found) => {
    const rows = found.slice(2, -2).split("], [").map((row) => math("mtr", ...row.split(", ").map((cell) => math("mtd", ...inner(cell)))));
    return [bracketed("brackets", math("mtable", ...rows))];
  }],
  // ⌊(32 + 2 · 0 − 5) / 1⌋
  [/⌊\(([^()⌊⌋]*)\) \/ ([^()⌊⌋]*)⌋|⌊([^()⌊⌋/]*) \/ ([^()⌊⌋/]*)⌋/g, (_, long, below, short, other) => [
    bracketed("floor", math("mfrac", math("mrow", ...inner(long ?? short)), math("mrow", ...inner(below ?? other)))),
  ]],
  // ∂L/∂x[p, q]
  [/∂([A-Za-z]+)\/∂([A-Za-z]+(?:_[A-Za-z0-9]+)?)(\[[^[\]]*\])?/g, (_, above, below, index) => [
    math("mfrac", math("mrow", operator("∂"), math("mi", above)), math("mrow", operator("∂"), ...withIndex(below, index))),
  ]],
  [/([Σ∏])_([A-Za-z0-9]+)/g, (_, sign, index) => [math("munder", operator(sign), math("mi", index))]],
  // x[i + u, j + v]
  [new RegExp(`(?<![A-Za-z0-9_])(${NAME})(\\[[^[\\]]*\\])`, "g"), (_, name, index) => withIndex(name, index)],
  // c_F, w11
  [new RegExp(`(?<![A-Za-z0-9_])(${NAME})_([A-Za-z0-9]+)`, "g"), (_, name, index) => [math("msub", math("mi", name), math("mi", index))]],
  [/(?<![A-Za-z0-9])w(\d{2})(?!\d)/g, (_, index) => [math("msub", math("mi", "w"), math("mn", index))]],
  // k³, 3², d²
  [/(?<![A-Za-z0-9.,])([A-Za-z]|\d+)([²³])/g, (_, base, power) => [math("msup", math(/\d/.test(base) ? "mn" : "mi", base), math("mn", power === "²" ? "2" : "3"))]],
];

// single letters are names in a formula; among words they are words
const LETTER = [/(?<![A-Za-z0-9′’'_])[A-Zb-z](?![A-Za-z0-9’'_])/g, (letter) => [math("mi", letter)]];

const withIndex = (name, index) => {
  const [letter, lower] = name.split("_");
  const indices = [lower && math("mi", lower), index && math("mrow", ...inner(index.slice(1, -1)))].filter(Boolean);
  return indices.length ? [math("msub", math("mi", letter), math("mrow", ...indices))] : [math("mi", letter)];
};

// text within a formula: numbers, names, operators
function inner(text) {
  return pieces(text).flatMap(([found, made]) =>
    made ?? (found.match(/\d[\d.,]*\d|\d|[A-Za-zα-ω]+[′]?|[^\sA-Za-z\d]/g) ?? []).map((token) =>
      math(/^\d/.test(token) ? "mn" : /^[A-Za-zα-ω]/.test(token) ? "mi" : "mo", token)),
  );
}

// [text, the MathML elements that stand for it or null], from left to right
function pieces(text, rules = RULES) {
  const found = [];
  let at = 0;
  while (at < text.length) {
    let first = null;
    for (const [pattern, make] of rules) {
      pattern.lastIndex = at;
      const match = pattern.exec(text);
      if (match && (first === null || match.index < first.match.index)) first = { match, make };
    }
    const next = first ? first.match.index : text.length;
    if (next > at) found.push([text.slice(at, next), null]);
    if (first) found.push([first.match[0], first.make(...first.match)]);
    at = first ? next + first.match[0].length : next;
  }
  return found;
}

function typeset(text, tag = "span", rules = RULES) {
  const made = element(tag);
  for (const [words, mathml] of pieces(text, rules)) made.append(mathml ? formula(...mathml) : words);
  return made;
}
