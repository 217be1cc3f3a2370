// The images, sorted by how much more one group loses in them than the other, with the boxes of both beside each other.

state.filters = { asked: "", class: null, kind: null };
const filterDrawings = [];
const onFilter = (draw) => filterDrawings.push(draw);
function setFilter(name, value, show = true) {
  state.filters[name] = value;
  for (const draw of filterDrawings) draw();
  if (!show) return;
  byId("images").scrollIntoView({ block: "start" });
  byId("images").focus({ preventScroll: true });
}
const filterClass = (label, show = true) => setFilter("class", label, show);
const filterKind = (name, group) => name && setFilter("kind", { name, group });

const SORTS = {
  either: ["the largest difference in cost", (image) => -Math.abs(costOf(state.other, image) - costOf(REFERENCE, image))],
  second: ["costs the other more than A", (image) => costOf(REFERENCE, image) - costOf(state.other, image)],
  first: ["costs A more than the other", (image) => costOf(state.other, image) - costOf(REFERENCE, image)],
  order: ["the order of the data", (image) => image],
};
let ordered = [];

// of the whole data, or of the class that is asked for
function countAsked() {
  const counts = Object.fromEntries(Object.keys(ASKED).map((asked) => [asked, 0]));
  const label = state.filters.class;
  for (let o = 0; o < objects.label.length; o++) {
    if (objects.ignored[o] || (label !== null && objects.label[o] !== label)) continue;
    const [first, second] = sidesNow().map((group) => group.found[o]);
    counts[first ? (second ? "both" : "first") : second ? "second" : "neither"]++;
  }
  for (const [group, asked] of [[REFERENCE, "wrongFirst"], [state.other, "wrongSecond"]])
    group.detections.state.forEach((became, d) => (counts[asked] += became === WRONG && (label === null || group.detections.label[d] === label)));
  return counts;
}

function buildImages() {
  let sortBy = "either";
  const details = (picture) => {
    const crops = picture.sides.flatMap((side, i) => {
      const other = sidesNow()[1 - i];
      return side.marks
        .filter((mark) => (mark.kind === "right" && !other.found[mark.o]) || (mark.kind === "wrong" && !mark.faint))
        .map((mark) => element("figure", "", {}, crop({ ...picture, marks: side.marks }, mark), element("figcaption", `${letterOf(sidesNow()[i])}: ${mark.text}`)));
    });
    if (!crops.length) return [element("p", "No object that one alone finds, no wrong detection.", { className: "hint" })];
    return [element("h3", "What one alone finds, and wrong detections"), element("div", "", { className: "crops" }, ...crops.slice(0, 60))];
  };
  const dialog = pictureDialog({ details });
  const pictureAt = (place) => pictureOf(ordered[place]);
  const grid = imageGrid({ label: "images", pictureAt, across: 2, open: (place) => dialog.openAt(place, ordered.length, pictureAt), empty: "No image has such a box." });
  const counted_ = element("b");
  const filtered = element("span");
  const scores = element("p", "", { className: "hint" });
  const table = barList({ title: "Press a bar for its images", bars: [], press: ({ asked }) => setFilter("asked", state.filters.asked === asked ? "" : asked, false), chosen: (bar) => bar.asked === state.filters.asked });
  const sort = selection({ label: "sorted by", options: Object.entries(SORTS).map(([key, [text]]) => [key, text]), value: sortBy, changed: (value) => ((sortBy = value), draw()) });
  const classes = selection({ label: "of class", options: [["", "any"], ...CLASSES.map((name, k) => [k, name])], value: "", changed: (k) => filterClass(k === "" ? null : Number(k), false) });
  content("images").append(
    table, element("p", "", { className: "row no-print" }, classes, sort),
    element("p", "", { className: "row" }, counted_, filtered),
    legendOf([["right", "right"], ["wrong", "wrong"], ["missed", "missed"], ["ignored", "ignored: counts neither way"]].map(([kind, text]) => [element("i", "", { className: `swatch ${kind}` }), text])),
    grid, scores,
  );

  function draw() {
    const counts = countAsked();
    const other = letterOf(state.other);
    table.update(Object.entries(ASKED).map(([asked, [text]]) => ({
      asked, name: text.replace("the other", other), value: counts[asked], text: whole(counts[asked]), tone: asked.startsWith("wrong") ? "wrong" : asked === "neither" ? "missed" : "right",
    })));
    const key = SORTS[sortBy][1];
    const values = Float64Array.from(range(images.count), key);
    ordered = range(images.count).filter(isChosen).sort((a, b) => values[a] - values[b] || a - b);
    counted_.textContent = `${whole(ordered.length)} of ${counted(images.count, "image")}`;
    const { asked, class: label, kind } = state.filters;
    filtered.replaceChildren(chips([
      ...(asked ? [[ASKED[asked][0].replace("the other", other), () => setFilter("asked", "", false)]] : []),
      ...(label === null ? [] : [[CLASSES[label], () => filterClass(null, false)]]),
      ...(kind ? [[`${kind.name} errors of ${letterOf(kind.group)}`, () => setFilter("kind", null, false)]] : []),
    ]));
    classes.set(label ?? "");
    scores.textContent = `Boxes are those of the first run of a group (${sidesNow().map((group) => `${letterOf(group)}: seed ${group.seeds[0]}, score ≥ ${group.score === null ? "–" : group.score.toFixed(3)}`).join("; ")}), from the score on with which its F1 over all images is highest. Right is what COCO's matching gives an object of its class at IoU 0.5. The cost of an image is by how much AP of that run would rise if the image were right.`;
    grid.show(ordered.length);
  }
  drawnFor(() => {
    if (state.filters.kind && !sidesNow().includes(state.filters.kind.group)) state.filters.kind = null;
    draw();
  });
  onFilter(draw);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "f" || event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName) || document.querySelector("dialog[open]")) return;
    byId("images").scrollIntoView({ block: "start" });
    grid.focus({ preventScroll: true });
  });
}
