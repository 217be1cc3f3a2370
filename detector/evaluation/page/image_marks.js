// The boxes of an image at the threshold, and which of them the filters ask for.

const corners = (box, row) => [box[4 * row], box[4 * row + 1], box[4 * row] + box[4 * row + 2], box[4 * row + 1] + box[4 * row + 3]];
const className = (label) => CLASSES[label];

function detectionText(d) {
  const name = `${className(detections.label[d])} ${detections.score[d].toFixed(2)}`;
  if (counts.detection[d] === RIGHT) return `✓ ${name}`;
  if (counts.detection[d] === IGNORED) return `${name} (ignored)`;
  const kind = KIND_NAMES[detections.kind[d]];
  return `✗ ${name}: ${kind === "right" ? "too inexact" : kind}`; // right at IoU 0.5
}

function filterTest() {
  const asked = Object.values(state.filters);
  return (d, o) => asked.every(({ fits }) => fits(d, o));
}

// visits (detection or −1, object or −1) of an image until `see` gives true: each detection that is shown with what it is about,
// and each object that is not found
function visit(image, see) {
  for (let d = images.detection_offsets[image]; d < images.detection_offsets[image + 1]; d++) {
    if (counts.detection[d] === NOT_SHOWN) break;
    if (see(d, counts.about[d])) return true;
  }
  for (let o = images.object_offsets[image]; o < images.object_offsets[image + 1]; o++)
    if (counts.object[o] !== FOUND && see(-1, o)) return true;
  return false;
}

// right ones first, so that others lie over them
function marksOf(image) {
  const marks = [];
  const fits = filterTest();
  visit(image, (d, o) => {
    const state = d >= 0 ? counts.detection[d] : counts.object[o] === NOT_WANTED ? IGNORED : MISSED;
    const faint = !fits(d, o);
    if (d >= 0) marks.push({ box: corners(detections.box, d), kind: ["", "right", "wrong", "ignored"][state], text: detectionText(d), faint, d, o });
    else if (state === IGNORED) marks.push({ box: corners(objects.box, o), kind: "ignored", text: `${className(objects.label[o])} (ignored)`, faint, d, o });
    else marks.push({ box: corners(objects.box, o), kind: "missed", text: `missed ${className(objects.label[o])}`, faint, d, o });
  });
  const order = ["ignored", "right", "missed", "wrong"];
  return marks.sort((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind));
}

const imageName = (image) => (images.file[image] ? images.file[image].split(/[\\/]/).at(-1) : `image ${images.id[image]}`);

function pictureOf(image, marks = marksOf(image)) {
  const number = (kind) => `${{ right: counts.rightIn, wrong: counts.wrongIn, missed: counts.missedIn }[kind][image]} ${kind}`;
  return {
    width: images.size[2 * image + 1], height: images.size[2 * image], source: data.pictures[image] ?? null, file: data.links[image] || null, turned: data.turned,
    title: imageName(image), marks,
    lines: [["right", "wrong", "missed"].map(number).join(", "), `costs ${images.cost[image] ? images.cost[image].toPrecision(2) : "0"} AP`],
  };
}
