"use strict";
// The receptive field of a chain of layers that can be edited: size, stride, location and alignment.

const LAYER = { kernel: [1, 15], stride: [1, 8], padding: [0, 8], dilation: [1, 8] };
const layerOf = (kernel, stride = 1, padding = 0, dilation = 1) => ({ kernel, stride, padding, dilation });
const CHAINS = {
  "three of 3, the second of stride 2": { n: 24, layers: [layerOf(3, 1, 1), layerOf(3, 2, 1), layerOf(3, 1, 1)] },
  "without padding": { n: 24, layers: [layerOf(3), layerOf(3, 2), layerOf(3)] },
  dilated: { n: 32, layers: [layerOf(3, 1, 1, 1), layerOf(3, 1, 2, 2), layerOf(3, 1, 4, 4)] },
  "AlexNet up to its last pooling": {
    n: 224, layers: [layerOf(11, 4, 2), layerOf(3, 2), layerOf(5, 1, 2), layerOf(3, 2), layerOf(3, 1, 1), layerOf(3, 1, 1), layerOf(3, 1, 1), layerOf(3, 2)],
  },
};
const MOST_LAYERS = 12;
const [FIELD_WIDE, BETWEEN] = [880, 58];

function fieldLab(place) {
  const state = structuredClone(Object.values(CHAINS)[0]);
  state.output = 5;
  const presets = element("div", "", { className: "choice controls" });
  const editor = element("div", "", { className: "chain controls" });
  const numbers = element("div", "", { className: "inputs controls" });
  const drawing = element("div", "", { className: "scroll field-drawing" });
  const said = element("p", "", { className: "sum" });
  said.setAttribute("aria-live", "polite");
  const table = element("div");
  const picked = element("input", "", { type: "range", min: 0, step: 1, id: "field-output" });
  picked.oninput = () => {
    state.output = picked.valueAsNumber;
    show();
  };
  const size = numberControl("pixels of the image", state.n, [4, 256], (value) => {
    state.n = value;
    show();
  });
  const pickedLine = element("div", "", { className: "number-control" });
  const pickedValue = element("output");
  pickedLine.append(element("label", "output of the last layer", { htmlFor: "field-output" }), picked, pickedValue);
  numbers.append(size, pickedLine);

  for (const [name, chain] of Object.entries(CHAINS)) {
    const button = element("button", name, { type: "button" });
    button.onclick = () => {
      Object.assign(state, structuredClone(chain));
      size.set(state.n);
      state.output = Math.floor(receptiveFields(state.layers, state.n).at(-1).outputs / 2);
      edit();
    };
    presets.append(button);
  }

  function edit() {
    const lines = state.layers.map((layer, at) => {
      const line = element("div", "", { className: "layer" });
      line.append(element("b", `layer ${at + 1}`));
      for (const [name, [low, high]] of Object.entries(LAYER)) {
        const label = element("label", `${name} `);
        const field = element("input", "", { type: "number", min: low, max: high, step: 1, value: layer[name] });
        field.setAttribute("aria-label", `layer ${at + 1}, ${name}`);
        field.oninput = () => {
          const value = field.valueAsNumber;
          const fits = Number.isInteger(value) && value >= low && value <= high;
          field.setAttribute("aria-invalid", !fits);
          if (!fits) return;
          layer[name] = value;
          show();
        };
        label.append(field);
        line.append(label);
      }
      const remove = element("button", "remove", { type: "button", disabled: state.layers.length === 1 });
      remove.setAttribute("aria-label", `remove layer ${at + 1}`);
      remove.onclick = () => {
        state.layers.splice(at, 1);
        edit();
      };
      line.append(remove);
      return line;
    });
    const add = element("button", "+ layer", { type: "button", disabled: state.layers.length >= MOST_LAYERS });
    add.onclick = () => {
      state.layers.push(layerOf(3, 1, 1));
      edit();
    };
    editor.replaceChildren(...lines, add);
    show();
  }

  function show() {
    let fields;
    try {
      fields = receptiveFields(state.layers, state.n);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      drawing.replaceChildren();
      table.replaceChildren();
      said.replaceChildren(element("b", "cannot be: "), error.message);
      return;
    }
    const last = fields.at(-1);
    state.output = Math.min(state.output, last.outputs - 1);
    picked.max = last.outputs - 1;
    picked.value = state.output;
    pickedValue.textContent = state.output;
    const seen = seenBy(state.layers, state.n, state.output);
    drawing.replaceChildren(drawChain(state, fields, seen));
    said.replaceChildren(...sentences(state, last, seen[0]).map((line) => element("span", line)));
    table.replaceChildren(
      drawTable({
        columns: ["layer", "outputs", "field r", "stride S", "start of output 0", "centre of output 0", "alignment"],
        rows: fields.map((field, l) => [String(l + 1), field.outputs, field.size, field.stride, field.start, field.centre, alignment(field)]),
      }),
    );
  }

  place.append(
    element("h2", "The receptive field of a chain of layers"),
    element("p", "Output v sees the pixels start + v · S to start + v · S + r − 1, with pixel 0 as the first; its centre lies at (r − 1) / 2 + start + v · S (Araujo et al. 2019, “Computing Receptive Fields of Convolutional Neural Networks”, Distill). One axis is drawn; the other is alike.", { className: "hint" }),
    presets, editor, numbers, said, drawing, table,
  );
  edit();
}

const alignment = ({ centre, stride }) =>
  centre === 0 ? `aligned: centre of output v at pixel ${stride === 1 ? "" : `${stride} · `}v` : `off by ${numberText(centre)} px`;

function sentences({ output }, field, pixels) {
  const [from, to] = [field.start + output * field.stride, field.start + output * field.stride + field.size - 1];
  const centre = field.centre + output * field.stride;
  const lines = [
    `Output ${output} sees ${field.size} pixels, ${numberText(from)} to ${numberText(to)}, with its centre at ${numberText(centre)}.`,
  ];
  const outside = field.size - pixels.length;
  if (!pixels.length) lines.push("All of them lie on padding: the output depends on no pixel.");
  else if (pixels[0] > from || pixels.at(-1) < to) lines.push(`Of the image it depends on pixels ${pixels[0]} to ${pixels.at(-1)}; the rest is padding.`);
  else if (outside > 0) lines.push(`Between them it leaves out ${outside} pixels, as dilation and stride do.`);
  lines.push(
    field.centre === 0
      ? `Aligned: the centre of output v is pixel ${field.stride} · v, as in a shortcut of the same stride (kernel 1, no padding).`
      : `Not aligned with a shortcut of the same stride (kernel 1, no padding): the centres lie ${numberText(Math.abs(field.centre))} px ${field.centre > 0 ? "further right" : "further left"}.`,
  );
  return lines.map((line) => `${line} `);
}

function drawChain({ n, layers, output }, fields, seen) {
  const levels = layers.length;
  const high = levels * BETWEEN + 46;
  const last = fields.at(-1);
  const [from, to] = [last.start + output * last.stride, last.start + output * last.stride + last.size - 1];
  const [low, end] = [Math.min(-0.5, from - 0.5), Math.max(n - 0.5, to + 0.5)];
  const x = scale(low, end, 64, FIELD_WIDE - 10);
  const unit = x(1) - x(0);
  const y = (level) => high - 34 - level * BETWEEN;
  const centre = (level, at) => (level === 0 ? at : fields[level - 1].centre + at * fields[level - 1].stride);
  const drawing = svg("svg", { viewBox: `0 0 ${FIELD_WIDE} ${high}`, role: "img", "aria-label": "layers from the image at the bottom to the last at the top, with all that the chosen output depends on" });

  for (let level = levels; level > 0; level--) {
    const { kernel, stride, padding, dilation } = layers[level - 1];
    const below = new Set(seen[level - 1]);
    for (const at of seen[level])
      for (let u = 0; u < kernel; u++) {
        const place = at * stride + u * dilation - padding;
        if (below.has(place)) drawing.append(svg("path", { d: `M${x(centre(level, at))} ${y(level)}L${x(centre(level - 1, place))} ${y(level - 1)}`, class: "edge" }));
      }
  }
  for (let level = 0; level <= levels; level++) {
    const count = level === 0 ? n : fields[level - 1].outputs;
    const own = new Set(seen[level]);
    const room = (level === 0 ? 1 : fields[level - 1].stride) * unit;
    const radius = Math.max(1, Math.min(6, 0.38 * room));
    drawing.append(svg("text", { x: 4, y: y(level) + 4 }, level === 0 ? "image" : `layer ${level}`));
    for (const at of range(count)) {
      const name = own.has(at) ? "seen" : "unseen";
      const middle = x(centre(level, at));
      const shape = level === 0
        ? svg("rect", { x: middle - 0.45 * unit, y: y(0) - 6, width: 0.9 * unit, height: 12, class: name })
        : svg("circle", { cx: middle, cy: y(level), r: radius, class: name });
      drawing.append(tooltip(shape, level === 0 ? `pixel ${at}` : `layer ${level}, output ${at}: centre ${numberText(centre(level, at))}`));
    }
  }
  const bracket = y(0) + 13;
  drawing.append(
    svg("path", { d: `M${x(from - 0.5)} ${bracket - 4}V${bracket}H${x(to + 0.5)}V${bracket - 4}`, class: "bracket" }),
    svg("text", { x: x((from + to) / 2), y: bracket + 15, "text-anchor": "middle" }, `r = ${last.size}`),
  );
  return drawing;
}
