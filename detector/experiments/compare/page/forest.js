// A forest plot: a line for each difference with a dot, a thick bar over images and a thin line over images and seeds.

// the ends of a scale that holds 0, all differences and their intervals, as far as a difference of APs can be
function forestScale(differences) {
  const values = differences.flatMap((one) => [one.value, ...(one.images ?? []), ...(one.seeds ?? [])]).filter(isNumber).map((value) => Math.max(-1, Math.min(1, value)));
  const most = Math.max(...values.map(Math.abs), 1e-3);
  return { low: Math.min(0, ...values) - 0.04 * most, high: Math.max(0, ...values) + 0.04 * most };
}

function forestTrack(one, { low, high }) {
  const place = (value) => (100 * (Math.max(low, Math.min(high, value)) - low)) / (high - low);
  const part = (className, from, to = from) => Object.assign(element("i", "", { className }), { style: `left: ${place(from)}%; width: ${place(to) - place(from)}%` });
  const track = element("span", "", { className: "track forest" }, part("zero", 0));
  if (one.seeds) track.append(part("over-seeds", ...one.seeds));
  if (one.images) track.append(part("over-images", ...one.images));
  if (isNumber(one.value)) track.append(part(one.verdict === "undecided" ? "dot" : `dot ${one.verdict}`, one.value));
  return track;
}

function forestAxis(scale) {
  const axis = element("span", "", { className: "forest-axis" });
  for (const value of ticks(scale.low, scale.high)) {
    const tick = element("span", Math.abs(value) < 1e-9 ? "0" : signed(value, value > -0.01 && value < 0.01 ? 3 : 2));
    tick.style.left = `${(100 * (value - scale.low)) / (scale.high - scale.low)}%`;
    axis.append(tick);
  }
  return axis;
}

// rows: { name, difference, text, help }; press: called with the row
function forestPlot({ title, rows, press = null, chosen = () => false, hint = "" }) {
  const list = element("div", "", { className: "bar-list" });
  const caption = element("figcaption", title);
  const made = element("figure", "", { className: "chart bars forest-plot" }, caption, list);
  if (hint) made.append(element("p", hint, { className: "hint" }));
  made.update = (title, rows) => {
    const scale = forestScale(rows.map((row) => row.difference));
    caption.textContent = title;
    list.replaceChildren(...rows.map((row) => {
      const line = element(press ? "button" : "div", "", { className: "bar", title: row.help ?? "" });
      if (press) Object.assign(line, { type: "button", onclick: () => press(row), ariaPressed: String(chosen(row)) });
      line.append(element("span", row.name, { className: "name" }), forestTrack(row.difference, scale), element("span", row.text, { className: "value" }));
      return line;
    }), element("div", "", { className: "bar" }, element("span"), forestAxis(scale), element("span")));
  };
  made.update(title, rows);
  return made;
}

const forestLegend = () => legendOf([
  [element("i", "", { className: "sample dot" }), "difference"],
  [element("i", "", { className: "sample over-images" }), "95 % over images"],
  ...(hasSeeds ? [[element("i", "", { className: "sample over-seeds" }), "95 % over images and seeds"]] : []),
]);
