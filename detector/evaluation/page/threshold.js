// The bar that stays in sight: score, IoU and the class that is highlighted, and what they give.

function buildThreshold() {
  const step = 0.001;
  const slider = numberSlider({
    label: "score ≥", low: data.lowest_score, high: 1, step, value: state.score, changed: (score) => setThreshold(score),
    help: "detections with a lower score are not shown",
  });
  slider.set(state.score);
  const iou = selection({
    label: "IoU ≥", options: IOUS.map((value, t) => [t, value.toFixed(2)]), value: state.iou, changed: (t) => setThreshold(state.score, Number(t)),
  });
  const chosen = selection({
    label: "class", options: [["", "all"], ...CLASSES.map((name, k) => [k, name])], value: "", changed: (k) => choose(k === "" ? null : Number(k)),
  });
  const goTo = (score) => {
    slider.set(Math.max(data.lowest_score, score));
    setThreshold(Math.max(data.lowest_score, score));
  };
  const best = pressable("best F1", () => goTo(bestScore()));
  const summary = element("p", "", { className: "summary", "aria-live": "polite" });
  const bestScore = () => {
    const points = state.chosen === null ? data.operating_points.overall : { threshold: data.operating_points.per_class.threshold[state.chosen] };
    return points.threshold[state.iou];
  };
  const draw = () => {
    const now = measured(state.chosen);
    const score = bestScore();
    best.disabled = score === null;
    best.title = score === null ? "nothing is found" : `the score with the best F1 of ${state.chosen === null ? "all classes together" : CLASSES[state.chosen]} at IoU ${iouText()}: ${score.toFixed(4)}`;
    chosen.set(state.chosen ?? "");
    summary.replaceChildren(
      element("b", state.chosen === null ? "all classes" : CLASSES[state.chosen]),
      element("span", ` at score ≥ ${scoreText()} and IoU ≥ ${iouText()}:`, { className: "print-only" }),
      ` precision ${fixed(now.precision)}, recall ${fixed(now.recall)}, F1 ${fixed(now.f1)}: `,
      element("span", `${whole(now.right)} right`, { className: "tone right" }), ", ",
      element("span", `${whole(now.wrong)} wrong`, { className: "tone wrong" }), ", ",
      element("span", `${whole(now.missed)} missed`, { className: "tone missed" }),
    );
  };
  document.querySelector("nav").append(element("div", "", { className: "threshold" }, slider, best, iou, chosen), summary);
  listen(null, ["threshold", "chosen"], draw);
}
