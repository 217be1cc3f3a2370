// Where AP is lost: by properties of objects, and by class; each bar opens its images.

function buildSubsets() {
  const measures = { ap: "AP", ap50: "AP50", recall: "recall over IoU 0.50 to 0.95", recall50: "recall at IoU 0.50", now: "recall at the threshold" };
  let measure = "ap";
  const found = bins.map((bin, i) => () => {
    const numbers = new Int32Array(256);
    for (let o = 0; o < objects.count; o++) if (counts.object[o] === FOUND) numbers[bin[o]]++;
    return data.subsets[i].objects.map((wanted, b) => ratio(numbers[b], wanted));
  });
  const barsOf = (one, i) => {
    const values = measure === "now" ? found[i]() : one[measure];
    return one.bins.map((name, b) => ({
      name, b, value: values[b], text: `${fixed(values[b])} · ${whole(one.objects[b])}`,
      help: `${counted(one.objects[b], "object")} in ${counted(one.images[b], "image")}`,
    }));
  };
  const lists = data.subsets.map((one, i) => barList({
    title: one.name[0].toUpperCase() + one.name.slice(1), bars: [], low: 0, high: 1, hint: one.meaning,
    press: (bar) => filterBin(i, bar.b), chosen: (bar) => state.filters.bin?.key === `${i} ${bar.b}`,
  }));
  const classBars = () => {
    const values = range(CLASSES.length).map((label) =>
      measure === "now" ? measured(label).recall : { ap: data.classes.AP, ap50: data.classes.AP50 }[measure]?.[label] ?? NaN);
    return range(CLASSES.length)
      .filter((label) => data.classes.objects[label] > 0)
      .sort((a, b) => values[a] - values[b])
      .map((label) => ({ name: CLASSES[label], label, value: values[label], text: `${fixed(values[label])} · ${whole(data.classes.objects[label])}` }));
  };
  const classes = barList({
    title: "Class, the worst first", bars: [], low: 0, high: 1, press: (bar) => filterClass(bar.label), chosen: (bar) => state.filters.class?.key === String(bar.label),
    hint: "Recall without a threshold is not measured by class.",
  });
  classes.classList.add("long");
  const draw = () => {
    lists.forEach((list, i) => list.update(barsOf(data.subsets[i], i)));
    classes.update(classBars());
  };
  content("subsets").append(
    element("p", "", { className: "row no-print" }, choice({ label: "show", options: Object.entries(measures), value: measure, changed: (value) => ((measure = value), draw()) })),
    element("div", "", { className: "panels" }, ...lists, classes),
    element("p", "Beside each bar: its value and the number of objects. Press a bar for its images.", { className: "hint" }),
  );
  listen("subsets", ["threshold"], () => measure === "now" && draw());
  listen("subsets", ["filters"], () => [...lists, classes].forEach((list) => list.mark()));
  draw();
}
