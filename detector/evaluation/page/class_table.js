// Every class with its AP and with what the threshold gives; a press highlights it everywhere.

function buildClassTable() {
  const points = data.operating_points.per_class;
  const rows = range(CLASSES.length).map((k) => ({ k, now: null }));
  const column = (title, value, more = {}) => ({ title, value, text: (row) => fixed(value(row)), ...more });
  const number = (title, values, help) => ({ title, value: (row) => values[row.k], text: (row) => whole(values[row.k]), help });
  const table = sortableTable({
    label: "classes", search: CLASSES.length > 12, sort: "AP", rows: [],
    choose: (row) => choose(row.k), chosen: (row) => row.k === state.chosen,
    columns: [
      { title: "class", value: (row) => CLASSES[row.k], left: true },
      number("objects", data.classes.objects, "annotated objects that are to be found"),
      number("images", data.classes.images, "images with such an object"),
      column("AP", (row) => data.classes.AP[row.k], { share: (row) => data.classes.AP[row.k], help: "mean over IoU 0.50 to 0.95" }),
      column("AP50", (row) => data.classes.AP50[row.k]),
      column("AP75", (row) => data.classes.AP75[row.k]),
      column("precision", (row) => row.now.precision, { help: "at the threshold above" }),
      column("recall", (row) => row.now.recall, { help: "at the threshold above" }),
      column("F1", (row) => row.now.f1, { help: "at the threshold above", share: (row) => row.now.f1 }),
      column("best F1", (row) => points.f1[row.k][state.iou], { help: "of this class, at the IoU above" }),
      column("at score", (row) => points.threshold[row.k][state.iou], { help: "the score that gives it" }),
      column("precision there", (row) => points.precision[row.k][state.iou]),
      column("recall there", (row) => points.recall[row.k][state.iou]),
    ],
  });
  const opened = pressable("images of the highlighted class", () => state.chosen !== null && filterClass(state.chosen));
  const none = pressable("highlight none", () => choose(null));
  content("classes").append(
    element("p", "Press a row to highlight the class in every figure; press a title to sort. Precision, recall and F1 are those at the threshold above.", { className: "hint" }),
    table, element("p", "", { className: "row no-print" }, opened, none),
  );
  listen("classes", ["threshold"], () => {
    for (const row of rows) row.now = measured(row.k);
    table.show(rows);
  });
  listen("classes", ["chosen"], () => {
    table.mark();
    opened.disabled = none.disabled = state.chosen === null;
  });
}
