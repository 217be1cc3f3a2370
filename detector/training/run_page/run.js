// Curves of a run, its validation images, and what was set.

function drawCurves() {
  const place = content("curves");
  if (!data.panels.length) return place.append(element("p", "Nothing is logged yet.", { className: "hint" }));
  const panels = data.panels.map(({ title, log, share, series }) => {
    const end = Math.max(...series.flatMap((one) => one.x));
    const most = Math.max(...series.flatMap((one) => one.y));
    return lineChart({
      title,
      x: { label: "epochs done", low: 0, high: Math.max(end, 1) },
      y: { log, ...(log ? {} : { low: 0 }), ...(share ? { high: Math.min(1, Math.max(0.05, 1.15 * most)) } : {}) },
      series: series.map((one) => ({ ...one, points: one.x.length < 12 })),
      rules: share && data.bestEpoch ? [{ x: data.bestEpoch, name: "best" }] : [],
      hint: series.map((one) => `${one.name} ${short(one.y.at(-1))}`).join(", "),
    });
  });
  place.append(element("div", "", { className: "panels" }, ...panels));
}

function drawImages() {
  const place = content("images");
  if (!data.images.length) return place.append(element("p", "They come with the first evaluation.", { className: "hint" }));
  const dialog = pictureDialog();
  const open = (n) => dialog.openAt(n, data.images.length, (at) => data.images[at]);
  const grid = imageGrid({ label: "validation images", pictureAt: (n) => data.images[n], open, lines: 2 });
  const from = data.imagesEpoch === null ? "the best weights" : `the weights of epoch ${data.imagesEpoch}, the best so far,`;
  place.append(element("p", `What ${from} find with a score of at least 0.3: green is right, orange wrong, dashed yellow an object that was missed, at an IoU of 0.5 as COCO matches.`, { className: "hint" }), grid);
  grid.show(data.images.length);
}

function drawConfiguration() {
  const place = content("configuration");
  place.append(
    element("p", "What is not a default of the options; config.yaml beside this page has everything.", { className: "hint" }),
    sortableTable({
      label: "configuration",
      columns: [
        { title: "key", value: (row) => row.key, left: true },
        { title: "value", value: (row) => row.value, left: true },
        { title: "default", value: (row) => row.default, left: true },
      ],
      rows: data.differences,
      search: data.differences.length > 12,
      empty: "all defaults",
    }),
  );
}

drawCurves();
drawImages();
drawConfiguration();
