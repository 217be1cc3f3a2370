// What either group makes of an image: boxes of the first run from the score of its best F1 on, and what the filters ask for.

const [RIGHT, WRONG, IGNORED] = [1, 2, 3]; // of a detection
const corners = (box, row) => [box[4 * row], box[4 * row + 1], box[4 * row] + box[4 * row + 2], box[4 * row + 1] + box[4 * row + 3]];
const sidesNow = () => [REFERENCE, state.other];
const imageName = (image) => (images.file[image] ? images.file[image].split(/[\\/]/).at(-1) : `image ${images.id[image]}`);
const costOf = (group, image) => group.cost[image];

// calls see(detection, object) for each detection of a group in an image, and see(−1, object) for each object that it does not
// find, until one gives true
function visit(group, image, see) {
  const { offsets, object } = group.detections;
  for (let d = offsets[image]; d < offsets[image + 1]; d++) if (see(d, object[d])) return true;
  for (let o = images.objects[image]; o < images.objects[image + 1]; o++) if (!group.found[o] && !objects.ignored[o] && see(-1, o)) return true;
  return false;
}

const labelAt = (group, d, o) => (d >= 0 ? group.detections.label[d] : objects.label[o]);
const stateAt = (group, d) => (d >= 0 ? group.detections.state[d] : 0);

// what an object or a detection must be, seen from one side: (group, other, d, o) -> bool
const ASKED = {
  both: ["objects that both find", (group, other, d, o) => stateAt(group, d) === RIGHT && other.found[o]],
  first: ["objects that A alone finds", (group, other, d, o) => (group === REFERENCE ? stateAt(group, d) === RIGHT && !other.found[o] : d < 0 && other.found[o])],
  second: ["objects that the other alone finds", (group, other, d, o) => (group === REFERENCE ? d < 0 && other.found[o] : stateAt(group, d) === RIGHT && !other.found[o])],
  neither: ["objects that neither finds", (group, other, d, o) => d < 0 && !other.found[o]],
  wrongFirst: ["wrong detections of A", (group, other, d) => group === REFERENCE && stateAt(group, d) === WRONG],
  wrongSecond: ["wrong detections of the other", (group, other, d) => group !== REFERENCE && stateAt(group, d) === WRONG],
};

function fits(group, d, o) {
  const { asked, label, kind } = { asked: state.filters.asked, label: state.filters.class, kind: state.filters.kind };
  if (label !== null && labelAt(group, d, o) !== label) return false;
  if (asked && !ASKED[asked][1](group, group === REFERENCE ? state.other : REFERENCE, d, o)) return false;
  if (!kind) return true;
  if (group !== kind.group) return false;
  return kind.name === "missed" ? d < 0 && group.missed[o] === 1 : d >= 0 && stateAt(group, d) === WRONG && group.detections.kind[d] === KIND_NAMES.indexOf(kind.name);
}

const isFiltered = () => state.filters.asked || state.filters.class !== null || state.filters.kind;
const isChosen = (image) => !isFiltered() || sidesNow().some((group) => visit(group, image, (d, o) => fits(group, d, o)));

function marksOf(group, image) {
  const { detections } = group;
  const marks = [];
  visit(group, image, (d, o) => {
    const faint = !fits(group, d, o);
    const name = CLASSES[labelAt(group, d, o)];
    if (d < 0) marks.push({ box: corners(objects.box, o), kind: "missed", text: `missed ${name}`, faint, o });
    else {
      const became = detections.state[d];
      const said = `${name} ${detections.score[d].toFixed(2)}`;
      const text = became === RIGHT ? `✓ ${said}` : became === IGNORED ? `${said} (ignored)` : `✗ ${said}: ${KIND_NAMES[detections.kind[d]]}`;
      marks.push({ box: corners(detections.box, d), kind: ["", "right", "wrong", "ignored"][became], text, faint, o });
    }
  });
  const order = ["ignored", "right", "missed", "wrong"]; // right ones first, so that others lie over them
  return marks.sort((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind));
}

function pictureOf(image) {
  const sides = sidesNow().map((group) => ({ name: nameOf(group), marks: marksOf(group, image) }));
  const number = (marks, kind) => `${marks.filter((mark) => mark.kind === kind).length} ${kind}`;
  const cost = (value) => (value ? value.toPrecision(2) : "0");
  return {
    width: images.size[2 * image + 1], height: images.size[2 * image], source: data.pictures[image] ?? null, file: data.links[image] || null, turned: data.turned,
    title: imageName(image), sides, image,
    lines: [
      ...sidesNow().map((group, i) => `${letterOf(group)}: ${["right", "wrong", "missed"].map((kind) => number(sides[i].marks, kind)).join(", ")}; costs ${cost(costOf(group, image))} AP`),
    ],
  };
}
