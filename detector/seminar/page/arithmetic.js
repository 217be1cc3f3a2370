"use strict";
// Layers in numbers, as detector/arithmetic has them; nothing here knows of the page. A setting that cannot be throws a
// RangeError in the same words.

const product = (numbers) => numbers.reduce((a, b) => a * b, 1);
const zeros = (rows, columns) => range(rows).map(() => Array(columns).fill(0));
const shapeOf = (matrix) => [matrix.length, matrix[0].length];

const fullyConnected = (inputs, outputs) => ({
  parameters: inputs * outputs + outputs,
  multiplyAccumulates: inputs * outputs,
});

// ⌊(n + 2 padding − dilation (kernel − 1) − 1) / stride⌋ + 1
function outputSize(n, kernel, stride = 1, padding = 0, dilation = 1) {
  const reach = dilation * (kernel - 1) + 1;
  if (n + 2 * padding < reach)
    throw new RangeError(`an input of ${n} with padding ${padding} is smaller than the kernel, which reaches over ${reach}`);
  return Math.floor((n + 2 * padding - reach) / stride) + 1;
}

// kernel, stride, padding and dilation: one number for each axis
function convolutionLayer(channels, filters, kernel, { stride, padding, dilation, groups = 1, bias = true } = {}) {
  const each = (given, otherwise) => given ?? kernel.map(() => otherwise);
  const [strides, paddings, dilations] = [each(stride, 1), each(padding, 0), each(dilation, 1)];
  if (channels % groups || filters % groups)
    throw new RangeError(`groups=${groups}: must divide ${channels} and ${filters} channels`);
  const weights = (channels / groups) * product(kernel);
  const size = (input) => input.map((n, i) => outputSize(n, kernel[i], strides[i], paddings[i], dilations[i]));
  return {
    weightShape: [filters, channels / groups, ...kernel],
    weightsOfAFilter: weights,
    parameters: filters * (weights + (bias ? 1 : 0)),
    outputSize: size,
    multiplyAccumulates: (input) => filters * weights * product(size(input)),
  };
}

// rows and columns of patches that fit, stride = side of the patch
const patchGrid = (height, width, patch) => [outputSize(height, patch, patch), outputSize(width, patch, patch)];

// k × k × k as 1 × k × k to `between` channels and k × 1 × 1: both with biases or both without; padding keeps the size
function factorised(channels, filters, between, size, { kernel = 3, temporalStride = 1, bias = false } = {}) {
  const around = (kernel - 1) / 2;
  const layer = (input, output, sides, stride) =>
    convolutionLayer(input, output, sides, { stride: [stride, 1, 1], padding: sides.map((k) => (k === 1 ? 0 : around)), bias });
  const whole = layer(channels, filters, [kernel, kernel, kernel], temporalStride);
  const spatial = layer(channels, between, [1, kernel, kernel], 1);
  const temporal = layer(between, filters, [kernel, 1, 1], temporalStride);
  const perChannel = (size) => layer(channels, 1, [1, kernel, kernel], 1).multiplyAccumulates(size) + layer(1, filters, [kernel, 1, 1], temporalStride).multiplyAccumulates(size);
  return {
    weights: spatial.parameters + temporal.parameters,
    operations: spatial.multiplyAccumulates(size) + temporal.multiplyAccumulates(spatial.outputSize(size)),
    wholeWeights: whole.parameters,
    wholeOperations: whole.multiplyAccumulates(size),
    fewerBelow: (kernel ** 3 * channels * filters) / (kernel ** 2 * channels + kernel * filters),
    fasterBelow: whole.multiplyAccumulates(size) / perChannel(size),
  };
}

// ---- a convolution on a matrix, one step at a time ---------------------------------------------------------------

const turned = (kernel) => kernel.map((row) => [...row].reverse()).reverse();

const padded = (x, padding) => {
  const [rows, columns] = shapeOf(x);
  const made = zeros(rows + 2 * padding, columns + 2 * padding);
  x.forEach((row, i) => row.forEach((value, j) => (made[i + padding][j + padding] = value)));
  return made;
};

// Each output is a step: the places of the source that it is a sum of, their factors, and the sum.
function correlationSteps(source, kernel, stride = 1, dilation = 1, size = null) {
  const [rows, columns] = size ?? shapeOf(source).map((n, axis) => outputSize(n, shapeOf(kernel)[axis], stride, 0, dilation));
  const steps = [];
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++) {
      const terms = [];
      kernel.forEach((row, u) =>
        row.forEach((weight, v) => {
          const [p, q] = [i * stride + u * dilation, j * stride + v * dilation];
          terms.push({ kernel: [u, v], source: [p, q], weight, value: source[p][q] });
        }),
      );
      steps.push({ at: [i, j], terms, sum: terms.reduce((sum, { weight, value }) => sum + weight * value, 0) });
    }
  return { size: [rows, columns], steps };
}

function correlate(...given) {
  const { size, steps } = correlationSteps(...given);
  const made = zeros(...size);
  for (const { at, sum } of steps) made[at[0]][at[1]] = sum;
  return made;
}

const convolve = (x, kernel, stride = 1, padding = 0) => correlate(padded(x, padding), kernel, stride);

// ∂L/∂o with stride − 1 zeros between its elements, in the frame that "full" padding makes
function spread(gradient, size, kernelSize, stride = 1, padding = 0) {
  const reach = kernelSize.map((k) => k - 1);
  if (padding > Math.min(...reach))
    throw new RangeError(`padding=${padding}: with a kernel that reaches ${Math.min(...reach)} further at most that can be given`);
  const made = zeros(size[0] + reach[0], size[1] + reach[1]);
  gradient.forEach((row, i) =>
    row.forEach((value, j) => (made[reach[0] - padding + i * stride][reach[1] - padding + j * stride] = value)),
  );
  return made;
}

const inputGradient = (kernel, gradient, size, stride = 1, padding = 0) =>
  correlate(spread(gradient, size, shapeOf(kernel), stride, padding), turned(kernel));

// ∂L/∂W[u, v] = Σ x[i · stride + u, j · stride + v] · ∂L/∂o[i, j]: x correlated with ∂L/∂o, whose elements lie `stride` apart
const kernelGradient = (x, gradient, kernelSize, stride = 1, padding = 0) =>
  correlate(padded(x, padding), gradient, 1, stride, kernelSize);

const relu = (x) => x.map((row) => row.map((value) => Math.max(0, value)));
const reluDerivative = (x) => x.map((row) => row.map((value) => (value > 0 ? 1 : 0)));
const elementwise = (a, b) => a.map((row, i) => row.map((value, j) => value * b[i][j]));

// ---- receptive field of a chain (Araujo et al. 2019, "Computing Receptive Fields of Convolutional Neural Networks") ----

// After each layer: sizes r, stride S and padding P as seen from the image, so that output v sees pixels −P + v S to
// −P + v S + r − 1; `outputs` is how many there are.
function receptiveFields(layers, n) {
  let [size, stride, padding, outputs] = [1, 1, 0, n];
  return layers.map((layer) => {
    outputs = outputSize(outputs, layer.kernel, layer.stride, layer.padding, layer.dilation);
    size += layer.dilation * (layer.kernel - 1) * stride;
    padding += layer.padding * stride;
    stride *= layer.stride;
    return { size, stride, start: -padding, centre: (size - 1) / 2 - padding, outputs };
  });
}

// For one output of the last layer: the positions that it depends on, from the image (first) to itself (last); what
// lies on padding is a zero and depends on nothing.
function seenBy(layers, n, output) {
  const sizes = [n, ...receptiveFields(layers, n).map(({ outputs }) => outputs)];
  const seen = [[output]];
  for (let l = layers.length - 1; l >= 0; l--) {
    const { kernel, stride, padding, dilation } = layers[l];
    const below = new Set();
    for (const at of seen[0])
      for (let u = 0; u < kernel; u++) {
        const place = at * stride + u * dilation - padding;
        if (place >= 0 && place < sizes[l]) below.add(place);
      }
    seen.unshift([...below].sort((a, b) => a - b));
  }
  return seen;
}
