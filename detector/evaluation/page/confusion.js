// Which class is taken for which at the threshold, with the background; a cell opens its images.

const MOST_CONFUSIONS = 40;

function buildConfusion() {
  const k = CLASSES.length;
  let shade = "row";
  const rowNames = [...CLASSES, "background"];
  const columnNames = [...CLASSES, "not detected"];
  let rowSums, columnSums, largest;
  const total = () => {
    rowSums = new Float64Array(k + 1);
    columnSums = new Float64Array(k + 1);
    largest = 1;
    for (let i = 0; i <= k; i++)
      for (let j = 0; j <= k; j++) {
        const value = counts.matrix[i * (k + 1) + j];
        rowSums[i] += value;
        columnSums[j] += value;
        largest = Math.max(largest, value);
      }
  };
  const of = { row: (i) => rowSums[i], column: (i, j) => columnSums[j], largest: () => largest };
  const tone = (i, j, value) => (value ? value / of[shade](i, j) : 0);
  const words = (i, j) => {
    if (i === k) return `${CLASSES[j]} detected on background`;
    if (j === k) return `${CLASSES[i]} not detected`;
    return i === j ? `${CLASSES[i]} found` : `${CLASSES[i]} detected as ${CLASSES[j]}`;
  };
  const say = (i, j, value) => {
    if (i === k && j === k) return "background that is not detected is not counted";
    const shares = [i < k && `${percent(ratio(value, rowSums[i]))} of the ${counted(rowSums[i], "object")}`, j < k && `${percent(ratio(value, columnSums[j]))} of the ${counted(columnSums[j], "detection")}`];
    return `${words(i, j)}: ${whole(value)}, ${shares.filter(Boolean).join(", ")}`;
  };
  const press = (i, j) => filterCell(i, j, words(i, j));
  const map = heatMap({
    title: "Annotated and detected", rows: rowNames, columns: columnNames, rowTitle: "annotated", columnTitle: "detected", values: new Int32Array((k + 1) ** 2),
    tone, second: (i, j) => i !== j, say, press, widest: k > 30 ? 11 : 58, hint: "press a cell, or Enter on it, for its images",
  });
  const table = sortableTable({
    label: "most frequent confusions", rows: [], sort: "number", choose: (row) => press(row.i, row.j), empty: "none at this threshold",
    columns: [
      { title: "annotated", value: (row) => rowNames[row.i], left: true },
      { title: "detected", value: (row) => columnNames[row.j], left: true },
      { title: "number", value: (row) => row.value, text: (row) => whole(row.value) },
      { title: "of annotated", value: (row) => row.share, text: (row) => (row.i === k ? "" : percent(row.share)) },
    ],
  });
  const draw = () => {
    total();
    map.update(counts.matrix);
    const rows = [];
    for (let i = 0; i < k; i++)
      for (let j = 0; j < k; j++) {
        const value = counts.matrix[i * (k + 1) + j];
        if (i !== j && value) rows.push({ i, j, value, share: value / rowSums[i] });
      }
    table.show(rows.sort((a, b) => b.value - a.value).slice(0, MOST_CONFUSIONS));
  };
  content("confusion").append(
    element("p", "", { className: "row no-print" }, choice({
      label: "shade by the share of", value: shade, changed: (value) => ((shade = value), draw()),
      options: [["row", "the annotated class", "rows sum up to 100 %: recall on the diagonal"], ["column", "the detected class", "columns sum up to 100 %: precision on the diagonal"], ["largest", "the largest number"]],
    })),
    element("div", "", { className: `beside-table${k > 12 ? " many" : ""}` }, map, element("div", "", {}, element("h3", "Classes taken for one another"), table)),
    element("p", "A detection that found an object of its class lies on the diagonal. A wrong one is set against the object of another class that it overlaps most with the IoU above and that nothing else has found; without one it lies on background. Each row sums up to the objects of its class.", { className: "hint" }),
  );
  listen("confusion", ["threshold"], draw);
}
