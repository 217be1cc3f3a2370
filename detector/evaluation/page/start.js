// The data is unpacked first; then each part of the page is built, and told of the threshold.

async function start() {
  await load();
  state.score = Math.max(data.lowest_score, data.operating_points.overall.threshold[0] ?? 0.5);
  counts = countAt(state.score, state.iou);
  for (const build of [buildThreshold, buildClassTable, buildCurves, buildConfusion, buildErrorKinds, buildCalibration, buildSubsets, buildImages, buildLabelErrors]) build();
  announce("threshold", "iou", "chosen", "filters");
  for (const section of document.querySelectorAll("main > section")) observer.observe(section);
  document.body.dataset.ready = "true";
}

start().catch((error) => {
  document.querySelector("header").append(element("p", `The page cannot be drawn (${error.message}). It needs a browser of 2023 or later.`, { className: "failed" }));
  throw error;
});
