"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const root = data.root;
const byId = (id) => document.getElementById(id);
const element = (tag, text = "", attributes = {}) => {
  const made = Object.assign(document.createElement(tag), attributes);
  made.textContent = text;
  return made;
};

// Every node knows the block around it, its depth, its place in the network, and the part it belongs to.
const nodes = [];
(function number(node, parent, depth, part) {
  Object.assign(node, { parent, depth, part, place: nodes.length });
  nodes.push(node);
  node.children.forEach((child, i) => number(child, node, depth + 1, depth === 0 ? i : part));
})(root, null, 0, 0);
const layers = nodes.filter((node) => !node.children.length);

const short = (value, units) => {
  const [size, name] = units.find(([size]) => value >= size) ?? [1, ""];
  const scaled = value / size;
  return (size === 1 ? String(value) : scaled.toFixed(scaled < 10 ? 2 : scaled < 100 ? 1 : 0)) + (name && " " + name);
};
const COUNTS = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];
const BYTES = [[2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"], [1, "B"]];
const percent = (part, whole) => (whole ? ((100 * part) / whole).toFixed(1) + " %" : "–");
const MEASURES = {
  macs: { title: "MACs", show: (value) => short(value, COUNTS) },
  parameters: { title: "parameters", show: (value) => short(value, COUNTS) },
  bytes: { title: "memory", show: (value) => short(value, BYTES) },
};
const area = (field) => (field ? field.size[0] * field.size[1] : -1);
const sizes = (values) => values.map((value) => +value.toFixed(2)).join(" × ");
const one = (values) => (values.every((value) => value === values[0]) ? sizes(values.slice(0, 1)) : sizes(values));
const COLUMNS = [
  { title: "block", key: (node) => node.name },
  { title: "kind", key: (node) => node.kind },
  { title: "kernel", key: (node) => node.kernel },
  { title: "stride", key: (node) => node.stride },
  { title: "output", key: (node) => node.outputs.reduce((sum, shape) => sum + shape.split("×").reduce((a, b) => a * b, 1), 0) },
  ...Object.entries(MEASURES).map(([name, { title }]) => ({ title, measure: name, key: (node) => node[name] })),
  { title: "field", key: (node) => area(node.field) },
  { title: "every", key: (node) => (node.field ? node.field.every[0] : -1) },
];

const state = { chosen: null, open: new Set(), sort: null, descending: true, flat: false, measure: "macs", zoom: root };

// ---- ledger ------------------------------------------------------------------------------------------------------

const compare = (a, b) => {
  if (!state.sort) return a.place - b.place;
  const [x, y] = [state.sort.key(a), state.sort.key(b)];
  const order = typeof x === "string" ? x.localeCompare(y, undefined, { numeric: true }) : x - y;
  return (state.descending ? -order : order) || a.place - b.place;
};

function visible() {
  if (state.flat) return [...layers].sort(compare);
  const shown = [];
  (function add(node) {
    for (const child of [...node.children].sort(compare)) {
      shown.push(child);
      if (state.open.has(child)) add(child);
    }
  })(root);
  return shown;
}

function row(node) {
  const line = element("tr", "", { className: node.children.length ? "block" : "layer" });
  line.node = node;
  line.setAttribute("aria-selected", node === state.chosen);
  const name = element("td", "", { title: node.path });
  if (!state.flat) name.style.paddingLeft = 0.3 + 1.15 * (node.depth - 1) + "rem";
  const fold = node.children.length && !state.flat;
  const open = state.open.has(node);
  name.append(element("span", fold ? (open ? "▾" : "▸") : "", { className: "fold" }), state.flat ? node.path : node.name);
  if (fold) line.setAttribute("aria-expanded", open);
  line.append(
    name, element("td", node.kind, { className: "kind" }), element("td", node.kernel), element("td", node.stride),
    element("td", node.output, { title: node.outputs.join("\n") }),
  );
  for (const [key, { show }] of Object.entries(MEASURES)) {
    const cell = element("td", node[key] ? show(node[key]) : "–", { className: "share" });
    cell.title = node[key].toLocaleString("en") + ", " + percent(node[key], root[key]);
    if (node[key]) {
      const bar = element("i");
      bar.append(element("i"));
      bar.firstChild.style.width = (100 * node[key]) / root[key] + "%";
      cell.append(bar);
    }
    line.append(cell);
  }
  const field = node.field;
  line.append(
    element("td", node.sees),
    element("td", field ? one(field.every) : ""),
  );
  return line;
}

function drawLedger() {
  document.querySelector("tbody").replaceChildren(...visible().map(row));
  document.querySelectorAll("th").forEach((title, i) => {
    const sorted = state.sort === COLUMNS[i] && (state.descending ? "descending" : "ascending");
    title.setAttribute("aria-sort", sorted || "none");
  });
}

function toggle(node, open = !state.open.has(node)) {
  if (open) state.open.add(node);
  else state.open.delete(node);
  drawLedger();
}

// ---- blocks ------------------------------------------------------------------------------------------------------

const HUES = [220, 28, 150, 285, 190, 345, 95];
const ROW = 27;

function drawBlocks() {
  const chart = byId("chart");
  const width = chart.clientWidth;
  const boxes = [];
  let deepest = 0;
  (function add(node, left, room, level) {
    if (room < 1.5) return;
    const name = /^\d/.test(node.name) && room > 90 ? `${node.name} ${node.kind}` : node.name;
    const box = element("button", room > 34 ? name : "", { type: "button", tabIndex: -1 });
    box.node = node;
    box.classList.toggle("thin", room < 12);
    box.classList.toggle("chosen", node === state.chosen);
    const { show } = MEASURES[state.measure];
    box.title = `${node.path || node.name}\n${show(node[state.measure])}, ${percent(node[state.measure], root[state.measure])}`;
    Object.assign(box.style, { left: left + "px", width: room + "px", top: level * ROW + "px" });
    const ground = `calc(var(--light) + ${Math.min(level, 3)} * var(--step))`;
    box.style.background = node === root ? "var(--bar)" : `hsl(${HUES[node.part % HUES.length]} 45% ${ground})`;
    boxes.push(box);
    deepest = Math.max(deepest, level);
    let at = left;
    for (const child of node.children) {
      const share = node[state.measure] ? (room * child[state.measure]) / node[state.measure] : 0;
      add(child, at, share, level + 1);
      at += share;
    }
  })(state.zoom, 0, width, 0);
  chart.style.height = (deepest + 1) * ROW + "px";
  chart.replaceChildren(...boxes);

  const way = [];
  for (let node = state.zoom; node && state.zoom !== root; node = node.parent) way.unshift(node);
  byId("way").replaceChildren(
    ...way.flatMap((node, i) => {
      const step = element("button", node.name, { type: "button" });
      step.onclick = () => zoom(node);
      return i ? [" › ", step] : [step];
    }),
  );
}

function zoom(node) {
  state.zoom = node.children.length ? node : node.parent;
  drawBlocks();
}

// ---- receptive field ---------------------------------------------------------------------------------------------

const WIDEST = 3; // sides of the image that the picture shows at most: a field may be larger than any picture of it

function drawField() {
  const canvas = byId("picture");
  const pixels = canvas.clientWidth * devicePixelRatio;
  canvas.width = canvas.height = pixels;
  const pen = canvas.getContext("2d");
  const { side } = data;
  const field = state.chosen.field;
  const [rows, columns] = field ? [0, 1].map((axis) => alongAxis(field, axis)) : [[], []];

  // what is shown holds the image and, as far as that goes, the field, with a margin where it looks over the border
  const low = field ? Math.min(0, rows.from, columns.from) : 0;
  const high = field ? Math.max(side, rows.to, columns.to) : side;
  const margin = low < 0 || high > side ? 0.03 * (high - low) : 0;
  const shown = Math.min(WIDEST * side, high - low + 2 * margin);
  const start = Math.max(low - margin, side / 2 - (WIDEST * side) / 2);
  const scale = pixels / shown;
  const thick = devicePixelRatio / scale;
  pen.scale(scale, scale);
  pen.translate(-start, -start);
  pen.drawImage(byId("sample"), 0, 0, side, side);
  if (!field) return;

  const accent = getComputedStyle(document.documentElement).getPropertyValue("--accent");
  const square = [columns.from, rows.from, columns.to - columns.from, rows.to - rows.from];
  if (!field.whole) {
    pen.fillStyle = "rgba(0, 0, 0, .5)";
    pen.beginPath();
    pen.rect(0, 0, side, side);
    pen.rect(...square);
    pen.save();
    pen.clip("evenodd");
    pen.fillRect(0, 0, side, side);
    pen.restore();
  }
  if (Math.min(rows.every, columns.every) >= 4 * thick) {
    pen.fillStyle = "rgba(255, 255, 255, .9)";
    const dot = 1.3 * thick;
    for (let y = rows.offset; y < side; y += rows.every)
      for (let x = columns.offset; x < side; x += columns.every) pen.fillRect(x - dot / 2, y - dot / 2, dot, dot);
  }
  pen.strokeStyle = pen.fillStyle = accent;
  pen.lineWidth = 3 * thick;
  pen.strokeRect(...square);
  pen.beginPath();
  pen.arc((columns.from + columns.to) / 2, (rows.from + rows.to) / 2, 4 * thick, 0, 7);
  pen.fill();
}

// of the output in the middle of the image; rows come first, as everywhere
function alongAxis(field, axis) {
  const [size, every, offset] = [field.size[axis], field.every[axis], field.offset[axis]];
  const centre = offset + Math.round((data.side / 2 - offset) / every) * every;
  return { from: centre - size / 2, to: centre + size / 2, every, offset: ((offset % every) + every) % every };
}

function drawDetails() {
  const node = state.chosen;
  const field = node.field;
  byId("chosen").textContent = (node.path || "whole network").replaceAll(".", ".\u200b"); // a line may break there
  byId("sees").textContent = !field
    ? node.unknown
      ? `The field is not known: ${node.unknown}.`
      : node.sees
        ? `An output sees the ${data.sees} as a whole.`
        : "No fixed field: its outputs have no places in the image."
    : `An output sees ${sizes(field.size)} pixels of the ${data.side} × ${data.side} ${data.sees}: the square` +
      `${field.whole ? "; besides, through a mean, a norm or attention, all of it" : ""}. Its neighbours' squares lie ` +
      `${one(field.every)} px away; dots are the centres of all, where there is room for them` +
      (Math.max(...field.size) > WIDEST * data.side ? ". The square is larger than what is drawn." : ".");
  const lines = [
    ["kind", node.kind],
    ["kernel, stride", node.kernel && `${node.kernel}, ${node.stride || "–"}`],
    ["output", node.outputs.slice(0, 6).join(", ") + (node.outputs.length > 6 ? `, … (${node.outputs.length})` : "")],
    ["parameters", `${node.parameters.toLocaleString("en")} (${percent(node.parameters, root.parameters)})`],
    ["MACs", `${node.macs.toLocaleString("en")} (${percent(node.macs, root.macs)})`],
    ["memory", `${node.bytes.toLocaleString("en")} bytes (${percent(node.bytes, root.bytes)})`],
  ];
  byId("details").replaceChildren(
    ...lines.filter(([, value]) => value).flatMap(([key, value]) => [element("dt", key), element("dd", value)]),
  );
}

// in the table alone: if the page moved too, a second press would meet another block
function bringIntoView(line) {
  const table = document.querySelector(".scroll");
  const title = document.querySelector("thead").offsetHeight;
  const [top, bottom] = [line.offsetTop - title, line.offsetTop + line.offsetHeight - table.clientHeight];
  table.scrollTop = Math.min(top, Math.max(bottom, table.scrollTop));
}

function choose(node, reveal = false) {
  state.chosen = node;
  if (reveal && !state.flat) {
    for (let above = node.parent; above; above = above.parent) state.open.add(above);
    drawLedger();
  }
  for (const line of document.querySelectorAll("tbody tr")) {
    line.setAttribute("aria-selected", line.node === node);
    if (reveal && line.node === node) bringIntoView(line);
  }
  for (const box of byId("chart").children) box.classList.toggle("chosen", box.node === node);
  drawField();
  drawDetails();
}

// ---- what can be pressed -----------------------------------------------------------------------------------------

function button(text, where, press) {
  const made = element("button", text, { type: "button" });
  made.onclick = () => press(made);
  byId(where).append(made);
  return made;
}

for (const [key, { title }] of Object.entries(MEASURES)) {
  const made = button(title, "measures", () => {
    state.measure = key;
    for (const other of byId("measures").children) other.setAttribute("aria-pressed", other === made);
    drawBlocks();
  });
  made.setAttribute("aria-pressed", key === state.measure);
}

for (const [text, flat, open] of [
  ["parts", false, () => false],
  ["blocks", false, (node) => node.depth <= 2],
  ["everything", false, () => true],
  ["layers alone", true, () => false],
]) {
  const made = button(text, "folds", () => {
    state.flat = flat;
    state.open = new Set(nodes.filter((node) => node.children.length && open(node)));
    for (const other of byId("folds").children) other.setAttribute("aria-pressed", other === made);
    drawLedger();
  });
}

const titles = element("tr");
for (const column of COLUMNS) {
  const title = element("th");
  const press = element("button", column.title, { type: "button" });
  press.onclick = () => {
    // downwards, upwards, and then as the image passes through
    if (state.sort !== column) Object.assign(state, { sort: column, descending: true });
    else if (state.descending) state.descending = false;
    else state.sort = null;
    drawLedger();
  };
  title.append(press);
  titles.append(title);
}
document.querySelector("thead").append(titles);

const body = document.querySelector("tbody");
body.tabIndex = 0;
body.addEventListener("click", (event) => {
  const node = event.target.closest("tr").node;
  choose(node);
  if (node.children.length && !state.flat) toggle(node);
});
body.addEventListener("keydown", (event) => {
  const shown = visible();
  const at = shown.indexOf(state.chosen);
  const node = shown[at];
  if (event.key === "ArrowDown") choose(shown[Math.min(at + 1, shown.length - 1)], true);
  else if (event.key === "ArrowUp") choose(shown[Math.max(at - 1, 0)], true);
  else if (event.key === "ArrowRight" && node && node.children.length && !state.flat) toggle(node, true);
  else if (event.key === "ArrowLeft" && node && state.open.has(node)) toggle(node, false);
  else if (event.key === "ArrowLeft" && node && node.parent !== root) choose(node.parent, true);
  else return;
  event.preventDefault();
});
byId("chart").addEventListener("click", (event) => event.target.node && choose(event.target.node, event.target.node !== root));
byId("chart").addEventListener("dblclick", (event) => event.target.node && zoom(event.target.node));
addEventListener("resize", () => {
  drawBlocks();
  drawField();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawField);

// the largest field that leaves most of the image to be seen beside it
const fits = (node) => node.field && Math.max(...node.field.size) <= data.side / 2;
state.chosen = layers.filter(fits).reduce((best, node) => (area(node.field) > area(best.field) ? node : best), layers[0]);
byId("folds").children[1].click();
drawBlocks();
byId("sample").decode().then(() => choose(state.chosen));
