// Dots over time.  The chart is a slider over its dots, so that keys and a screen reader reach each value.
const HEIGHT = 110, LEFT = 8, RIGHT = 118, TOP = 10, BOTTOM = 22;

function render({ model, el }) {
  const box = root(el, "ect-strip");
  const head = make("div", { class: "ect-strip-head" });
  const title = make("b"), readout = make("span", { class: "ect-readout", "aria-hidden": "true" });
  const frame = make("div", { class: "ect-strip-frame" });
  const note = make("div", { class: "ect-note" });
  head.append(title, readout);
  box.append(head, frame, note);
  let at = -1, values = [], places = [], dots = null;

  const unit = () => model.get("unit") ? ` ${model.get("unit")}` : "";
  const along = (place) => {
    const of = model.get("along_unit");
    return `${model.get("along")} ${numberText(place)}${of ? ` ${of}` : ""}`;
  };
  const said = (index) => {
    const value = Number.isNaN(values[index]) ? "not known" : `${numberText(values[index])}${unit()}`;
    return `${along(places[index])}: ${value}`;
  };

  // By steps: a call with a hundred thousand arguments fails.
  const extremes = (all) => all.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);

  function scales(width) {
    const known = values.filter(Number.isFinite), all = [...known, ...model.get("marks").map(([, value]) => value)];
    let [low, high] = extremes(all);
    const flat = high === low;
    if (flat) { low -= Math.abs(low) * 0.05 || 1; high += Math.abs(high) * 0.05 || 1; }
    const first = places[0], last = places[places.length - 1];
    const x = (place) => LEFT + ((place - first) / (last - first || 1)) * (width - LEFT - RIGHT);
    const y = (value) => TOP + ((high - value) / (high - low)) * (HEIGHT - TOP - BOTTOM);
    return { x, y, low, high, known, flat };
  }

  // Names of levels at the right edge, moved apart where they would meet.
  function marksOf(chart, width, y) {
    const sorted = [...model.get("marks")].sort((a, b) => b[1] - a[1]);
    const middle = sorted.map(([, value]) => y(value));
    const text = [...middle];
    for (let index = 1; index < text.length; index += 1) text[index] = Math.max(text[index], text[index - 1] + 14);
    const over = text.length ? Math.max(0, text[text.length - 1] - (HEIGHT - 4)) : 0;
    sorted.forEach(([name, value], index) => {
      const line = { x1: LEFT, x2: width - RIGHT + 4, y1: middle[index], y2: middle[index], class: "ect-level" };
      chart.append(svg("line", line));
      const place = { x: width - RIGHT + 8, y: text[index] - over + 4 };
      chart.append(svg("text", place, `${name} ${numberText(value)}${unit()}`));
    });
  }

  function draw() {
    values = Array.from(array(model, "data", "float32"));
    places = Array.from(array(model, "places", "float32"));
    at = Math.min(at, values.length - 1);
    title.textContent = model.get("title");
    note.textContent = model.get("note");
    box.hidden = !values.length;
    readout.textContent = "";
    if (!values.length) { frame.replaceChildren(); return; }
    const width = Math.max(260, frame.clientWidth || 600);
    const { x, y, low, high, known, flat } = scales(width);
    const chart = svg("svg", { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, tabindex: 0, role: "slider" });
    const marks = model.get("marks").map(([name, value]) => `${name} ${numberText(value)}${unit()}`).join(", ");
    const [least, most] = extremes(known).map(numberText);
    const range = known.length ? `${known.length} values from ${least} to ${most}${unit()}` : "not known";
    const label = `${model.get("title")}: ${range}${marks ? `; ${marks}` : ""}`;
    const state = { "aria-label": label, "aria-valuemin": 1, "aria-valuemax": values.length, "aria-valuenow": 1 };
    dress(chart, { ...state, "aria-valuetext": said(0) }, "");
    if (known.length) {
      marksOf(chart, width, y);
      if (!marks && flat) chart.append(svg("text", { x: width - RIGHT + 8, y: y(known[0]) + 4 }, `${numberText(known[0])}${unit()}`));
      else if (!marks) {
        chart.append(svg("text", { x: width - RIGHT + 8, y: TOP + 8 }, `${numberText(high)}${unit()}`));
        chart.append(svg("text", { x: width - RIGHT + 8, y: HEIGHT - BOTTOM }, `${numberText(low)}${unit()}`));
      }
      const path = values.map((value, index) => !Number.isFinite(value) ? "" : `M${x(places[index]).toFixed(1)} ${y(value).toFixed(1)}h0`);
      chart.append(svg("path", { d: path.join(""), class: "ect-dots" }));
      chart.append(svg("text", { x: LEFT, y: HEIGHT - 5 }, along(places[0])));
      const last = { x: width - RIGHT, y: HEIGHT - 5, "text-anchor": "end" };
      chart.append(svg("text", last, along(places[places.length - 1])));
    } else chart.append(svg("text", { x: LEFT, y: HEIGHT / 2 }, "not known"));
    const cursor = svg("circle", { r: 5, class: "ect-cursor", visibility: "hidden" });
    chart.append(cursor);
    dots = { chart, cursor, x, y };
    const focused = frame.contains(document.activeElement);
    frame.replaceChildren(chart);
    if (focused) chart.focus({ preventScroll: true });
    if (at >= 0) point(at);
  }

  function point(index) {
    at = Math.min(values.length - 1, Math.max(0, index));
    const { chart, cursor, x, y } = dots, hidden = !Number.isFinite(values[at]);
    dress(cursor, { cx: x(places[at]), cy: hidden ? 0 : y(values[at]), visibility: hidden ? "hidden" : "visible" }, "");
    chart.setAttribute("aria-valuenow", at + 1);
    chart.setAttribute("aria-valuetext", said(at));
    readout.textContent = said(at);
  }

  frame.addEventListener("keydown", (event) => {
    const step = Math.max(1, Math.round(values.length / 20));
    const to = {
      ArrowRight: at + 1, ArrowUp: at + 1, ArrowLeft: at - 1, ArrowDown: at - 1, PageUp: at + step, PageDown: at - step,
      Home: 0, End: values.length - 1,
    }[event.key];
    if (to !== undefined && values.length) { event.preventDefault(); point(to); }
  });
  frame.addEventListener("pointermove", (event) => {
    if (!dots) return;
    const place = event.clientX - dots.chart.getBoundingClientRect().left;
    let best = 0;
    places.forEach((value, index) => {
      if (Math.abs(dots.x(value) - place) < Math.abs(dots.x(places[best]) - place)) best = index;
    });
    point(best);
  });

  const end = watch(model, ["title", "unit", "along", "along_unit", "data", "places", "marks", "note"], draw);
  const stop = whenResized(frame, draw);
  return () => { end(); stop(); };
}

export default { render };
