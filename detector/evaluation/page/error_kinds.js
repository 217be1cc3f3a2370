// Kinds of errors as TIDE defines them, with the AP that each costs, and oLRP.

function buildErrorKinds() {
  const { tide, olrp } = data;
  const kinds = Object.keys(KIND_MEANINGS);
  let shown = [];
  const shownOf = (kind) => (kind === "missed" ? shown.missed : shown[KIND_NAMES.indexOf(kind)]);
  const bars = () => [
    ...kinds.map((kind) => ({
      name: kind, kind, value: tide.delta_ap[kind], tone: kind === "missed" ? "missed" : "wrong", help: KIND_MEANINGS[kind],
      text: `${fixed(tide.delta_ap[kind])} · ${whole(shownOf(kind))} of ${whole(tide.counts[kind])}`,
    })),
    ...["false_positives", "false_negatives"].map((kind) => ({
      name: `all ${kind.replace("_", " ")}`, kind, value: tide.delta_ap[kind], text: fixed(tide.delta_ap[kind]),
      help: kind === "false_positives" ? "if no detection were wrong" : "if no object were missed",
    })),
  ];
  const list = barList({
    title: "What each kind of error costs, ΔAP50", bars: [], press: ({ kind }) => filterKind(kind),
    hint: `AP50 is ${fixed(tide.ap)} and would be higher by so much if errors of this kind alone were put right (TIDE, Bolya et al. 2020). Beside it: how many there are at the threshold, of those at any score. Press a bar for its images.`,
  });
  const components = [
    ["oLRP", "olrp", "all of it"], ["localisation", "localisation", "mean 1 − IoU of what is found"],
    ["false positives", "false_positives", "1 − precision"], ["false negatives", "false_negatives", "1 − recall"],
  ];
  const olrpBars = () => barList({
    title: `oLRP of ${state.chosen === null ? "all classes" : CLASSES[state.chosen]}, lower is better`, low: 0, high: 1,
    bars: components.map(([name, key, help]) => {
      const value = state.chosen === null ? olrp[key] : olrp.per_class[key][state.chosen];
      return { name, help, value, text: fixed(value) };
    }),
    hint: "At the score of each class that makes it lowest (Oksuz et al. 2018): 1 where nothing is found, 0 where everything is, without a false detection, at IoU 1.",
  });
  const holder = element("div", "", {}, olrpBars());
  const rows = range(CLASSES.length).map((label) => ({ label }));
  const table = sortableTable({
    label: "error kinds by class", rows, search: CLASSES.length > 12, choose: (row) => choose(row.label), chosen: (row) => row.label === state.chosen,
    columns: [
      { title: "class", value: (row) => CLASSES[row.label], left: true },
      { title: "AP50", value: (row) => tide.per_class.ap[row.label], text: (row) => fixed(tide.per_class.ap[row.label]) },
      ...kinds.map((kind) => ({
        title: kind, help: `ΔAP50: ${KIND_MEANINGS[kind]}`, value: (row) => tide.per_class.delta_ap[kind][row.label],
        text: (row) => fixed(tide.per_class.delta_ap[kind][row.label]), share: (row) => tide.per_class.delta_ap[kind][row.label],
      })),
      { title: "oLRP", value: (row) => olrp.per_class.olrp[row.label], text: (row) => fixed(olrp.per_class.olrp[row.label]) },
    ],
  });
  content("kinds").append(
    element("div", "", { className: "panels" }, list, holder),
    element("h3", "By class"), table,
    element("p", "Kinds are those at IoU 0.5, whatever the IoU above.", { className: "hint" }),
  );
  listen("kinds", ["threshold"], () => {
    const numbers = new Int32Array(KIND_NAMES.length);
    for (let d = 0; d < detections.count; d++) if (detections.score[d] >= state.score) numbers[detections.kind[d]]++;
    let missed = 0;
    for (let o = 0; o < objects.count; o++) missed += isMissedKind(o);
    shown = Object.assign([...numbers], { missed });
    list.update(bars());
  });
  listen("kinds", ["chosen"], () => {
    holder.replaceChildren(olrpBars());
    table.mark();
  });
}

// TIDE's missed objects do not depend on the score: no detection of any score is about them
const isMissedKind = (o) => objects.missed[o] && !objects.ignored[o];
