// The images, sorted and filtered; what a cell, a bar or a kind of error asks for comes here.

let grid, imageDialog, filterChips, imageCount;
let ordered = [];
let sortBy = "cost";
const SORTS = {
  cost: ["AP that they cost", (i) => -images.cost[i]],
  errors: ["errors at the threshold", (i) => -(counts.wrongIn[i] + counts.missedIn[i])],
  wrong: ["wrong detections", (i) => -counts.wrongIn[i]],
  missed: ["missed objects", (i) => -counts.missedIn[i]],
  f1: ["F1, lowest first", (i) => f1Of(counts.rightIn[i], counts.wrongIn[i], counts.rightIn[i] + counts.missedIn[i])],
  data: ["the order of the data", () => 0],
};

function setFilter(name, filter, show = true) {
  if (filter) state.filters[name] = filter;
  else delete state.filters[name];
  announce("filters");
  if (show) {
    catchUp((section) => section === "images");
    byId("images").scrollIntoView({ block: "start" });
    byId("images").focus({ preventScroll: true });
  }
}

const filterClass = (label, show = true) =>
  setFilter("class", label === null ? null : {
    key: String(label), text: CLASSES[label], fits: (d, o) => (d >= 0 && detections.label[d] === label) || (o >= 0 && objects.label[o] === label),
  }, show);

// of the confusion matrix: annotated class i, detected class j; the last of each is background and not detected
function filterCell(i, j, text) {
  const k = CLASSES.length;
  setFilter("cell", {
    key: `${i} ${j}`, text,
    fits: (d, o) => {
      if (i === k) return d >= 0 && counts.detection[d] === WRONG && o < 0 && detections.label[d] === j;
      if (j === k) return d < 0 && counts.object[o] === MISSED && objects.label[o] === i;
      return d >= 0 && counts.detection[d] !== IGNORED && o >= 0 && objects.label[o] === i && detections.label[d] === j;
    },
  });
}

const WANTED_KINDS = {
  right: (d) => d >= 0 && counts.detection[d] === RIGHT,
  false_positives: (d) => d >= 0 && counts.detection[d] === WRONG,
  false_negatives: (d, o) => (d < 0 ? counts.object[o] === MISSED || counts.object[o] === TAKEN : false),
  missed: (d, o) => d < 0 && isMissedKind(o) === 1,
};
const KIND_TEXTS = { right: "right", false_positives: "wrong", false_negatives: "missed", missed: "missed by every detection" };
const kindFits = (kind) => WANTED_KINDS[kind] ?? ((d) => d >= 0 && counts.detection[d] !== NOT_SHOWN && detections.kind[d] === KIND_NAMES.indexOf(kind));
const filterKind = (kind, show = true) => setFilter("kind", kind ? { key: kind, text: KIND_TEXTS[kind] ?? `${kind} errors`, fits: kindFits(kind) } : null, show);

function filterBin(subset, bin) {
  const { name, bins: texts } = data.subsets[subset];
  setFilter("bin", { key: `${subset} ${bin}`, text: `${name} ${texts[bin]}`, fits: (d, o) => o >= 0 && bins[subset][o] === bin });
}

// images with a box that meets all filters
function chosenImages() {
  const all = !Object.keys(state.filters).length;
  const fits = filterTest();
  const chosen = range(images.count).filter((image) => all || visit(image, fits));
  const values = new Float64Array(images.count);
  for (const image of chosen) values[image] = SORTS[sortBy][1](image);
  return chosen.sort((a, b) => values[a] - values[b] || a - b);
}

function buildImages() {
  const errorsOf = (picture) => {
    const marks = picture.marks.filter((mark) => (mark.kind === "wrong" || mark.kind === "missed") && !mark.faint);
    if (!marks.length) return [element("p", "No error at this threshold.", { className: "hint" })];
    const crops = marks.reverse().slice(0, 60).map((mark) => element("figure", "", {}, crop(picture, mark), element("figcaption", mark.text)));
    return [element("h3", counted(marks.length, "error")), element("div", "", { className: "crops" }, ...crops)];
  };
  imageDialog = pictureDialog({ details: errorsOf });
  const pictureAt = (place) => pictureOf(ordered[place]);
  grid = imageGrid({ label: "images", pictureAt, open: (place) => imageDialog.openAt(place, ordered.length, pictureAt), empty: "No image has such a box at this threshold." });
  filterChips = element("span");
  imageCount = element("b");
  const kinds = selection({
    label: "with a box that is", options: [["", "any"], ...["right", "false_positives", "false_negatives"].map((kind) => [kind, KIND_TEXTS[kind]]), ...Object.keys(KIND_MEANINGS).map((kind) => [kind, KIND_TEXTS[kind] ?? kind])],
    value: "", changed: (kind) => filterKind(kind || null, false),
  });
  const classes = selection({ label: "of class", options: [["", "any"], ...CLASSES.map((name, k) => [k, name])], value: "", changed: (k) => filterClass(k === "" ? null : Number(k), false) });
  const sort = selection({ label: "sorted by", options: Object.entries(SORTS).map(([key, [text]]) => [key, text]), value: sortBy, changed: (value) => ((sortBy = value), draw()) });
  content("images").append(
    element("p", "", { className: "row no-print" }, kinds, classes, sort),
    element("p", "", { className: "row" }, imageCount, filterChips),
    legendOf([["right", "right"], ["wrong", "wrong"], ["missed", "missed"], ["ignored", "ignored: counts neither way"]].map(([kind, text]) => [element("i", "", { className: `swatch ${kind}` }), text])),
    grid,
  );

  function draw() {
    ordered = chosenImages();
    imageCount.textContent = `${whole(ordered.length)} of ${counted(images.count, "image")}`;
    filterChips.replaceChildren(chips(Object.entries(state.filters).map(([name, { text }]) => [text, () => setFilter(name, null, false)])));
    kinds.set(state.filters.kind?.key ?? "");
    classes.set(state.filters.class?.key ?? "");
    grid.show(ordered.length);
  }
  // what is in sight stays there where the same images come in the same order
  listen("images", ["threshold", "filters"], (what) => {
    const before = ordered;
    if (what.includes("filters")) return draw();
    ordered = chosenImages();
    if (ordered.length === before.length && ordered.every((image, place) => image === before[place])) grid.refresh();
    else draw();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "f" || event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName) || document.querySelector("dialog[open]")) return;
    byId("images").scrollIntoView({ block: "start" });
    grid.focus({ preventScroll: true });
  });
}
