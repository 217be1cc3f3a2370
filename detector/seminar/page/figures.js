"use strict";
// Figures of an experiment, drawn from the numbers that they show, and these numbers as a table and as CSV.

const [WIDE, HIGH] = [430, 280];
const powerText = (value) => `10${String(Math.round(Math.log10(value))).replace(/./g, (one) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(one)])}`;

// about five round numbers, or powers of ten, from low to high
function places(low, high, log) {
  if (log) {
    const [from, to] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
    const step = Math.max(1, Math.ceil((to - from) / 6));
    return range(Math.floor((to - from) / step) + 1).map((i) => 10 ** (from + i * step)).filter((value) => value >= low && value <= high);
  }
  const rough = (high - low) / 5;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((factor) => factor * unit >= rough) * unit;
  const first = Math.ceil(low / step - 1e-9);
  return range(Math.floor(high / step + 1e-9) - first + 1).map((i) => (first + i) * step);
}

function scale(low, high, from, to, log) {
  const place = log ? Math.log10 : (value) => value;
  return (value) => from + ((place(value) - place(low)) / (place(high) - place(low))) * (to - from);
}

function limits(values, log, base = null) {
  const used = values.filter((value) => isNumber(value) && (!log || value > 0));
  if (!used.length) return log ? [0.1, 1] : [0, 1];
  let [low, high] = [Math.min(...used), Math.max(...used)];
  if (base !== null && !log) [low, high] = [Math.min(base, low), Math.max(base, high)];
  if (low === high) [low, high] = log ? [low / 2, high * 2] : [low - 0.5, high + 0.5];
  if (log) return [low / 1.25, high * 1.6];
  const margin = 0.06 * (high - low);
  return [low === base ? low : low - margin, high + margin];
}

function drawPanel(panel) {
  const draw = { lines: drawAxes, bars: drawAxes, image: drawImage }[panel.kind];
  const drawing = draw(panel);
  drawing.setAttribute("role", "img");
  drawing.setAttribute("aria-label", `${panel.title}: the numbers are in the table below the figure`);
  const figure = element("figure", "", { className: "panel" });
  const caption = element("figcaption");
  caption.append(typeset(panel.title, "b"));
  figure.append(caption, drawing, legend(panel), dataBehind(panel));
  return figure;
}

function legend(panel) {
  const list = element("ul", "", { className: "legend" });
  if (panel.kind === "image" || panel.series.length + Object.keys(panel.levels).length < 2) return list;
  panel.series.forEach((series, i) => {
    const sample = svg("svg", { width: 26, height: 12, "aria-hidden": "true" });
    if (panel.kind === "bars") sample.append(svg("rect", { x: 6, y: 1, width: 14, height: 10, fill: colour(i) }));
    else sample.append(svg("path", { d: "M1 6H25", ...stroke(i) }), mark(i, 13, 6));
    const entry = element("li");
    entry.append(sample, series.name);
    list.append(entry);
  });
  for (const [name, level] of Object.entries(panel.levels)) {
    const sample = svg("svg", { width: 26, height: 12, "aria-hidden": "true" }, svg("path", { d: "M1 6H25", class: "level" }));
    const entry = element("li");
    entry.append(sample, `${name}: ${short(level)}`);
    list.append(entry);
  }
  return list;
}

const stroke = (i) => ({ stroke: colour(i), "stroke-width": 2, fill: "none", "stroke-dasharray": dash(i) });

// series differ in the shape of their marks too, for who cannot tell the colours apart
function mark(i, x, y) {
  const shapes = [
    () => svg("circle", { cx: x, cy: y, r: 3.4 }),
    () => svg("rect", { x: x - 3, y: y - 3, width: 6, height: 6 }),
    () => svg("path", { d: `M${x} ${y - 4.3}L${x + 4} ${y + 3}H${x - 4}Z` }),
    () => svg("path", { d: `M${x} ${y - 4.5}L${x + 4.5} ${y}L${x} ${y + 4.5}L${x - 4.5} ${y}Z` }),
    () => svg("path", { d: `M${x - 4} ${y - 3}H${x + 4}L${x} ${y + 4.3}Z` }),
  ];
  const made = shapes[i % shapes.length]();
  made.setAttribute("fill", colour(i));
  return made;
}

function drawAxes(panel) {
  const bars = panel.kind === "bars";
  const ys = [...panel.series.flatMap((one) => one.y), ...Object.values(panel.levels)];
  let [low, high] = limits(ys, panel.log_y, bars ? 0 : null);
  if (panel.largest !== null) high = panel.largest;
  const names = bars ? panel.ticks : [];
  const slanted = names.reduce((sum, name) => sum + name.length, 0) > 46 || Math.max(0, ...names.map((name) => name.length)) * names.length > 58;
  const longest = Math.max(0, ...names.map((name) => name.length));
  const below = slanted ? Math.min(110, 18 + longest * 3.9) : 22;
  const box = { left: 54, right: WIDE - 8, top: 12, bottom: HIGH - below - (panel.x_label ? 18 : 0) };
  const y = scale(low, high, box.bottom, box.top, panel.log_y);
  const drawing = svg("svg", { viewBox: `0 0 ${WIDE} ${HIGH}` });
  for (const value of places(low, high, panel.log_y))
    drawing.append(
      svg("path", { d: `M${box.left} ${y(value)}H${box.right}`, class: "grid" }),
      svg("text", { x: box.left - 5, y: y(value) + 4, "text-anchor": "end" }, panel.log_y ? powerText(value) : short(value)),
    );
  if (panel.x_label) drawing.append(svg("text", { x: (box.left + box.right) / 2, y: HIGH - 5, "text-anchor": "middle" }, panel.x_label));
  if (panel.y_label)
    drawing.append(svg("text", { x: 0, y: 0, "text-anchor": "middle", transform: `translate(11 ${(box.top + box.bottom) / 2}) rotate(-90)` }, panel.y_label));
  if (bars) drawBars(drawing, panel, box, y, low, slanted);
  else drawLines(drawing, panel, box, y);
  for (const [name, level] of Object.entries(panel.levels))
    drawing.append(tooltip(svg("path", { d: `M${box.left} ${y(level)}H${box.right}`, class: "level" }), `${name}: ${short(level)}`));
  drawing.append(svg("path", { d: `M${box.left} ${box.top}V${box.bottom}H${box.right}`, class: "axis" }));
  return drawing;
}

function drawLines(drawing, panel, box, y) {
  const xs = panel.series.flatMap((one) => one.x);
  const [low, high] = limits(xs, panel.log_x);
  const x = scale(low, high, box.left, box.right, panel.log_x);
  const own = [...new Set(xs)].sort((a, b) => a - b);
  const shown = own.length <= 8 ? own : places(low, high, panel.log_x);
  let last = -Infinity;
  for (const value of shown) {
    if (x(value) - last < 24) continue;
    last = x(value);
    drawing.append(svg("text", { x: last, y: box.bottom + 16, "text-anchor": "middle" }, short(value)));
  }
  panel.series.forEach((one, i) => {
    let path = "";
    let drawn = false;
    const shapes = [];
    one.y.forEach((value, at) => {
      const fits = isNumber(value) && (!panel.log_y || value > 0) && value <= (panel.largest ?? Infinity);
      if (fits) {
        path += `${drawn ? "L" : "M"}${x(one.x[at]).toFixed(1)} ${y(value).toFixed(1)}`;
        if (one.x.length <= 30) shapes.push(tooltip(mark(i, x(one.x[at]), y(value)), `${one.name}: ${short(one.x[at])}, ${short(value)}`));
      }
      drawn = fits; // a line ends where the numbers do
    });
    drawing.append(tooltip(svg("path", { d: path, ...stroke(i) }), one.name), ...shapes);
  });
}

function drawBars(drawing, panel, box, y, low, slanted) {
  const room = (box.right - box.left) / panel.ticks.length;
  const width = (0.82 * room) / panel.series.length;
  const crowded = panel.series.length * panel.ticks.length > 10;
  const ground = panel.log_y ? box.bottom : y(Math.max(0, low));
  panel.series.forEach((one, i) =>
    one.y.forEach((value, place) => {
      const left = box.left + place * room + 0.09 * room + i * width;
      const finite = isNumber(value);
      const top = finite && (!panel.log_y || value > 0) ? Math.max(box.top, y(value)) : ground;
      const text = finite ? short(value) : "not finite";
      drawing.append(
        tooltip(
          svg("rect", { x: left, y: Math.min(top, ground), width: 0.92 * width, height: Math.abs(ground - top), fill: colour(i) }),
          `${panel.ticks[place]}, ${one.name}: ${text}`,
        ),
      );
      if (!crowded) drawing.append(svg("text", { x: left + 0.46 * width, y: Math.min(top, ground) - 3, "text-anchor": "middle", class: "value" }, text));
    }),
  );
  panel.ticks.forEach((name, place) => {
    const middle = box.left + (place + 0.5) * room;
    const where = slanted
      ? { "text-anchor": "end", transform: `translate(${middle + 3} ${box.bottom + 12}) rotate(-32)` }
      : { "text-anchor": "middle", x: middle, y: box.bottom + 16 };
    const shown = slanted && name.length > 26 ? name.slice(0, 25) + "…" : name;
    drawing.append(tooltip(svg("text", where, shown), name));
  });
}

const RAMP = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
function ramp(share) {
  const at = Math.min(RAMP.length - 2, Math.floor(share * (RAMP.length - 1)));
  const rest = share * (RAMP.length - 1) - at;
  return `rgb(${RAMP[at].map((value, i) => Math.round(value + rest * (RAMP[at + 1][i] - value))).join(" ")})`;
}

function drawImage(panel) {
  const { values } = panel;
  const [rows, columns] = shapeOf(values);
  const left = panel.rows.length ? 12 + 6.4 * Math.max(...panel.rows.map((name) => name.length)) : 4;
  const side = Math.min((WIDE - left - 4) / columns, 230 / rows);
  const low = Math.min(...values.flat().filter(isNumber));
  const high = Math.max(...values.flat().filter(isNumber));
  const share = (value) => (high > low ? (value - low) / (high - low) : 0.5);
  const drawing = svg("svg", { viewBox: `0 0 ${WIDE} ${rows * side + 26}`, "shape-rendering": "crispEdges" });
  values.forEach((row, i) =>
    row.forEach((value, j) => {
      const cell = svg("rect", { x: left + j * side, y: i * side, width: side, height: side, fill: isNumber(value) ? ramp(share(value)) : "none" });
      drawing.append(tooltip(cell, `row ${panel.rows[i] ?? i}, column ${panel.ticks[j] ?? j}: ${numberText(value)}`));
      if (rows * columns <= 36 && isNumber(value))
        drawing.append(svg("text", { x: left + (j + 0.5) * side, y: (i + 0.5) * side + 4, "text-anchor": "middle", style: `fill: ${share(value) < 0.55 ? "#fff" : "#000"}` }, short(value)));
    }),
  );
  panel.rows.forEach((name, i) => drawing.append(svg("text", { x: left - 6, y: (i + 0.5) * side + 4, "text-anchor": "end" }, name)));
  panel.ticks.forEach((name, j) => drawing.append(svg("text", { x: left + (j + 0.5) * side, y: rows * side + 16, "text-anchor": "middle" }, name)));
  return drawing;
}

// ---- tables and CSV ----------------------------------------------------------------------------------------------

function tableOf(panel) {
  if (panel.kind === "image")
    return {
      columns: ["row", ...range(panel.values[0].length).map((j) => panel.ticks[j] ?? String(j))],
      rows: panel.values.map((row, i) => [panel.rows[i] ?? String(i), ...row]),
    };
  if (panel.kind === "bars")
    return { columns: ["", ...panel.series.map((one) => one.name)], rows: panel.ticks.map((name, i) => [name, ...panel.series.map((one) => one.y[i])]) };
  const xs = [...new Set(panel.series.flatMap((one) => one.x))].sort((a, b) => a - b);
  return {
    columns: [panel.x_label || "x", ...panel.series.map((one) => one.name)],
    rows: xs.map((x) => [x, ...panel.series.map((one) => (one.x.includes(x) ? one.y[one.x.indexOf(x)] : ""))]),
  };
}

function csv({ columns, rows }) {
  const cell = (value) => {
    const text = value === null ? "" : Array.isArray(value) ? valueText(value) : String(value);
    return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [columns, ...rows].map((row) => row.map(cell).join(",")).join("\n") + "\n";
}

function drawTable({ columns, rows }) {
  const head = element("tr");
  head.append(...columns.map((name) => Object.assign(typeset(name, "th"), { scope: "col" })));
  const table = element("table");
  const body = element("tbody");
  for (const row of rows) {
    const line = element("tr");
    line.append(...row.map((value) => (typeof value === "string" ? typeset(value, "td") : element("td", valueText(value), { className: "number" }))));
    body.append(line);
  }
  table.append(element("thead"), body);
  table.tHead.append(head);
  const scroll = element("div", "", { className: "scroll" });
  scroll.append(table);
  return scroll;
}

function csvButtons(title, table) {
  const copy = element("button", "copy as CSV", { type: "button" });
  copy.onclick = async () => {
    await navigator.clipboard.writeText(csv(table));
    copy.textContent = "copied";
    setTimeout(() => (copy.textContent = "copy as CSV"), 1500);
  };
  const save = element("button", "save as CSV", { type: "button" });
  save.onclick = () => {
    const link = element("a", "", { href: URL.createObjectURL(new Blob([csv(table)], { type: "text/csv" })), download: `${title.replace(/[^A-Za-z0-9]+/g, "_").replace(/^_|_$/g, "") || "data"}.csv` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  const made = element("p", "", { className: "controls" });
  made.append(copy, save);
  return made;
}

function dataBehind(panel) {
  const details = element("details");
  const table = tableOf(panel);
  details.append(element("summary", "the numbers behind it"), drawTable(table), csvButtons(panel.title, table));
  return details;
}
