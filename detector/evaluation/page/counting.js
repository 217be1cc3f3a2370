// What is right, wrong and missed above a score at an IoU threshold, from the matches of COCO itself. A match does not depend
// on detections of lower scores, so that nothing is matched here.

const [NOT_SHOWN, RIGHT, WRONG, IGNORED] = [0, 1, 2, 3]; // of a detection
const [MISSED, FOUND, TAKEN, NOT_WANTED] = [0, 1, 2, 3]; // of an object; taken: by a detection of another class

// right, wrong [classes]; matrix [(classes + 1)²]: annotated by detected class, background last; of each image: right, wrong,
// missed; detection, object: what became of each; about: the object that a detection has found or taken, −1 for none
function countAt(score, iou) {
  const k = CLASSES.length;
  const made = {
    right: new Int32Array(k), wrong: new Int32Array(k), matrix: new Int32Array((k + 1) ** 2),
    rightIn: new Int32Array(images.count), wrongIn: new Int32Array(images.count), missedIn: new Int32Array(images.count),
    detection: new Uint8Array(detections.count), about: new Int32Array(detections.count).fill(-1), object: new Uint8Array(objects.count),
  };
  const { count, score: scores, label, found } = detections;
  const row = iou * count;
  for (let o = 0; o < objects.count; o++) if (objects.ignored[o]) made.object[o] = NOT_WANTED;
  for (let i = 0; i < images.count; i++) {
    const [start, end, first] = [images.detection_offsets[i], images.detection_offsets[i + 1], images.object_offsets[i]];
    let last = start; // best scores come first
    for (; last < end && scores[last] >= score; last++) {
      const match = found[row + last];
      if (match >= 0) {
        made.detection[last] = RIGHT;
        made.about[last] = first + match;
        made.object[first + match] = FOUND;
        made.right[label[last]]++;
        made.rightIn[i]++;
        made.matrix[label[last] * (k + 2)]++;
      } else made.detection[last] = match === -1 ? WRONG : IGNORED;
    }
    for (let d = start; d < last; d++) {
      if (made.detection[d] !== WRONG) continue;
      made.wrong[label[d]]++;
      made.wrongIn[i]++;
      // the object of another class that it overlaps most, if nothing has found or taken that
      let annotated = k;
      for (let c = candidates.start[d]; c < candidates.start[d + 1]; c++) {
        const o = first + candidates.object[c];
        if (candidates.level[c] < iou || made.object[o] !== MISSED) continue;
        made.object[o] = TAKEN;
        made.about[d] = o;
        annotated = objects.label[o];
        break;
      }
      made.matrix[annotated * (k + 1) + label[d]]++;
    }
    for (let o = first; o < images.object_offsets[i + 1]; o++) {
      if (made.object[o] === MISSED) made.matrix[objects.label[o] * (k + 1) + k]++;
      if (made.object[o] === MISSED || made.object[o] === TAKEN) made.missedIn[i]++;
    }
  }
  return made;
}

const sum = (values) => values.reduce((a, b) => a + b, 0);

// of one class, or of all together
function measured(label = null) {
  const [right, wrong, wanted] = label === null
    ? [sum(counts.right), sum(counts.wrong), sum(data.classes.objects)]
    : [counts.right[label], counts.wrong[label], data.classes.objects[label]];
  return { right, wrong, missed: wanted - right, precision: ratio(right, right + wrong), recall: ratio(right, wanted), f1: f1Of(right, wrong, wanted) };
}
