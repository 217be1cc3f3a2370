// What was measured, as typed arrays, and what is chosen at the moment.

const CLASSES = data.classes.name;
const IOUS = data.iou_thresholds;
const KIND_NAMES = ["right", "classification", "localisation", "both", "duplicate", "background", "ignored"];
const KIND_MEANINGS = {
  classification: "a box at the right place (IoU ≥ 0.5) of an object of another class",
  localisation: "of the right class, but badly placed (IoU 0.1 to 0.5)",
  both: "of another class and badly placed",
  duplicate: "of an object that a detection of a better score has found already",
  background: "at a place without an object (IoU < 0.1)",
  missed: "an object that no detection is about",
};

let images, objects, detections, candidates, curves, bins;

async function load() {
  const columns = async (group) => Object.fromEntries(await Promise.all(
    Object.entries(group).map(async ([name, one]) => [name, one?.zlib === undefined ? one : await unpack(one)]),
  ));
  [images, objects, detections, candidates, curves] = await Promise.all(
    [data.images, data.objects, data.detections, data.candidates, data.curves].map(columns),
  );
  bins = await Promise.all(data.subsets.map((one) => unpack(one.bin_of_object)));
  const owners = (offsets, count) => {
    const owner = new Int32Array(count);
    for (let i = 0; i + 1 < offsets.length; i++) owner.fill(i, offsets[i], offsets[i + 1]);
    return owner;
  };
  objects.count = objects.label.length;
  detections.count = detections.score.length;
  images.count = images.id.length;
  objects.image = owners(images.object_offsets, objects.count);
  detections.image = owners(images.detection_offsets, detections.count);
  // the candidates of detection d are the rows candidates.start[d] up to candidates.start[d + 1]
  candidates.start = new Int32Array(detections.count + 1);
  for (const d of candidates.detection) candidates.start[d + 1]++;
  for (let d = 0; d < detections.count; d++) candidates.start[d + 1] += candidates.start[d];
}

const state = {
  score: 0.5,
  iou: 0, // place in IOUS
  chosen: null, // class that is highlighted
  filters: {}, // name -> { text, fits: (detection or -1, object or -1) -> bool }
};
let counts = null; // at this score and IoU

// `what`: "threshold" (score or IoU), "iou", "chosen", "filters". Each part of the page says to which of them it listens and
// in which section it is (null: always in sight); a part out of sight is drawn when its section comes into sight.
const listeners = [];
const inSight = new Set([null]);
const listen = (section, to, draw) => listeners.push({ section, to, draw, due: new Set() });
function announce(...what) {
  if (what.includes("threshold")) counts = countAt(state.score, state.iou);
  for (const { to, due } of listeners) for (const one of what) if (to.includes(one)) due.add(one);
  catchUp((section) => inSight.has(section));
}
function catchUp(isNow) {
  for (const { section, draw, due } of listeners)
    if (due.size && isNow(section)) {
      const what = [...due];
      due.clear();
      draw(what);
    }
}
const observer = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) inSight[isIntersecting ? "add" : "delete"](target.id);
    if (counts) catchUp((section) => inSight.has(section));
  },
  { rootMargin: "600px" },
);
addEventListener("beforeprint", () => catchUp(() => true));

function setThreshold(score, iou = state.iou) {
  const what = iou === state.iou ? ["threshold"] : ["threshold", "iou"];
  Object.assign(state, { score, iou });
  announce(...what);
}

function choose(label) {
  state.chosen = label;
  announce("chosen");
}

const iouText = (iou = state.iou) => IOUS[iou].toFixed(2);
const scoreText = () => String(+state.score.toFixed(4));
const ratio = (part, whole) => (whole ? part / whole : NaN);
const f1Of = (right, wrong, wanted) => ratio(2 * right, right + wrong + wanted);
