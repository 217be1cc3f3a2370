// Bars: a list of names with a bar each, and a histogram.

// bars: { name, value, text, low, high: the ends of an interval, help, tone: a class of the style (right, wrong, missed) }
// press: called with the bar; chosen: bar -> is it marked
function barList({ title, bars, low = null, high = null, press = null, chosen = () => false, hint = "" }) {
  const list = element("div", "", { className: "bar-list" });
  const made = element("figure", "", { className: "chart bars" }, element("figcaption", title), list);
  if (hint) made.append(element("p", hint, { className: "hint" }));

  function draw() {
    const values = bars.flatMap((bar) => [bar.value, bar.low, bar.high]).filter(isNumber);
    const from = low ?? Math.min(0, ...values);
    const to = Math.max(high ?? Math.max(0, ...values), from + 1e-12);
    const place = (value) => (100 * (Math.max(from, Math.min(to, value)) - from)) / (to - from);
    list.replaceChildren(...bars.map((bar) => {
      const line = element(press ? "button" : "div", "", { className: `bar ${bar.tone ?? ""}`, title: bar.help ?? "" });
      if (press) {
        line.type = "button";
        line.setAttribute("aria-pressed", chosen(bar));
        line.onclick = () => {
          press(bar);
          made.mark();
        };
      }
      const track = element("span", "", { className: "track" });
      if (isNumber(bar.value)) {
        const [a, b] = [place(Math.min(0, bar.value)), place(Math.max(0, bar.value))];
        const filled = element("i", "", { className: "filled" });
        Object.assign(filled.style, { left: `${a}%`, width: `${b - a}%` });
        track.append(filled);
      }
      if (from < 0) track.append(Object.assign(element("i", "", { className: "zero" }), { style: `left: ${place(0)}%` }));
      if (isNumber(bar.low) && isNumber(bar.high)) {
        const interval = element("i", "", { className: "interval" });
        Object.assign(interval.style, { left: `${place(bar.low)}%`, width: `${place(bar.high) - place(bar.low)}%` });
        track.append(interval);
      }
      line.append(element("span", bar.name, { className: "name" }), track, element("span", bar.text ?? short(bar.value), { className: "value" }));
      line.bar = bar;
      return line;
    }));
  }
  made.mark = () => press && [...list.children].forEach((line) => line.setAttribute("aria-pressed", chosen(line.bar)));
  made.update = (changed) => {
    bars = changed;
    draw();
  };
  draw();
  return made;
}

// edges: n + 1 numbers; series: { name, counts: n numbers, colour }; rules as in a line chart
// say: (bin, text of its range) -> text of the readout; press: called with the bin
function histogram({ title, edges, series, x = {}, y = {}, rules = [], say = null, press = null, hint = "" }) {
  const readout = element("p", hint, { className: "readout", "aria-live": "polite" });
  const legend = element("div");
  const drawing = svg("svg", { viewBox: `0 0 ${CHART_WIDTH} ${CHART_HEIGHT}`, role: "img", tabindex: 0, "aria-label": `${title}: arrow keys read the bars` });
  const made = element("figure", "", { className: "chart" }, element("figcaption", title), drawing, legend, readout);
  let at = null;
  let columns = [];

  function draw() {
    const own = [axisOf({ low: edges[0], high: edges.at(-1), ...x }, []), axisOf({ low: 0, ...y }, series.flatMap((one) => [...one.counts]))];
    const { box, placeX, placeY, drawing: frame } = axes(...own);
    const shapes = svg("g");
    columns = range(edges.length - 1).map((bin) => {
      const [left, right] = [placeX(edges[bin]), placeX(edges[bin + 1])];
      const width = (right - left) / series.length;
      series.forEach((one, i) => {
        const value = one.counts[bin];
        if (!isNumber(value)) return;
        const top = placeY(Math.min(own[1].high, Math.max(own[1].low, value)));
        const gap = Math.min(1, 0.1 * width);
        shapes.append(svg("rect", { x: left + i * width + gap / 2, y: top, width: Math.max(0.3, width - gap), height: Math.max(0, box.bottom - top), fill: colour(one.colour ?? i) }));
      });
      const whole = svg("rect", { x: left, y: box.top, width: right - left, height: box.bottom - box.top, class: press ? "column pressable" : "column" });
      whole.addEventListener("pointerenter", () => go(bin));
      if (press) whole.addEventListener("click", () => press(bin));
      return whole;
    });
    for (const rule of rules)
      shapes.append(tooltip(svg("path", { d: rule.x === undefined ? `M${box.left} ${placeY(rule.y)}H${box.right}` : `M${placeX(rule.x)} ${box.top}V${box.bottom}`, class: "rule" }), rule.name));
    drawing.replaceChildren(frame, shapes, ...columns);
    legend.replaceChildren();
    if (series.length > 1)
      legend.append(legendOf(series.map((one, i) => [svg("svg", { width: 18, height: 12, "aria-hidden": "true" }, svg("rect", { x: 2, y: 1, width: 12, height: 10, fill: colour(one.colour ?? i) })), one.name])));
    go(at);
  }
  function go(bin) {
    at = bin;
    columns.forEach((column, i) => column.classList.toggle("now", i === bin));
    const text = x.text ?? short;
    if (bin === null || !columns[bin]) readout.textContent = hint;
    else {
      const where = `${text(edges[bin])} to ${text(edges[bin + 1])}`;
      readout.textContent = say ? say(bin, where) : `${where}: ${series.map((one) => (series.length > 1 ? `${one.name} ` : "") + (y.text ?? short)(one.counts[bin])).join(", ")}`;
    }
  }
  drawing.addEventListener("pointerleave", () => go(null));
  drawing.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && at !== null && press) press(at);
    const way = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!way) return;
    go(at === null ? 0 : Math.max(0, Math.min(columns.length - 1, at + way)));
    event.preventDefault();
  });
  made.update = (changed) => {
    edges = changed.edges ?? edges;
    series = changed.series ?? series;
    rules = changed.rules ?? rules;
    draw();
  };
  draw();
  return made;
}
