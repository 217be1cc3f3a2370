// Precision over recall, and precision, recall and F1 over the score; of many classes one can be told from the others.

const COLOURED_CLASSES = 6; // more are grey lines, but for the highlighted one

function buildCurves() {
  const [k, points] = [CLASSES.length, curves.recall_points.length];
  const scores = curves.score_points;
  let lines = "classes";
  const precisionOf = (label, t) => curves.precision.subarray((label * IOUS.length + t) * points, (label * IOUS.length + t + 1) * points);
  const present = range(k).filter((label) => data.classes.objects[label] > 0);
  const mean = (t) => range(points).map((r) => sum(present.map((label) => precisionOf(label, t)[r])) / present.length);
  const few = k <= COLOURED_CLASSES;
  const loud = (label) => few || label === state.chosen;
  const colourOf = (label) => (few ? 1 + label : 1);

  function precisionSeries() {
    if (lines === "IoU thresholds") {
      const levels = range(IOUS.length).filter((t) => t % 2 === 0 || t === state.iou);
      return levels.map((t) => ({ name: `IoU ${iouText(t)}`, x: curves.recall_points, y: state.chosen === null ? mean(t) : precisionOf(state.chosen, t) }));
    }
    const classes = present.map((label) => ({ name: CLASSES[label], x: curves.recall_points, y: precisionOf(label, state.iou), quiet: !loud(label), colour: colourOf(label), label }));
    return k === 1 ? classes : [{ name: "mean of the classes", x: curves.recall_points, y: mean(state.iou), colour: 0 }, ...classes];
  }

  const VALUES = { F1: f1Of, precision: (right, wrong) => ratio(right, right + wrong), recall: (right, wrong, wanted) => ratio(right, wanted) };
  const lineOver = (what, labels) => scores.map((_, s) => {
    let [right, wrong, wanted] = [0, 0, 0];
    for (const label of labels) {
      const place = (label * IOUS.length + state.iou) * scores.length + s;
      right += curves.true[place];
      wrong += curves.false[place];
      wanted += data.classes.objects[label];
    }
    return VALUES[what](right, wrong, wanted);
  });
  const worked = {}; // lines of this measure at this IoU: which of them is highlighted changes more often
  function overScore(what) {
    if (worked[what]?.iou !== state.iou)
      worked[what] = { iou: state.iou, all: lineOver(what, range(k)), classes: present.map((label) => lineOver(what, [label])) };
    const { all, classes } = worked[what];
    const lines = present.map((label, i) => ({ name: CLASSES[label], x: scores, y: classes[i], quiet: !loud(label), colour: colourOf(label), label }));
    return k === 1 ? lines : [{ name: "all classes together", x: scores, y: all, colour: 0 }, ...lines];
  }

  const unit = { low: 0, high: 1 };
  const press = (one) => one.label !== undefined && choose(one.label === state.chosen ? null : one.label);
  const hint = few ? "" : "point at a line to read it, press it to highlight its class";
  const say = (one, i) => `${one.name}: recall ${fixed(one.x[i], 2)}, precision ${fixed(one.y[i])}`;
  const precision = lineChart({ title: "Precision over recall", x: { label: "recall", ...unit }, y: { label: "precision", ...unit }, series: [], say, press, hint });
  const others = ["F1", "precision", "recall"].map((what) =>
    [what, lineChart({ title: `${what[0].toUpperCase()}${what.slice(1)} over the score`, x: { label: "score ≥", ...unit }, y: { label: what, ...unit }, series: [], press, hint })],
  );
  const rules = () => {
    const own = range(k).filter((label) => loud(label) && lines === "classes").map((label) => ({ label, now: measured(label) }));
    precision.update({ rules: own.map(({ label, now }) => ({ x: now.recall, y: now.precision, colour: colourOf(label), name: `${CLASSES[label]} at score ≥ ${scoreText()}: recall ${fixed(now.recall)}, precision ${fixed(now.precision)}` })) });
    for (const [, chart] of others) chart.update({ rules: [{ x: state.score, name: `≥ ${scoreText()}` }] });
  };
  const draw = () => {
    const whose = lines === "classes" ? `at IoU ${iouText()}` : `of ${state.chosen === null ? "the classes' mean" : CLASSES[state.chosen]}`;
    precision.update({ series: precisionSeries(), title: `Precision over recall ${whose}` });
    for (const [what, chart] of others) chart.update({ series: overScore(what) });
    rules();
  };
  content("curves").append(
    element("p", "", { className: "row no-print" }, choice({
      label: "precision over recall, a line for each of the", options: [["classes", "classes"], ["IoU thresholds", "IoU thresholds"]], value: lines,
      changed: (value) => ((lines = value), draw()),
    })),
    element("div", "", { className: "panels wide" }, precision, ...others.map(([, chart]) => chart)),
    element("p", "Precision over recall is COCO's, which AP is the mean of: at each recall the best precision from there on. Diamonds are what the threshold gives. Curves over the score count each detection with at least that score.", { className: "hint" }),
  );
  listen("curves", ["threshold", "iou", "chosen"], (what) => (what.includes("iou") || what.includes("chosen") ? draw() : rules()));
}
