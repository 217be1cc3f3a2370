// AP of every class in both groups, with a line of a forest plot each; a press shows the images of the class.

function buildClasses() {
  let scale = { low: -1, high: 1 };
  const numbered = (title, values, help) => ({ title, value: (row) => values[row.k], text: (row) => whole(values[row.k]), help });
  const table = sortableTable({
    label: "classes", search: CLASSES.length > 12, sort: "difference", rows: [],
    choose: (row) => filterClass(row.k, false), chosen: (row) => state.filters.class === row.k,
    columns: [
      { title: "class", value: (row) => CLASSES[row.k], left: true },
      numbered("objects", data.classes.objects, "annotated objects that are to be found"),
      numbered("images", data.classes.images, "images with such an object"),
      ...apColumns(),
      ...(hasIntervals ? [
        { title: "drawn", value: (row) => row.difference.value, cell: (row) => forestTrack(row.difference, scale), help: "one scale for all classes; the line is 0" },
        betweenColumn("95 %", (row) => intervalOf(row.difference), "over images and seeds, where there are several seeds; else over images"), ...verdictColumns(),
      ] : []),
    ],
  });
  const opened = pressable("images of the highlighted class", () => state.filters.class !== null && filterClass(state.filters.class));
  const wide = pressable("highlight none", () => filterClass(null, false));
  content("classes").append(
    element("p", "Press a title to sort, a row to filter the images below by the class.", { className: "hint" }),
    table, element("p", "", { className: "row no-print" }, opened, wide),
  );
  const rows = () => range(CLASSES.length).map((k) => ({ k, first: REFERENCE.classes[k], second: state.other.classes[k], difference: state.other.classDifferences[k] }));
  drawnFor(() => {
    scale = forestScale(state.other.classDifferences);
    table.show(rows());
  });
  onFilter(() => {
    table.mark();
    opened.disabled = wide.disabled = state.filters.class === null;
  });
}
