// Lines over an axis, with a legend and the numbers under the pointer; arrow keys walk along a line and from one to another.

const [CHART_WIDTH, CHART_HEIGHT] = [460, 300];

// about five round numbers, or powers of ten, from low to high
function ticks(low, high, log = false) {
  if (log) {
    const [from, to] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
    const step = Math.max(1, Math.ceil((to - from) / 6));
    return range(Math.floor((to - from) / step) + 1).map((i) => 10 ** (from + i * step)).filter((value) => value >= low && value <= high);
  }
  const rough = (high - low) / 5 || 1;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((factor) => factor * unit >= rough * (1 - 1e-9)) * unit;
  const first = Math.ceil(low / step - 1e-9);
  return range(Math.floor(high / step + 1e-9) - first + 1).map((i) => (first + i) * step);
}

function scale(low, high, from, to, log = false) {
  const place = log ? Math.log10 : (value) => value;
  return (value) => from + ((place(value) - place(low)) / (place(high) - place(low) || 1)) * (to - from);
}

// an axis as given, its ends taken from the numbers where they are not
function axisOf(axis, values) {
  const used = values.filter((value) => isNumber(value) && (!axis.log || value > 0));
  let low = axis.low ?? used.reduce((a, b) => Math.min(a, b), Infinity);
  let high = axis.high ?? used.reduce((a, b) => Math.max(a, b), -Infinity);
  if (!isNumber(low)) low = axis.log ? 0.1 : 0;
  if (!isNumber(high)) high = axis.log ? 1 : low + 1;
  if (low === high) [low, high] = axis.log ? [low / 2, high * 2] : [low - 0.5, high + 0.5];
  return { label: "", log: false, text: short, ...axis, low, high };
}

// the frame of a chart: the lines of the grid, numbers beside them, and the place of a value in pixels
function axes(x, y, hasLegendBelow = false) {
  const widest = Math.max(...ticks(y.low, y.high, y.log).map((value) => y.text(value).length), 2);
  const box = { left: 20 + 6.4 * widest + (y.label ? 6 : -8), right: CHART_WIDTH - 10, top: 10, bottom: CHART_HEIGHT - (x.label ? 38 : 22) };
  const placeX = scale(x.low, x.high, box.left, box.right, x.log);
  const placeY = scale(y.low, y.high, box.bottom, box.top, y.log);
  const drawing = svg("g");
  for (const value of ticks(y.low, y.high, y.log))
    drawing.append(
      svg("path", { d: `M${box.left} ${placeY(value)}H${box.right}`, class: "grid-line" }),
      svg("text", { x: box.left - 5, y: placeY(value) + 4, "text-anchor": "end" }, y.text(value)),
    );
  let last = -Infinity;
  for (const value of ticks(x.low, x.high, x.log)) {
    const [at, name] = [placeX(value), x.text(value)];
    if (at - last < 6.2 * name.length + 8) continue;
    last = at;
    const anchor = at > box.right - 3.2 * name.length ? "end" : "middle";
    drawing.append(svg("text", { x: anchor === "end" ? box.right + 8 : at, y: box.bottom + 16, "text-anchor": anchor }, name));
  }
  if (x.label) drawing.append(svg("text", { x: (box.left + box.right) / 2, y: CHART_HEIGHT - 5, "text-anchor": "middle" }, x.label));
  if (y.label) drawing.append(svg("text", { "text-anchor": "middle", transform: `translate(12 ${(box.top + box.bottom) / 2}) rotate(-90)` }, y.label));
  drawing.append(svg("path", { d: `M${box.left} ${box.top}V${box.bottom}H${box.right}`, class: "axis-line" }));
  return { box, placeX, placeY, drawing };
}

function legendOf(entries) {
  return element("ul", "", { className: "legend" }, ...entries.map(([sample, name]) => element("li", "", {}, sample, name)));
}

// x, y: { label, low, high, log, text: value -> text }
// series: { name, x: [], y: [], colour: 0..7, quiet: thin and grey, not in the legend; points: a mark at each }
// rules: { x or y: value, name }: a line across, with both a point, of the series' colour; diagonal: from corner to corner; say: (series, place) -> text of the readout
// press: called with the series that is pressed
function lineChart({ title, x, y, series, rules = [], diagonal = false, say = null, press = null, hint = "" }) {
  const readout = element("p", hint, { className: "readout", "aria-live": "polite" });
  const legend = element("div");
  const drawing = svg("svg", { viewBox: `0 0 ${CHART_WIDTH} ${CHART_HEIGHT}`, role: "img", tabindex: 0, "aria-label": `${title}: arrow keys read the lines` });
  const made = element("figure", "", { className: "chart" }, element("figcaption", title), drawing, legend, readout);
  let drawn = null;
  let place = null;
  const across = svg("g");
  let at = null; // [series, place] under the pointer or the keys
  const dot = svg("circle", { r: 4.5, class: "dot", visibility: "hidden" });

  function draw() {
    const own = [[x, "x"], [y, "y"]].map(([axis, name]) => axisOf(axis, isNumber(axis.low) && isNumber(axis.high) ? [] : series.flatMap((one) => [...one[name]])));
    const frame = axes(...own);
    const { box, placeX, placeY } = frame;
    const fits = (value, axis) => isNumber(value) && (!axis.log || value > 0);
    const lines = svg("g");
    if (diagonal) lines.append(svg("path", { d: `M${box.left} ${box.bottom}L${box.right} ${box.top}`, class: "rule" }));
    const loud = series.filter((one) => !one.quiet);
    drawn = [];
    for (const one of [...series.filter((other) => other.quiet), ...loud]) {
      let path = "";
      let joined = false;
      const points = [];
      for (let i = 0; i < one.x.length; i++) {
        const inside = fits(one.x[i], own[0]) && fits(one.y[i], own[1]);
        if (inside) {
          const [left, top] = [placeX(one.x[i]), placeY(one.y[i])];
          path += `${joined ? "L" : "M"}${Math.round(10 * left) / 10} ${Math.round(10 * top) / 10}`;
          points.push([left, top, i]);
        }
        joined = inside; // a line ends where the numbers do
      }
      const i = one.colour ?? loud.indexOf(one);
      const look = one.quiet ? { class: "line quiet" } : { class: "line", stroke: colour(i), "stroke-dasharray": dash(i) };
      lines.append(svg("path", { d: path, ...look }));
      if (one.points || points.length === 1)
        for (const [left, top] of points) lines.append(svg("circle", { cx: left, cy: top, r: 3, fill: one.quiet ? "var(--quiet)" : colour(i) }));
      drawn.push({ one, points });
    }
    place = frame;
    drawing.replaceChildren(frame.drawing, lines, across, dot);
    drawRules();
    legend.replaceChildren();
    if (loud.length > 1 || (loud.length === 1 && series.length > 1))
      legend.append(legendOf(loud.map((one, place) => {
        const i = one.colour ?? place;
        const look = { stroke: colour(i), "stroke-dasharray": dash(i), class: "line" };
        return [svg("svg", { width: 28, height: 12, "aria-hidden": "true" }, svg("path", { d: "M1 6H27", ...look })), one.name];
      })));
    tell();
  }

  // apart from the lines, as they may move while those stay
  function drawRules() {
    const { box, placeX, placeY } = place;
    across.replaceChildren();
    const known = (value) => value === undefined || isNumber(value); // a precision where nothing was found is none
    for (const rule of rules.filter((one) => known(one.x) && known(one.y))) {
      if (isNumber(rule.x) && isNumber(rule.y)) {
        const [left, top] = [placeX(rule.x), placeY(rule.y)];
        across.append(tooltip(svg("path", { d: `M${left} ${top - 7}l7 7l-7 7l-7-7Z`, class: "point", fill: isNumber(rule.colour) ? colour(rule.colour) : "var(--accent)" }), rule.name));
        continue;
      }
      const path = rule.x === undefined ? `M${box.left} ${placeY(rule.y)}H${box.right}` : `M${placeX(rule.x)} ${box.top}V${box.bottom}`;
      across.append(tooltip(svg("path", { d: path, class: "rule" }), rule.name));
      if (rule.x !== undefined) {
        const end = placeX(rule.x) > (box.left + box.right) / 2;
        across.append(svg("text", { x: placeX(rule.x) + (end ? -4 : 4), y: box.top + 10, "text-anchor": end ? "end" : "start", class: "small" }, rule.name));
      }
    }
  }

  function tell() {
    const entry = at && drawn.find(({ one }) => one.name === at[0]);
    const point = entry?.points.find(([, , i]) => i === at[1]);
    dot.setAttribute("visibility", point ? "visible" : "hidden");
    readout.textContent = point ? words(entry.one, at[1]) : hint;
    if (point) {
      dot.setAttribute("cx", point[0]);
      dot.setAttribute("cy", point[1]);
    }
  }
  const words = (one, i) =>
    say ? say(one, i) : `${one.name}: ${x.label || "x"} ${(x.text ?? short)(one.x[i])}, ${y.label || "y"} ${(y.text ?? short)(one.y[i])}`;

  function nearest(event) {
    const frame = drawing.getBoundingClientRect();
    const [left, top] = [((event.clientX - frame.left) * CHART_WIDTH) / frame.width, ((event.clientY - frame.top) * CHART_HEIGHT) / frame.height];
    let best = null;
    let distance = 30 ** 2;
    for (const { one, points } of drawn)
      for (const [x, y, i] of points) {
        const now = (x - left) ** 2 + (y - top) ** 2 * (one.quiet ? 1.5 : 1); // of two equally near the loud one
        if (now < distance) [best, distance] = [[one.name, i], now];
      }
    return best;
  }
  drawing.addEventListener("pointermove", (event) => ((at = nearest(event)), tell()));
  drawing.addEventListener("pointerleave", () => ((at = null), tell()));
  drawing.addEventListener("click", (event) => {
    at = nearest(event);
    tell();
    if (at && press) press(series.find((one) => one.name === at[0]));
  });
  drawing.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && at && press) press(series.find((one) => one.name === at[0]));
    const way = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowUp: [1, 0], ArrowDown: [-1, 0] }[event.key];
    const full = drawn.filter(({ points }) => points.length);
    if (!way || !full.length) return;
    const line = at ? full.findIndex(({ one }) => one.name === at[0]) : full.length - 1;
    const { one, points } = full[(line + way[0] + full.length) % full.length];
    const place = at ? Math.max(0, points.findIndex(([, , i]) => i >= at[1])) : 0;
    at = [one.name, points[Math.max(0, Math.min(points.length - 1, place + (at ? way[1] : 0)))][2]];
    tell();
    event.preventDefault();
  });
  made.update = (changed) => {
    if (changed.rules) rules = changed.rules;
    if (changed.series) series = changed.series;
    if (changed.title) made.firstChild.textContent = changed.title;
    if (changed.series) draw();
    else drawRules();
  };
  draw();
  return made;
}
