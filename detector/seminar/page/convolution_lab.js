"use strict";
// A kernel that moves over a matrix, forwards and backwards: all three passes are correlations, of other matrices.

const PASSES = {
  forward: {
    title: "forward: o",
    result: "o",
    source: "x, with padding",
    kernel: "W",
    words: "Each output is the sum of what lies under W, times W.",
    steps: ({ x, w, stride, padding }) => ({ source: padded(x, padding), kernel: w, ...correlationSteps(padded(x, padding), w, stride) }),
    isReal: ({ x, padding }) => (p, q) => p >= padding && q >= padding && p < padding + x.length && q < padding + x[0].length,
  },
  input: {
    title: "backward: ∂L/∂x",
    result: "∂L/∂x",
    source: "∂L/∂o, padded to the full",
    kernel: "W, turned by 180°",
    words: "Each input collects ∂L/∂o from all outputs that saw it, times the weight through which they did: the full correlation with W turned by 180°.",
    steps: ({ x, w, gradient, stride, padding }) => {
      const source = spread(gradient, shapeOf(x), shapeOf(w), stride, padding);
      return { source, kernel: turned(w), ...correlationSteps(source, turned(w)) };
    },
    isReal: ({ w, gradient, stride, padding }) => (p, q) => {
      const [i, j] = [p - (w.length - 1 - padding), q - (w[0].length - 1 - padding)];
      return i >= 0 && j >= 0 && i % stride === 0 && j % stride === 0 && i / stride < gradient.length && j / stride < gradient[0].length;
    },
  },
  kernel: {
    title: "backward: ∂L/∂W",
    result: "∂L/∂W",
    source: "x, with padding",
    kernel: "∂L/∂o",
    words: "Each weight collects ∂L/∂o from all outputs, times the input that it met there: x correlated with ∂L/∂o.",
    steps: ({ x, w, gradient, stride, padding }) => ({
      source: padded(x, padding), kernel: gradient, ...correlationSteps(padded(x, padding), gradient, 1, stride, shapeOf(w)),
    }),
    isReal: (state) => PASSES.forward.isReal(state),
  },
};
const PAUSE = 1100; // milliseconds between steps

function grid(title, matrix, describe) {
  const [rows, columns] = shapeOf(matrix);
  const table = element("table", "", { className: "grid" });
  const caption = table.createCaption();
  caption.append(typeset(title));
  for (let i = 0; i < rows; i++) {
    const line = table.insertRow();
    for (let j = 0; j < columns; j++) {
      const { text, small = "", name } = describe(i, j, matrix[i][j]);
      const cell = element("td", text, { className: name });
      if (small) cell.append(element("small", small));
      line.append(cell);
    }
  }
  return table;
}

function convolutionLab(place) {
  const state = { x: [[0, -1, 3], [2, 0.5, 1]], w: [[0, 1], [1, 0.5]], gradient: [[1, 1]], stride: 1, padding: 0, pass: "forward", step: 0 };
  let timer = null;
  const stage = element("div", "", { className: "stage", tabIndex: 0 });
  stage.setAttribute("role", "group");
  stage.setAttribute("aria-label", "the kernel's steps: arrow keys go, Home and End go to the ends, the space bar plays");
  const sum = element("p", "", { className: "sum" });
  sum.setAttribute("aria-live", "polite");
  const words = element("p", "", { className: "hint" });
  const whole = element("p", "", { className: "whole" });
  const buttons = element("div", "", { className: "choice controls" });
  const moves = element("div", "", { className: "choice controls" });
  const inputs = element("div", "", { className: "inputs controls" });

  const matrices = {
    x: matrixControl("x", state.x, (value) => change({ x: value })),
    w: matrixControl("W", state.w, (value) => change({ w: value })),
    gradient: matrixControl("∂L/∂o", state.gradient, (value) => change({ gradient: value }), false),
  };
  const numbers = {
    stride: numberControl("stride", 1, [1, 4], (value) => change({ stride: value })),
    padding: numberControl("padding", 0, [0, LARGEST_MATRIX - 1], (value) => change({ padding: value })),
  };
  inputs.append(...Object.values(matrices), ...Object.values(numbers));

  for (const [name, { title }] of Object.entries(PASSES)) {
    const button = element("button", title, { type: "button" });
    button.onclick = () => change({ pass: name, step: 0 });
    button.dataset.pass = name;
    buttons.append(button);
  }
  const move = (text, said, press) => {
    const button = element("button", text, { type: "button", title: said });
    button.setAttribute("aria-label", said);
    button.onclick = press;
    moves.append(button);
    return button;
  };
  move("←", "step back", () => go(state.step - 1));
  const play = move("▶ play", "play", () => (timer ? pause() : start()));
  move("→", "step on", () => go(state.step + 1));
  const counter = element("span", "", { className: "counter" });
  moves.append(counter);

  function change(values) {
    Object.assign(state, structuredClone(values));
    try {
      const size = shapeOf(state.x).map((n, axis) => outputSize(n, shapeOf(state.w)[axis], state.stride, state.padding));
      if (String(size) !== String(shapeOf(state.gradient))) matrices.gradient.set((state.gradient = resized(state.gradient, size)));
      show();
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      pause();
      stage.replaceChildren();
      whole.replaceChildren();
      counter.textContent = "";
      sum.replaceChildren(element("b", "cannot be: "), error.message);
    }
  }

  function show() {
    const pass = PASSES[state.pass];
    const { source, kernel, size, steps } = pass.steps(state);
    state.step = Math.min(Math.max(0, state.step), steps.length - 1);
    const { at, terms } = steps[state.step];
    const real = pass.isReal(state);
    const under = new Map(terms.map((term) => [String(term.source), term]));
    const done = zeros(...size);
    steps.forEach((one) => (done[one.at[0]][one.at[1]] = one.sum));
    const before = ([i, j]) => i * size[1] + j;
    stage.replaceChildren(
      grid(pass.source, source, (p, q, value) => {
        const term = under.get(`${p},${q}`);
        return { text: numberText(value), small: term ? `× ${numberText(term.weight)}` : "", name: `${real(p, q) ? "" : "padding"} ${term ? "under" : ""}` };
      }),
      grid(pass.kernel, kernel, (u, v, value) => ({ text: numberText(value), name: "under" })),
      grid(pass.result, done, (i, j, value) => {
        const place = before([i, j]);
        return place > state.step ? { text: "", name: "open" } : { text: numberText(value), name: place === state.step ? "now" : "" };
      }),
    );
    sum.replaceChildren(typeset(`${pass.result}[${at.join(", ")}] = ${termsText(terms)} = ${numberText(steps[state.step].sum)}`));
    words.replaceChildren(typeset(pass.words));
    counter.textContent = `step ${state.step + 1} of ${steps.length}`;
    const { x, w, gradient, stride, padding } = state;
    const all = [
      `o = ${matrixText(convolve(x, w, stride, padding))}`,
      `∂L/∂x = ${matrixText(inputGradient(w, gradient, shapeOf(x), stride, padding))}`,
      `∂L/∂W = ${matrixText(kernelGradient(x, gradient, shapeOf(w), stride, padding))}`,
    ];
    whole.replaceChildren(...all.map((line) => typeset(line)));
    for (const button of buttons.children) button.setAttribute("aria-pressed", button.dataset.pass === state.pass);
    if (state.step === steps.length - 1) pause();
  }

  function go(step) {
    pause();
    change({ step });
  }
  function start() {
    const { steps } = PASSES[state.pass].steps(state);
    if (state.step >= steps.length - 1) change({ step: 0 });
    if (steps.length < 2) return;
    timer = setInterval(() => change({ step: state.step + 1 }), PAUSE);
    play.textContent = "❚❚ pause";
    play.setAttribute("aria-label", "pause");
  }
  function pause() {
    clearInterval(timer);
    timer = null;
    play.textContent = "▶ play";
    play.setAttribute("aria-label", "play");
  }

  stage.addEventListener("keydown", (event) => {
    const press = {
      ArrowRight: () => go(state.step + 1), ArrowLeft: () => go(state.step - 1), Home: () => go(0), End: () => go(Infinity),
      " ": () => (timer ? pause() : start()),
    }[event.key];
    if (!press || stage.children.length === 0) return;
    press();
    event.preventDefault();
  });
  document.addEventListener("animate", ({ detail: { x, w, output_gradient: gradient, backward } }) => {
    pause();
    numbers.stride.set(1);
    numbers.padding.set(0);
    matrices.x.set(x);
    matrices.w.set(w);
    change({ x, w, stride: 1, padding: 0, pass: backward ? "input" : "forward", step: 0, ...(gradient && { gradient }) });
    matrices.gradient.set(state.gradient);
    place.scrollIntoView({ block: "start" });
    stage.focus({ preventScroll: true });
  });

  place.append(
    element("h2", "A convolution, step by step"),
    buttons, words, stage, sum, moves,
    element("p", "Keys, with the matrices in focus: ← → one step, Home and End the first and the last, space plays.", { className: "hint controls" }),
    whole, inputs,
  );
  change({});
}
