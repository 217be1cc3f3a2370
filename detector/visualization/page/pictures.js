// Pictures with boxes over them, whole or a crop, and the dialog that shows one large.

// A picture is { width, height: in the pixels of the boxes, source: a data URI or null, file: the link to its file or null,
// turned: false where the file's EXIF orientation is not to be applied, view: what is shown of it small, title, lines: texts, marks: [mark] }.
// In place of marks it may have sides: [{ name, marks }], which are drawn beside each other.
// A mark is { box: [x1, y1, x2, y2], kind: right, wrong, missed, ignored or annotated, text, faint: drawn weakly }.
const KINDS = ["right", "wrong", "missed", "ignored", "annotated"];

// files lie beside the page only where it was made; after one that does not, no other is asked for
let filesAreHere = location.protocol === "file:";

// `view`: [x, y, width, height] of the picture that is shown; `pixels`: about how wide on the screen; `captions`: with texts;
// `remark(marks)` of what is made puts other boxes over it; `sharp`: from the file where it is there, over the smaller picture inside the page
function drawnPicture(picture, { view = picture.view ?? [0, 0, picture.width, picture.height], pixels = 240, captions = false, kinds = KINDS, marks = picture.marks, sharp = false } = {}) {
  const made = svg("svg", { viewBox: view.join(" "), class: "picture", role: "img", "aria-label": picture.title });
  const note = (text) => view[2] >= 0.9 * picture.width && made.append(svg("text", { x: view[0] + view[2] / 2, y: view[1] + view[3] / 2, "text-anchor": "middle", "font-size": (12 * view[2]) / pixels, class: "absent" }, text));
  made.append(svg("rect", { x: 0, y: 0, width: picture.width, height: picture.height, class: "ground" }));
  const add = (source, failed) => {
    const image = svg("image", { width: picture.width, height: picture.height, preserveAspectRatio: "none", href: source });
    if (picture.turned === false && source === picture.file) image.style.imageOrientation = "none";
    image.addEventListener("error", () => (image.remove(), failed()));
    made.append(image);
  };
  const linked = filesAreHere && picture.file;
  const lost = () => {
    filesAreHere = false;
    if (!picture.source) note("the picture's file is not here");
  };
  if (picture.source) add(picture.source, () => note("the picture cannot be drawn"));
  if (linked && (sharp || !picture.source)) add(picture.file, lost);
  if (!picture.source && !linked) note("picture not in this page");
  const unit = view[2] / pixels;
  const over = svg("g");
  made.append(over);
  made.remark = (marks) => {
    over.replaceChildren();
    const shown = marks.filter((mark) => kinds.includes(mark.kind));
    for (const { box, kind, text, faint } of shown) {
      const [x, y] = box;
      const size = { x, y, width: Math.max(unit, box[2] - x), height: Math.max(unit, box[3] - y) };
      over.append(tooltip(svg("g", { class: faint ? "faint" : "" }, svg("rect", { ...size, class: "halo" }), svg("rect", { ...size, class: `mark ${kind}` })), text));
    }
    if (captions) over.append(...captionsOf(shown.filter((mark) => !mark.faint), view, unit));
  };
  made.remark(marks);
  return made;
}

// what is written at each box, of those that lie on top first: above it, in it or below it, where no other words are; where there
// is no such place it is left to the tooltip. Words that are longer than the picture is wide end with an ellipsis.
function captionsOf(marks, view, unit) {
  const [high, letter, edge] = [15 * unit, 7.1 * unit, 6 * unit];
  const most = Math.max(1, Math.floor((view[2] - edge) / letter));
  const placed = [];
  const made = [];
  for (const { box, kind, text } of [...marks].reverse()) {
    const words = text.length > most ? `${text.slice(0, most - 1)}…` : text;
    const wide = letter * words.length + edge;
    const left = Math.max(view[0], Math.min(box[0], view[0] + view[2] - wide));
    const top = [box[1] - high, box[1], box[3], box[3] - high].find((top) =>
      top >= view[1] && top + high <= view[1] + view[3] && placed.every(([x, y, width]) => left >= x + width || x >= left + wide || Math.abs(top - y) >= high));
    if (top === undefined) continue;
    placed.push([left, top, wide]);
    const look = { y: top + 11.5 * unit, "font-size": 12 * unit, class: `caption-text ${kind}` };
    // letters may be wider than was thought
    if (words.length > most - 2) Object.assign(look, { textLength: wide - edge, lengthAdjust: "spacingAndGlyphs" });
    made.unshift(svg("rect", { x: left, y: top, width: wide, height: high, class: `caption ${kind}` }), svg("text", { x: left + 3 * unit, ...look }, words));
  }
  return made;
}

const sidesOf = (picture) => picture.sides ?? [{ name: "", marks: picture.marks }];

// all sides of a picture, each `pixels` wide; `remark(picture)` puts other boxes over them
function drawnSides(picture, options) {
  const drawings = sidesOf(picture).map(({ marks }) => drawnPicture(picture, { ...options, marks }));
  const named = drawings.map((drawing, i) => (picture.sides ? element("span", "", { className: "side" }, element("b", picture.sides[i].name), drawing) : drawing));
  const made = element("span", "", { className: "sides" }, ...named);
  made.drawings = drawings;
  made.remark = (picture) => sidesOf(picture).forEach(({ marks }, i) => drawings[i].remark(marks));
  return made;
}

// the surroundings of a box, a square that lies inside the picture as far as it fits
function around(box, picture, margin = 0.35, least = 0.12 * Math.max(picture.width, picture.height)) {
  const side = Math.max(least, (1 + 2 * margin) * Math.max(box[2] - box[0], box[3] - box[1]));
  const inside = (middle, length) => (side >= length ? (length - side) / 2 : Math.max(0, Math.min(length - side, middle - side / 2)));
  return [inside((box[0] + box[2]) / 2, picture.width), inside((box[1] + box[3]) / 2, picture.height), side, side];
}

function crop(picture, mark, others = true) {
  return drawnPicture(picture, { view: around(mark.box, picture), pixels: 110, sharp: true, marks: others ? picture.marks.filter((one) => one !== mark).concat(mark) : [mark] });
}

// One dialog a page. `open(place, count, pictureAt)`: pictureAt(place) gives a picture, `details` what stands beside it.
function pictureDialog({ details = () => [] } = {}) {
  const dialog = element("dialog", "", { className: "large", "aria-label": "picture" });
  const shown = { place: 0, count: 0, pictureAt: null, hidden: new Set(), captions: true };
  const title = element("h3");
  const stage = element("div", "", { className: "stage" });
  const beside = element("div", "", { className: "beside" });
  const go = (way) => {
    const place = shown.place + way;
    if (place < 0 || place >= shown.count) return;
    shown.place = place;
    draw();
    dialog.scrollTop = 0;
  };
  const previous = pressable("← previous", () => go(-1));
  const next = pressable("next →", () => go(1));
  const toggles = KINDS.map((kind) => {
    const button = pressable("", () => {
      if (!shown.hidden.delete(kind)) shown.hidden.add(kind);
      draw();
    });
    button.append(element("i", "", { className: `swatch ${kind}` }), kind);
    return [kind, button];
  });
  const words = pressable("words", () => ((shown.captions = !shown.captions), draw()), "what is written at each box");
  const bar = element("div", "", { className: "bar-of-dialog" }, previous, next, ...toggles.map(([, button]) => button), words, pressable("close", () => dialog.close()));
  const pair = element("div", "", { className: "pair" }, stage, beside);
  dialog.append(bar, title, pair);
  document.body.append(dialog);

  function draw() {
    const picture = shown.pictureAt(shown.place);
    title.textContent = picture.title;
    previous.disabled = shown.place === 0;
    next.disabled = shown.place === shown.count - 1;
    toggles.forEach(([kind, button]) => {
      button.hidden = !sidesOf(picture).some(({ marks }) => marks.some((mark) => mark.kind === kind));
      button.setAttribute("aria-pressed", !shown.hidden.has(kind));
    });
    words.setAttribute("aria-pressed", shown.captions);
    beside.replaceChildren(...picture.lines.map((line) => element("p", line)), ...details(picture, shown.place));
    // as wide as there is room, as high as can be seen at once
    pair.classList.toggle("below", sidesOf(picture).length > 1);
    const whole = Math.max(200, stage.clientWidth || 600);
    const room = whole < 560 ? whole : (whole - 10 * (sidesOf(picture).length - 1)) / sidesOf(picture).length;
    const pixels = Math.min(room, (0.78 * innerHeight * picture.width) / picture.height, 2.5 * picture.width);
    const made = drawnSides(picture, { view: [0, 0, picture.width, picture.height], pixels, captions: shown.captions, kinds: KINDS.filter((kind) => !shown.hidden.has(kind)), sharp: true });
    for (const drawing of made.drawings) drawing.style.width = `${pixels}px`;
    stage.replaceChildren(made);
  }
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowRight") go(1);
    else if (event.key === "ArrowLeft") go(-1);
    else return;
    event.preventDefault();
  });
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  addEventListener("resize", () => dialog.open && draw());
  dialog.openAt = (place, count, pictureAt) => {
    Object.assign(shown, { place, count, pictureAt });
    dialog.showModal();
    draw();
  };
  return dialog;
}
