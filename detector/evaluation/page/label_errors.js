// Annotations that may be wrong, each as a crop; none of them moves with the threshold.

const SUSPICIONS = {
  "missing annotation": "a confident detection at a place without an object",
  "wrong class": "a confident detection of another class over an object that nothing else has found",
  "duplicate annotation": "two annotations of one class at one place",
  "two classes": "annotations of two classes at one place",
};

// How many of the cases the detector has found again in the mirrored image, where it was asked.
function told(cases) {
  const asked = cases.filter((one) => one.stable === true || one.stable === false);
  const again = asked.filter((one) => one.stable).length;
  return asked.length ? ` Those that are found in the mirrored image too, ${whole(again)} of ${whole(asked.length)}, come before the others.` : "";
}

function buildLabelErrors() {
  const { counts: numbers, cases } = data.label_errors;
  const kinds = Object.keys(SUSPICIONS).filter((kind) => numbers[kind]);
  const section = content("labels");
  if (!kinds.length) {
    section.append(element("p", "None: no confident detection contradicts an annotation, and no two annotations are at one place.", { className: "hint" }));
    return;
  }
  let shown = [];
  const boxes = ({ detection, object, other_object: other }) => [
    ...[object, other].filter((o) => o !== null).map((o) => ({ box: corners(objects.box, o), kind: "annotated", text: `annotated ${className(objects.label[o])}` })),
    ...(detection === null ? [] : [{ box: corners(detections.box, detection), kind: "wrong", text: `detected ${className(detections.label[detection])} ${detections.score[detection].toFixed(2)}` }]),
  ];
  const pictureAt = (place) => {
    const one = shown[place];
    const own = boxes(one);
    const inside = new Set([one.object, one.other_object].filter((o) => o !== null));
    const others = range(images.object_offsets[one.image + 1] - images.object_offsets[one.image]).map((o) => images.object_offsets[one.image] + o).filter((o) => !inside.has(o));
    const marks = [...others.map((o) => ({ box: corners(objects.box, o), kind: "annotated", text: className(objects.label[o]), faint: true })), ...own];
    const picture = pictureOf(one.image, marks);
    const wide = [0, 1, 2, 3].map((side) => (side < 2 ? Math.min : Math.max)(...own.map(({ box }) => box[side])));
    const about = one.score === null ? `IoU ${fixed(one.iou, 2)}` : `score ${fixed(one.score, 2)}${one.iou === null ? "" : `, IoU ${fixed(one.iou, 2)}`}`;
    const again = { true: "found in the mirrored image too", false: "not found in the mirrored image" }[one.stable];
    return { ...picture, view: own.length ? around(wide, picture, 0.6) : undefined, title: own.at(-1)?.text ?? imageName(one.image), lines: [about, again, imageName(one.image)].filter(Boolean) };
  };
  const dialog = pictureDialog();
  const list = imageGrid({ label: "suspected label errors", pictureAt, open: (place) => dialog.openAt(place, shown.length, pictureAt) });
  const words = element("p", "", { className: "hint" });
  const show = (kind) => {
    shown = cases.filter((one) => one.kind === kind);
    words.textContent = `${SUSPICIONS[kind]}; the most suspicious first${shown.length < numbers[kind] ? `, ${whole(shown.length)} of ${whole(numbers[kind])}` : ""}.${told(shown)} Dashed blue: annotated; orange: detected.`;
    list.show(shown.length);
  };
  section.append(
    element("p", "", { className: "row no-print" }, choice({ label: "kind", options: kinds.map((kind) => [kind, `${kind} (${whole(numbers[kind])})`, SUSPICIONS[kind]]), value: kinds[0], changed: show })),
    words, list,
  );
  show(kinds[0]);
}
