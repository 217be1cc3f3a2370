// What is in the data: classes, sizes, shapes, numbers, and where objects lie.

function drawClasses() {
  const total = data.splits.map((split) => split.perClass.reduce((a, b) => a + b, 0) || 1);
  const most = Math.max(...data.splits.flatMap((split, s) => split.perClass.map((n) => n / total[s])), 1e-9);
  const rows = data.classNames.map((name, label) => ({ name, label }));
  const columns = [{ title: "class", value: (row) => row.name, left: true }];
  data.splits.forEach((split, s) => {
    columns.push({ title: split.name, value: (row) => split.perClass[row.label], text: (row) => whole(split.perClass[row.label]), share: (row) => split.perClass[row.label] / total[s] / most, help: `objects in ${split.name}` });
    columns.push({ title: `% of ${split.name}`, value: (row) => split.perClass[row.label] / total[s], text: (row) => percent(split.perClass[row.label] / total[s]), help: `share of the objects in ${split.name}` });
    columns.push({ title: `images of ${split.name}`, value: (row) => split.imagesOfClass[row.label], text: (row) => whole(split.imagesOfClass[row.label]), help: `images of ${split.name} with an object of the class` });
  });
  return sortableTable({ label: "classes", columns, rows, sort: data.splits[0].name, search: rows.length > 12 });
}

function drawSplits() {
  const rows = [
    ["images", (one) => whole(one.images)],
    ["without objects", (one) => whole(one.withoutObjects)],
    ["objects", (one) => whole(one.objects)],
    ["crowd or difficult", (one) => whole(one.crowds)],
    ["small, under 32²", (one) => percent(one.perSize[0] / (one.objects || 1))],
    ["medium, under 96²", (one) => percent(one.perSize[1] / (one.objects || 1))],
    ["large", (one) => percent(one.perSize[2] / (one.objects || 1))],
  ];
  const head = element("tr", "", {}, element("th", ""), ...data.splits.map((split) => element("th", split.name, { scope: "col" })));
  const lines = rows.map(([name, text]) => element("tr", "", {}, element("th", name, { scope: "row", className: "left" }), ...data.splits.map((split) => element("td", text(split)))));
  return element("div", "", { className: "scroll splits" }, element("table", "", { "aria-label": "splits" }, element("thead", "", {}, head), element("tbody", "", {}, ...lines)));
}

function distribution(title, name, x, hint) {
  const { edges, shares } = data.distributions[name];
  return histogram({ title, edges, series: data.splits.map((split) => ({ name: split.name, counts: shares[split.name] })), x, y: { label: "share", text: (value) => percent(value) }, hint });
}

function drawContents() {
  const ratio = (value) => (value < 1 ? `1:${short(1 / value)}` : `${short(value)}:1`);
  content("contents").append(
    drawSplits(),
    drawClasses(),
    element("div", "", { className: "panels" },
      distribution("Size of objects", "sides", { label: `√area at image_size=${data.imageSize}, pixels`, log: true }, "The square root of a box's area, where the image's long side is brought to the model's."),
      distribution("Shape of objects", "aspects", { label: "width : height", log: true, text: ratio }, "Left of 1:1 upright, right of it lying."),
      distribution("Objects in an image", "numbers", { label: "objects" }, "Images with so many objects."),
    ),
  );
}

async function drawPositions() {
  const side = data.distributions.grid;
  const cells = side * side;
  const maps = await Promise.all(data.splits.map((split) => unpack(data.distributions.maps[split.name])));
  const has = maps[0].length > cells; // a map for each class
  let layer = 0;
  const figures = data.splits.map((split, s) => {
    const values = () => maps[s].subarray(layer * cells, (layer + 1) * cells);
    const most = () => Math.max(1, values().reduce((a, b) => Math.max(a, b), 0));
    const figure = heatMap({
      title: split.name,
      rows: range(side).map(() => ""),
      columns: range(side).map(() => ""),
      values: values(),
      tone: (i, j, value) => value / most(),
      text: () => "",
      say: (i, j, value) => `${percent((j + 0.5) / side, 0)} from the left, ${percent((i + 0.5) / side, 0)} from the top: ${counted(value, "object")}`,
      hint: "The stronger the colour, the more objects cover that part of the image.",
      widest: 14,
    });
    figure.again = () => figure.update(values());
    return figure;
  });
  const place = content("positions");
  if (has) {
    const options = [[0, "all classes"], ...data.classNames.map((name, label) => [label + 1, name])];
    place.append(element("p", "", { className: "row" }, selection({ label: "class", options, value: 0, changed: (value) => {
      layer = Number(value);
      figures.forEach((figure) => figure.again());
    } })));
  }
  place.append(element("div", "", { className: "panels" }, ...figures));
}

drawContents();
drawPositions();
