"use strict";
// The questions whose answers are numbers, worked with any numbers: each step, the result in the form that the program
// has, and claims that some numbers break. `also` are numbers that only the claims need: a setting of these that cannot be
// leaves the answer as it is.

const claim = (text, value, relation, bound) => ({ text, value, relation, bound });
// equal but for the rounding of sums in another order
const sameValue = (a, b) =>
  Array.isArray(a) ? a.length === b.length && a.every((value, i) => sameValue(value, b[i])) : Math.abs(a - b) <= 1e-9 * Math.max(1, Math.abs(a));
const fulfils = ({ value, relation, bound }) =>
  relation === "=" ? sameValue(value, bound) : relation === "<" ? value < bound : value > bound;
const count = numberText;
const axisText = (n, k, s, p) => `⌊(${n} + 2 · ${p} − ${k}) / ${s}⌋ + 1 = ${outputSize(n, k, s, p)}`;
const squareLayer = (n, filters = n.filters) =>
  convolutionLayer(n.channels, filters, [n.kernel, n.kernel], { stride: [n.stride ?? 1, n.stride ?? 1], padding: [n.padding ?? 0, n.padding ?? 0] });
const volumeLayer = (n, temporalStride = n.temporal_stride) =>
  convolutionLayer(n.channels, n.filters, [n.kernel, n.kernel, n.kernel], { stride: [temporalStride, n.stride, n.stride], padding: [n.padding, n.padding, n.padding] });

function imageOutput(n) {
  const layer = squareLayer(n);
  const [rows, columns] = layer.outputSize([n.height, n.width]);
  const left = [n.height, n.width].map((side) => (side + 2 * n.padding - n.kernel) % n.stride);
  return {
    lines: [
      `rows: ${axisText(n.height, n.kernel, n.stride, n.padding)}`,
      `columns: ${axisText(n.width, n.kernel, n.stride, n.padding)}`,
      `${n.filters} filters make ${n.filters} channels: ${rows} × ${columns} × ${n.filters}`,
    ],
    result: [rows, columns, n.filters],
    claims: () => [
      claim("The output is as large as the image: rows and columns of the output, of the image", [rows, columns], "=", [n.height, n.width]),
      claim("The kernel reaches the last row and column: pixels left over", left, "=", [0, 0]),
    ],
  };
}

function clipOutput(n) {
  const clip = [n.frames, n.height, n.width];
  const size = volumeLayer(n).outputSize(clip);
  return {
    lines: [
      `frames: ${axisText(n.frames, n.kernel, n.temporal_stride, n.padding)}`,
      `rows: ${axisText(n.height, n.kernel, n.stride, n.padding)}`,
      `columns: ${axisText(n.width, n.kernel, n.stride, n.padding)}`,
      `${n.filters} filters: ${n.filters} × ${size.join(" × ")}`,
    ],
    result: [n.filters, ...size],
    claims: () => [
      claim("Frames of the output = frames of the clip / temporal stride", size[0], "=", n.frames / n.temporal_stride),
      claim("Rows and columns keep their number", size.slice(1), "=", [n.height, n.width]),
    ],
  };
}

function equalConvolution(n, kernel, stride, ownKernel) {
  const inputs = n.channels * product(kernel);
  const side = kernel[0] === kernel[1] ? kernel[0] : kernel;
  const vectors = product(kernel.map((k, i) => outputSize([n.height, n.width][i], k, k)));
  return {
    lines: [
      `a row of W has ${n.channels} · ${kernel[0]} · ${kernel[1]} = ${count(inputs)} weights; it is read as a filter of ${n.channels} × ${kernel[0]} × ${kernel[1]}`,
      `kernel ${kernel.join(" × ")}, stride ${stride}, padding 0, ${n.features} filters: ${count(n.features * inputs + n.features)} parameters in both`,
    ],
    result: [side, stride, 0, n.features],
    claims: () => {
      const yours = convolutionLayer(n.channels, n.features, ownKernel, { stride: [n.stride, n.stride], padding: [n.padding, n.padding] });
      const positions = product(yours.outputSize([n.height, n.width]));
      return [
        claim("A filter of your kernel has as many weights as a row of the layer", yours.weightsOfAFilter, "=", inputs),
        claim("Your convolution has as many output positions as the layer makes vectors", positions, "=", vectors),
        // one position is never left by a stride: with several, each has to see a patch of its own
        claim("Your kernel stands where the patches are: stride, padding", vectors > 1 ? [n.stride, n.padding] : [stride, n.padding], "=", [stride, 0]),
      ];
    },
  };
}

function turnedOrNot(x, w, gradient) {
  const size = shapeOf(x);
  const right = inputGradientTermByTerm(w, gradient, size);
  const frame = spread(gradient, size, shapeOf(w));
  return [
    claim("∂L/∂x = full correlation of ∂L/∂o with W turned by 180°", correlate(frame, turned(w)), "=", right),
    claim("∂L/∂x = full correlation of ∂L/∂o with W as it stands", correlate(frame, w), "=", right),
  ];
}

// each product of the forward pass hands its share back; goes another way than the full correlation
function inputGradientTermByTerm(w, gradient, size) {
  const made = zeros(...size);
  gradient.forEach((row, i) => row.forEach((g, j) => w.forEach((weights, u) => weights.forEach((weight, v) => (made[i + u][j + v] += weight * g)))));
  return made;
}

const ones = ([rows, columns]) => zeros(rows, columns).map((row) => row.map(() => 1));
const factor = (value) => (value < 0 ? `(${numberText(value)})` : numberText(value));
const termsText = (terms) => terms.map(({ weight, value }) => `${factor(weight)} · ${factor(value)}`).join(" + ");
const outputShape = (n) => shapeOf(n.x).map((side, axis) => outputSize(side, shapeOf(n.w)[axis]));

const NUMERIC = {
  "1a": {
    work(n) {
      const inputs = n.height * n.width * n.channels;
      const { parameters } = fullyConnected(inputs, n.features);
      const small = convolutionLayer(n.channels, n.features, [3, 3]).parameters;
      return {
        lines: [
          `inputs: ${n.height} · ${n.width} · ${n.channels} = ${count(inputs)}`,
          `weights: ${count(inputs)} · ${n.features} = ${count(inputs * n.features)}`,
          `with ${n.features} biases: ${count(parameters)} parameters`,
        ],
        result: parameters,
        claims: () => [claim("It has more parameters than a 3 × 3 convolution with as many filters", parameters, ">", small)],
      };
    },
  },
  "1b": {
    work(n) {
      const inputs = n.patch * n.patch * n.channels;
      const { parameters } = fullyConnected(inputs, n.features);
      const [rows, columns] = patchGrid(n.height, n.width, n.patch);
      return {
        lines: [
          `inputs of a patch: ${n.patch} · ${n.patch} · ${n.channels} = ${count(inputs)}`,
          `parameters: ${count(inputs)} · ${n.features} + ${n.features} = ${count(parameters)}, shared by all patches`,
          `vectors: ⌊${n.height} / ${n.patch}⌋ · ⌊${n.width} / ${n.patch}⌋ = ${rows} · ${columns} = ${count(rows * columns)}`,
        ],
        result: [parameters, rows * columns],
        claims: () => [
          claim("The patches cover every pixel: pixels in patches, in the image", rows * columns * n.patch ** 2, "=", n.height * n.width),
          claim("It has fewer parameters than the layer on the whole image", parameters, "<", fullyConnected(n.height * n.width * n.channels, n.features).parameters),
        ],
      };
    },
  },
  "1c": {
    also: { kernel: 100, stride: 1, padding: 0 },
    work: (n) => equalConvolution(n, [n.height, n.width], 1, [n.kernel, n.kernel]),
  },
  "1d": {
    also: { kernel: 10, stride: 10, padding: 0 },
    work: (n) => equalConvolution(n, [n.patch, n.patch], n.patch, [n.kernel, n.kernel]),
  },
  "1e": { work: imageOutput },
  "1f": {
    work(n) {
      const { weightsOfAFilter: one, parameters } = squareLayer(n);
      return {
        lines: [
          `a filter: ${n.kernel} · ${n.kernel} · ${n.channels} = ${count(one)} weights`,
          `${n.filters} filters: ${count(one)} · ${n.filters} = ${count(one * n.filters)} weights`,
          `with biases: ${count(one + 1)} a filter, ${count(parameters)} in all`,
        ],
        result: [one, one * n.filters, one + 1, parameters],
        claims: () => [claim("Biases are less than 2 % of the parameters: share in %", (100 * n.filters) / parameters, "<", 2)],
      };
    },
  },
  "1g": {
    also: { groups: 1 },
    work(n) {
      return {
        lines: [
          `${n.filters} filters make ${n.filters} channels, whatever the ${n.channels} channels of their own input`,
          `a filter of the next layer sees all of them: depth ${n.filters}`,
        ],
        result: n.filters,
        claims: () => [claim("In a next layer of so many groups a filter's depth = filters of this layer", convolutionLayer(n.filters, n.groups, [3, 3], { groups: n.groups }).weightShape[1], "=", n.filters)],
      };
    },
  },
  "1h": { work: imageOutput },
  "1i": {
    also: { height: 32, width: 32 },
    work(n) {
      const layer = squareLayer({ ...n, padding: 0 });
      const plain = squareLayer({ ...n, padding: 0, stride: 1 });
      const size = [n.height, n.width];
      return {
        lines: [
          `(${n.kernel} · ${n.kernel} · ${n.channels} + 1) · ${n.filters} = ${count(layer.parameters)}: no stride is in it`,
          "a stride says at which positions the filters are applied; the filters are the same",
        ],
        result: layer.parameters,
        claims: () => [
          claim("Parameters with this stride = parameters with stride 1", layer.parameters, "=", plain.parameters),
          claim("Output positions with this stride = positions with stride 1", product(layer.outputSize(size)), "=", product(plain.outputSize(size))),
        ],
      };
    },
  },
  "3a": {
    work(n) {
      const { size, steps } = correlationSteps(n.x, n.w);
      const output = convolve(n.x, n.w);
      return {
        lines: [...steps.map(({ at, terms, sum }) => `o[${at.join(", ")}] = ${termsText(terms)} = ${numberText(sum)}`), `o = ${matrixText(output)}`],
        result: size[0] === 1 ? output[0] : output,
        claims: () => [claim("The layer's o = the convolution of mathematics, which turns W by 180°", convolve(n.x, turned(n.w)), "=", output)],
      };
    },
  },
  "3b": {
    work(n) {
      const given = n.output_gradient ?? ones(outputShape(n));
      const size = shapeOf(n.x);
      const { steps } = correlationSteps(spread(given, size, shapeOf(n.w)), turned(n.w));
      const gradient = inputGradient(n.w, given, size);
      return {
        lines: [
          `W turned by 180°: ${matrixText(turned(n.w))}; ∂L/∂o with zeros around it: ${matrixText(spread(given, size, shapeOf(n.w)))}`,
          ...steps.map(({ at, terms, sum }) => `∂L/∂x[${at.join(", ")}] = ${termsText(terms)} = ${numberText(sum)}`),
          `∂L/∂x = ${matrixText(gradient)}`,
        ],
        result: gradient,
        claims: () => turnedOrNot(n.x, n.w, given),
      };
    },
  },
  "3c": {
    work(n) {
      const given = n.output_gradient ?? ones(shapeOf(n.x));
      const derivative = reluDerivative(n.x);
      const gradient = elementwise(derivative, given);
      return {
        lines: [
          `f(x) = ${matrixText(relu(n.x))}`,
          `f′(x) = ${matrixText(derivative)}: 1 where x is positive, else 0`,
          `∂L/∂x = f′(x) ⊙ g = ${matrixText(derivative)} ⊙ ${matrixText(given)} = ${matrixText(gradient)}`,
        ],
        result: [relu(n.x), gradient],
        claims: () => [
          claim("Something of the gradient comes through: entries of ∂L/∂x that are not 0", gradient.flat().filter((value) => value !== 0).length, ">", 0),
          claim("All of the gradient comes through: ∂L/∂x = g", gradient, "=", given),
        ],
      };
    },
  },
  "5a": {
    also: { frames: 16 },
    work(n) {
      const layer = convolutionLayer(n.channels, n.filters, [n.kernel, n.kernel, n.kernel]);
      const flat = convolutionLayer(n.channels * n.frames, n.filters, [n.kernel, n.kernel]);
      const weights = n.filters * layer.weightsOfAFilter;
      return {
        lines: [
          `a filter: ${n.channels} · ${n.kernel}³ = ${count(layer.weightsOfAFilter)} weights`,
          `shape of the weights: ${n.filters} × ${n.channels} × ${n.kernel} × ${n.kernel} × ${n.kernel}`,
          `${n.filters} filters: ${count(weights)} weights and ${n.filters} biases: ${count(layer.parameters)}`,
        ],
        result: [layer.weightShape, layer.parameters],
        claims: () => [claim("It has fewer parameters than a 2D convolution that reads the frames as channels", layer.parameters, "<", flat.parameters)],
      };
    },
  },
  "5b": { work: clipOutput },
  "5c": { work: clipOutput },
  "5d": {
    work(n) {
      const clip = [n.frames, n.height, n.width];
      const [layer, slower] = [volumeLayer(n), volumeLayer(n, 2 * n.temporal_stride)];
      const size = layer.outputSize(clip);
      const [cost, fewer] = [layer.multiplyAccumulates(clip), slower.multiplyAccumulates(clip)];
      const sheet = n.kernel ** 3 * n.channels * n.filters * product(clip);
      return {
        lines: [
          `an output number is a sum of ${n.kernel}³ · ${n.channels} = ${count(layer.weightsOfAFilter)} products`,
          `output positions: ${size.join(" · ")} = ${count(product(size))}, each with ${n.filters} channels`,
          `multiply-accumulates: ${count(layer.weightsOfAFilter)} · ${n.filters} · ${count(product(size))} = ${count(cost)}`,
          `with stride ${2 * n.temporal_stride} over time: ${slower.outputSize(clip).join(" · ")} positions, ${count(fewer)}`,
        ],
        result: cost,
        claims: () => [
          claim("The sheet's formula with the input's positions = the cost", sheet, "=", cost),
          claim("Twice the temporal stride halves the cost: 2 · cost then, cost now", 2 * fewer, "=", cost),
        ],
      };
    },
  },
  "5e": {
    work(n) {
      const clip = [16, 28, 28];
      const pair = factorised(n.channels, n.filters, n.between, clip);
      const strided = factorised(n.channels, n.filters, n.between, clip, { temporalStride: 2 });
      return {
        lines: [
          `1 × 3 × 3 from ${n.channels} to ${n.between}: 9 · ${n.channels} · ${n.between} = ${count(9 * n.channels * n.between)} weights`,
          `3 × 1 × 1 from ${n.between} to ${n.filters}: 3 · ${n.between} · ${n.filters} = ${count(3 * n.between * n.filters)} weights`,
          `the pair: ${count(pair.weights)}; 3 × 3 × 3: 27 · ${n.channels} · ${n.filters} = ${count(pair.wholeWeights)}`,
          `on ${clip.join(" × ")} positions ${count(pair.operations)} multiply-accumulates against ${count(pair.wholeOperations)}`,
          `fewer weights while M < ${numberText(pair.fewerBelow)}; fewer operations at stride 2 over time while M < ${numberText(strided.fasterBelow)}`,
        ],
        result: [pair.weights, pair.operations],
        claims: () => [
          claim("The pair has fewer weights than the 3D convolution", pair.weights, "<", pair.wholeWeights),
          claim("The pair has fewer multiply-accumulates at stride 1", pair.operations, "<", pair.wholeOperations),
          claim("The pair has fewer multiply-accumulates at stride 2 over time", strided.operations, "<", strided.wholeOperations),
        ],
      };
    },
  },
};
