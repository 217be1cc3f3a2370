"use strict";
// Numbers and matrices that can be changed: a slider beside each number, a field for each entry of a matrix.

const LARGEST_MATRIX = 7; // rows or columns that there is room for
let controls = 0;

// `limits`: what the program takes; the slider covers the part around the sheet's number
function numberControl(name, value, limits, changed) {
  const [low, high] = limits;
  const reach = Math.min(high, Math.max(16, 4 * value));
  const id = `control-${controls++}`;
  const label = element("label", name.replaceAll("_", " "), { htmlFor: id });
  const slider = element("input", "", { type: "range", min: low, max: reach, step: 1, value });
  slider.setAttribute("aria-label", `${name.replaceAll("_", " ")}, slider`);
  const field = element("input", "", { type: "number", id, min: low, max: high, step: 1, value });
  const take = (source, other) => () => {
    const number = source.valueAsNumber;
    const fits = Number.isInteger(number) && number >= low && number <= high;
    field.setAttribute("aria-invalid", !fits);
    field.title = fits ? "" : `a whole number from ${low} to ${high}`;
    if (!fits) return;
    other.value = number;
    changed(number);
  };
  slider.oninput = take(slider, field);
  field.oninput = take(field, slider);
  const made = element("div", "", { className: "number-control" });
  made.append(label, slider, field);
  made.set = (number) => {
    slider.value = field.value = number;
    field.setAttribute("aria-invalid", false);
  };
  made.reach = [low, reach];
  return made;
}

function matrixControl(name, matrix, changed, resizable = true) {
  const made = element("fieldset", "", { className: "matrix-control" });
  let current = matrix;
  const button = (text, said, fits, press) => {
    const one = element("button", text, { type: "button", title: said, disabled: !fits });
    one.setAttribute("aria-label", `${name}: ${said}`);
    one.onclick = () => {
      made.set(press());
      changed(current);
    };
    return one;
  };
  made.set = (values) => {
    current = values.map((row) => [...row]);
    const [rows, columns] = shapeOf(current);
    const grid = element("div", "", { className: "matrix-fields" });
    grid.style.setProperty("--columns", columns);
    current.forEach((row, i) =>
      row.forEach((value, j) => {
        const field = element("input", "", { type: "number", step: "any", value: +value.toPrecision(9) });
        field.setAttribute("aria-label", `${name}, row ${i + 1}, column ${j + 1}`);
        field.oninput = () => {
          const fits = Number.isFinite(field.valueAsNumber);
          field.setAttribute("aria-invalid", !fits);
          if (!fits) return;
          current[i][j] = field.valueAsNumber;
          changed(current);
        };
        grid.append(field);
      }),
    );
    const legend = element("legend");
    legend.append(typeset(name));
    made.replaceChildren(legend, grid);
    if (!resizable) return;
    const sizes = element("span", "", { className: "sizes" });
    sizes.append(
      button("− row", "a row less", rows > 1, () => current.slice(0, -1)),
      button("+ row", "a row more", rows < LARGEST_MATRIX, () => [...current, Array(columns).fill(0)]),
      button("− column", "a column less", columns > 1, () => current.map((row) => row.slice(0, -1))),
      button("+ column", "a column more", columns < LARGEST_MATRIX, () => current.map((row) => [...row, 0])),
    );
    made.append(sizes);
  };
  made.set(matrix);
  return made;
}

// the same numbers as far as they go, 1 where there were none
const resized = (matrix, [rows, columns]) => range(rows).map((i) => range(columns).map((j) => matrix[i]?.[j] ?? 1));
const randomMatrix = ([rows, columns]) => range(rows).map(() => range(columns).map(() => Math.round(16 * Math.random() - 8) / 2));
