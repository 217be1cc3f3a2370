// Whether a score is the share of detections that are right.

function buildCalibration() {
  const { edges, overall, per_class: perClass } = data.calibration;
  const of = (label) => Object.fromEntries(Object.entries(perClass).map(([name, values]) => [name, values[label]]));
  const line = (name, one, number) => ({ name, x: one.confidence.filter(isNumber), y: one.precision.filter(isNumber), points: true, colour: number, counts: one.count.filter(Boolean) });
  const diagram = lineChart({
    title: "Reliability", x: { label: "mean score", low: 0, high: 1 }, y: { label: "share that is right", low: 0, high: 1 }, series: [], diagonal: true,
    say: (one, i) => `${one.name}: of ${counted(one.counts[i], "detection")} with a mean score of ${fixed(one.x[i])}, ${percent(one.y[i])} are right`,
    hint: "on the dotted line a score is the share that is right; below it the detector is too sure of itself",
  });
  const bars = histogram({
    title: "Detections by score", edges, series: [], x: { label: "score" }, y: { label: "detections", log: true, low: 0.8 },
    say: (bin, where) => `score ${where}: ${counted((state.chosen === null ? overall : of(state.chosen)).count[bin], "detection")}`,
  });
  const words = element("p");
  const table = sortableTable({
    label: "calibration by class", search: CLASSES.length > 12, sort: "ECE", rows: range(CLASSES.length).map((label) => ({ label })),
    choose: (row) => choose(row.label), chosen: (row) => row.label === state.chosen,
    columns: [
      { title: "class", value: (row) => CLASSES[row.label], left: true },
      { title: "detections", value: (row) => sum(perClass.count[row.label]), text: (row) => whole(sum(perClass.count[row.label])) },
      { title: "ECE", value: (row) => perClass.ece[row.label], text: (row) => fixed(perClass.ece[row.label]), share: (row) => perClass.ece[row.label] },
    ],
  });
  content("calibration").append(words, element("div", "", { className: "panels" }, diagram, bars, element("div", "", {}, element("h3", "By class"), table)));
  const draw = () => {
    const chosen = state.chosen === null ? null : of(state.chosen);
    const one = chosen ?? overall;
    diagram.update({ series: [line("all classes", overall, 0), ...(chosen ? [line(CLASSES[state.chosen], chosen, 1)] : [])] });
    bars.update({ series: [{ name: "detections", counts: one.count.map((count) => count || NaN), colour: chosen ? 1 : 0 }] });
    const gap = sum(one.count.map((count, b) => (count ? count * (one.confidence[b] - one.precision[b]) : 0))) / sum(one.count);
    words.textContent = !isNumber(one.ece)
      ? "There is no detection to judge."
      : `The expected calibration error (ECE) of ${chosen ? CLASSES[state.chosen] : "all classes"} is ${fixed(one.ece)}: so far lies a score from the share that is right, on the average over all ` +
        `detections at IoU 0.5. Scores are ${Math.abs(gap) < 0.005 ? "neither too high nor too low" : `too ${gap > 0 ? "high" : "low"} by ${fixed(Math.abs(gap))}`} on the whole.`;
    table.mark();
  };
  listen("calibration", ["chosen"], draw);
  draw();
}
