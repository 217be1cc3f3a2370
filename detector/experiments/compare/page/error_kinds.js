// Kinds of errors as TIDE defines them, side by side: what each costs in AP50, and how many there are.

const KIND_MEANINGS = {
  classification: "a box at the right place (IoU ≥ 0.5) of an object of another class",
  localisation: "of the right class, but badly placed (IoU 0.1 to 0.5)",
  both: "of another class and badly placed",
  duplicate: "of an object that a detection of a better score has found already",
  background: "at a place without an object (IoU < 0.1)",
  missed: "an object that no detection is about",
  false_positives: "if no detection were wrong",
  false_negatives: "if no object were missed",
};
const KIND_NAMES = ["right", "classification", "localisation", "both", "duplicate", "background", "ignored"];
const EFFECT_NAMES = { false_positives: "all false positives", false_negatives: "all false negatives" };
const meanOf = (values) => (values.every(isNumber) ? values.reduce((a, b) => a + b, 0) / values.length : null);

function buildErrorKinds() {
  const place = content("kinds");
  const effects = Object.keys(KIND_MEANINGS);
  const legend = element("div");
  const several = data.groups.some((one) => one.seeds.length > 1);
  const costs = barList({
    title: "What each kind of error costs, ΔAP50", bars: [], press: ({ kind, group }) => filterKind(kind, group),
    hint: `AP50 would be higher by so much if errors of this kind alone were put right (TIDE, Bolya et al. 2020); beside it how many there are at any score.${several ? " Means over the runs of a group; the line is from its lowest to its highest run." : ""} Press a bar for the images of the first run.`,
  });
  const changes = barList({ title: "", bars: [], hint: "Below 0: it costs less in the other group than in the reference." });
  place.append(legend, element("div", "", { className: "panels wide" }, costs, changes));
  drawnFor(() => {
    const pair = [REFERENCE, state.other];
    legend.replaceChildren(legendOf(pair.map((group, i) => [element("i", "", { className: `sample side-${i}` }), `${nameOf(group)} (AP50 ${fixed(meanOf(group.ap50))})`])));
    costs.update(effects.flatMap((kind) => pair.map((group, i) => {
      const runs = group.deltaAp[kind];
      const count = group.counts[kind] ? ` · ${whole(Math.round(meanOf(group.counts[kind])))}` : "";
      return {
        kind: kind in EFFECT_NAMES ? null : kind, group, name: `${EFFECT_NAMES[kind] ?? kind}, ${letterOf(group)}`, value: meanOf(runs), tone: `side-${i}`,
        low: runs.length > 1 ? Math.min(...runs) : null, high: runs.length > 1 ? Math.max(...runs) : null,
        text: fixed(meanOf(runs)) + count, help: KIND_MEANINGS[kind],
      };
    })));
    changes.update(effects.map((kind) => {
      const [first, second] = pair.map((group) => meanOf(group.deltaAp[kind]));
      const value = isNumber(first) && isNumber(second) ? second - first : null;
      return { name: EFFECT_NAMES[kind] ?? kind, value, text: Math.abs(value) < 5e-4 ? "0.000" : signed(value), help: KIND_MEANINGS[kind], tone: value > 0 ? "wrong" : "right" };
    }));
    changes.querySelector("figcaption").textContent = `ΔAP50 of ${letterOf(state.other)} minus ΔAP50 of ${letterOf(REFERENCE)}`;
  });
}
