"use strict";
// What every page is made of: its data, elements, numbers as text.

const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const content = (section) => byId(section).querySelector(".content");
const range = (length) => Array.from({ length }, (_, i) => i);

// names with a hyphen are attributes, others properties; text is never read as HTML
function element(tag, text = "", attributes = {}, ...children) {
  const made = document.createElement(tag);
  made.textContent = text;
  for (const [name, value] of Object.entries(attributes))
    if (name.includes("-")) made.setAttribute(name, value);
    else made[name] = value;
  made.append(...children);
  return made;
}

const SVG = "http://www.w3.org/2000/svg";
function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}
const tooltip = (shape, text) => (shape.append(svg("title", {}, text)), shape);

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
const whole = (value) => value.toLocaleString("en");
const counted = (value, one, many = `${one}s`) => `${whole(value)} ${value === 1 ? one : many}`;
const fixed = (value, digits = 3) => (isNumber(value) ? value.toFixed(digits) : "–");
const percent = (value, digits = 1) => (isNumber(value) ? `${(100 * value).toFixed(digits)} %` : "–");
const signed = (value, digits = 3) => (isNumber(value) ? (value < 0 ? "−" : "+") + Math.abs(value).toFixed(digits) : "–");
function short(value) {
  if (!isNumber(value)) return "–";
  if (Number.isInteger(value) && Math.abs(value) < 1e7) return whole(value + 0);
  const size = Math.abs(value);
  return size >= 1e5 || size < 1e-3 ? value.toExponential(size >= 1e5 ? 1 : 0).replace("e+", "e") : String(+value.toPrecision(3));
}

// a flat typed array of a column, as `detector.columns.column` makes it
const ARRAYS = { uint8: Uint8Array, int8: Int8Array, uint16: Uint16Array, int16: Int16Array, uint32: Uint32Array, int32: Int32Array, float32: Float32Array, float64: Float64Array };
async function unpack({ dtype, zlib }) {
  const text = atob(zlib);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new ARRAYS[dtype](await new Response(stream).arrayBuffer());
}

const SERIES = 8; // --series-0 to --series-7 in the style sheet
const DASHES = ["", "7 3", "2 3", "9 3 2 3"];
const colour = (i) => `var(--series-${i % SERIES})`;
const dash = (i) => DASHES[Math.floor(i / 2) % DASHES.length]; // lines differ in their dashes too
const styleValue = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// what is drawn in colours read from the style, or in pixels of a size, is drawn again when either changes
const redrawn = new Set();
const redraw = () => redrawn.forEach((draw) => draw());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
matchMedia("print").addEventListener("change", redraw);
addEventListener("resize", redraw);
