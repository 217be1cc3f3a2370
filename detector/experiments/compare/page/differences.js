// How far the groups lie from the reference: of one measure all groups, of one group all measures; and what each group reaches.

const verdictText = (one) => `${signed(one.value)}${one.verdict === "undecided" ? "" : ` ${one.verdict}`}`;

function buildDifferences() {
  let measure = "AP";
  const place = content("differences");
  const measured = data.measures.filter((name) => isNumber(REFERENCE.measures[name]));
  const panels = element("div", "", { className: "panels wide" });
  if (hasIntervals) place.append(forestLegend());
  if (OTHERS.length > 1) {
    const measures = choice({ label: "measure", options: measured.map((name) => [name, name]), value: measure, changed: (name) => ((measure = name), draw()) });
    const groups = selection({ label: "compared with the reference", options: OTHERS.map((one, i) => [i, nameOf(one)]), value: 0, changed: (i) => compareWith(OTHERS[i]) });
    const all = forestPlot({
      title: "", rows: [], press: (row) => compareWith(row.group), chosen: (row) => row.group === state.other,
      hint: "Press a group to compare it with the reference in all that follows.",
    });
    const draw = () => {
      all.update(`${measure} minus ${measure} of ${nameOf(REFERENCE)}`, OTHERS.map((group) => ({
        group, name: nameOf(group), difference: group.differences[measure], text: verdictText(group.differences[measure]),
      })));
      groups.set(OTHERS.indexOf(state.other));
    };
    drawnFor(draw);
    place.append(element("p", "", { className: "row no-print" }, measures, groups));
    panels.append(all);
  }
  const own = forestPlot({ title: "", rows: [] });
  panels.append(own);
  const table = sortableTable({ label: "differences by measure", rows: [], columns: measureColumns() });
  place.append(panels, table);
  drawnFor(() => {
    const rows = measured.map((name) => ({ name, first: REFERENCE.measures[name], second: state.other.measures[name], difference: state.other.differences[name] }));
    own.update(`${nameOf(state.other)} minus ${nameOf(REFERENCE)}`, rows.map((row) => ({ name: row.name, difference: row.difference, text: verdictText(row.difference) })));
    table.show(rows);
  });
  place.append(element("p", data.explained ?? "No resamples were drawn: differences of means, without intervals.", { className: "hint" }));
}

// columns of rows { first, second, difference }
const numberColumn = (title, value, help) => ({ title, value, text: (row) => fixed(value(row)), help });
const betweenColumn = (title, bounds, help) => ({ title, value: (row) => bounds(row)?.[0] ?? null, text: (row) => betweenText(bounds(row)), help });
const pColumn = (title, name, help) => ({ title, value: (row) => row.difference[name], text: (row) => pText(row.difference[name]), help });
const apColumns = () => [
  numberColumn("A", (row) => row.first, "the reference, mean over its runs"),
  numberColumn(OTHERS.length > 1 ? "other" : "B", (row) => row.second, "the group that is compared with it"),
  { title: "difference", value: (row) => row.difference.value, text: (row) => signed(row.difference.value) },
];
const verdictColumns = () => [
  pColumn("corrected p", "corrected", "for the number of comparisons (Holm 1979)"),
  { title: "verdict", value: (row) => row.difference.verdict },
];
const measureColumns = () => [
  { title: "measure", value: (row) => row.name, left: true }, ...apColumns(),
  ...(hasIntervals ? [
    betweenColumn("95 % over images", (row) => row.difference.images), betweenColumn("and over seeds", (row) => row.difference.seeds),
    pColumn("p", "p"), ...verdictColumns(),
  ] : []),
];

// every group with what it reaches and costs
function buildGroups() {
  const told = ({ mean, deviation, digits }) => (isNumber(mean) ? mean.toFixed(digits) + (deviation ? ` ± ${deviation.toFixed(digits)}` : "") : "–");
  const table = sortableTable({
    label: "groups", rows: data.groups, choose: compareWith, chosen: (group) => group === state.other,
    columns: [
      { title: "group", value: nameOf, left: true },
      { title: "seeds", value: (group) => group.seeds.length, text: (group) => group.seeds.join(", ") },
      ...data.columns.map((title, i) => ({ title, value: (group) => group.columns[i].mean, text: (group) => told(group.columns[i]) })),
    ],
  });
  content("groups").append(table, element("p", "Means over the runs of a group, ± their standard deviation. A is the reference.", { className: "hint" }));
  drawnFor(() => table.mark());
}
