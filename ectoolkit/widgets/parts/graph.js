// Layers as boxes, edges as lines; zoomed and moved by changing what part of the plane is seen.
const CELL = [86, 46], BOX = [76, 28];  // pixels at full size
const LOWEST = 110, HIGHEST = 430;
const LEGIBLE = 0.72;  // of full size: what is smaller at first shows a part, which moves with what is chosen
const LETTERS = 11;  // that a box has room for

function render({ model, el }) {
  const box = root(el, "ect-graph");
  const bar = make("div", { class: "ect-graph-bar" }), says = make("span", { role: "status", class: "ect-graph-says" });
  const label = make("label", {}, "colour by "), columns = make("select", {});
  label.append(columns);
  const acts = [["+", "zoom in", () => zoom(1.3)], ["−", "zoom out", () => zoom(1 / 1.3)], ["all", "show all", () => showAll()]];
  const buttons = acts.map(([text, name, act]) => {
    const button = make("button", { type: "button", class: "ect-button", "aria-label": name, title: name }, text);
    button.addEventListener("click", act);
    return button;
  });
  const key = make("span", { class: "ect-graph-key" }), tools = make("span", { class: "ect-graph-tools" });
  tools.append(...buttons);
  bar.append(make("span", { class: "ect-title" }, "graph"), label, key, tools);
  const picture = svg("svg", { class: "ect-graph-plane", role: "listbox", tabindex: "0", "aria-label": "layers" });
  box.append(bar, picture, says);
  let known = "", nodes = [], lines = [], view = null, joined = [], moved = false;  // moved: somebody chose what to see
  const id = `ect-${Math.random().toString(36).slice(2)}`;

  columns.addEventListener("change", () => choose(model, { column: columns.value }));

  // --- what is drawn ---------------------------------------------------------------------------------------------

  const middle = (places, index) => [places[2 * index] * CELL[0], places[2 * index + 1] * CELL[1]];

  function draw() {
    const names = model.get("names"), ops = model.get("ops"), places = array(model, "places", "float32");
    const edges = array(model, "edges", "uint32");
    box.hidden = !names.length;
    joined = names.map(() => ({ before: [], after: [] }));
    lines = [];
    for (let index = 0; index < edges.length; index += 2) {
      const [from, to] = [edges[index], edges[index + 1]];
      joined[from].after.push(to);
      joined[to].before.push(from);
      lines.push(edge(middle(places, from), middle(places, to)));
    }
    nodes = names.map((name, index) => node(name, ops[index], middle(places, index), index));
    picture.replaceChildren(arrow(), ...lines, ...nodes);
    if (view && moved && known === names.join()) look(view); else showFirst();  // other colours must not move the plane
    known = names.join();
    colour();
    mark(false);
  }

  function arrow() {
    const tip = svg("marker", { id, viewBox: "0 0 8 8", refX: 7, refY: 4, markerUnits: "userSpaceOnUse", markerWidth: 7, markerHeight: 7, orient: "auto" });
    tip.append(svg("path", { class: "ect-tip", d: "M0 0L8 4L0 8z" }));
    const store = svg("defs");
    store.append(tip);
    return store;
  }

  // From box to box: straight where they stand side by side, around the corner at the end of a row.
  function edge([x1, y1], [x2, y2]) {
    const [half, high] = [BOX[0] / 2, BOX[1] / 2];
    let d;
    if (Math.abs(x2 - x1) < BOX[0]) {
      const down = Math.sign(y2 - y1) || 1;
      d = `M${x1} ${y1 + down * high}L${x2} ${y2 - down * high}`;
    } else {
      const way = Math.sign(x2 - x1), bend = Math.abs(x2 - x1) > 1.5 * CELL[0] || y1 !== y2 ? 0.5 : 0;
      const from = x1 + way * half, to = x2 - way * half, over = (to - from) * bend;
      // a long edge in one row bows, so that it does not run through the boxes between
      const bow = y1 === y2 && Math.abs(x2 - x1) > 1.5 * CELL[0] ? -CELL[1] * 0.7 : 0;
      d = `M${from} ${y1}C${from + over} ${y1 + bow} ${to - over} ${y2 + bow} ${to} ${y2}`;
    }
    return svg("path", { class: "ect-edge", d, "marker-end": `url(#${id})` });
  }

  function node(name, op, [x, y], index) {
    const group = svg("g", { class: "ect-node", role: "option", id: `${id}-${index}`, "data-layer": name });
    const label = shortName(name);
    // in places of the plane: a transform each would make each box a layer of its own to the browser
    const area = { x: x - BOX[0] / 2, y: y - BOX[1] / 2, width: BOX[0], height: BOX[1], rx: 4 };
    group.append(
      svg("rect", { class: "ect-ground", ...area }),
      svg("rect", { class: "ect-fill", ...area }),
      svg("text", { x, y: y - 2, "text-anchor": "middle" }, label),
      svg("text", { class: "ect-value", x, y: y + 9, "text-anchor": "middle" }),
      svg("title", {}, name),
    );
    group.addEventListener("click", () => { picture.focus({ preventScroll: true }); pick(index); });
    return group;
  }

  // The end of a name tells layers apart; whole words of it where they fit.
  function shortName(name) {
    if (name.length <= LETTERS) return name;
    const end = name.slice(1 - LETTERS), dot = end.search(/[./]/);
    return `…${dot >= 0 && end.length - dot > 5 ? end.slice(dot + 1) : end}`;
  }

  function colour() {
    const values = model.get("values"), shade = model.get("shade"), unit = model.get("unit"), names = model.get("names");
    const label = model.get("label");
    columns.replaceChildren(...model.get("choices").map(([name, text]) => {
      const option = make("option", { value: name }, text);
      option.selected = name === model.get("column");
      return option;
    }));
    key.replaceChildren(scaleOfShades(shade, unit) ?? "");
    nodes.forEach((group, index) => {
      const value = values[index] ?? null, found = shadeOf(value, shade), fill = group.querySelector(".ect-fill");
      fill.setAttribute("class", `ect-fill ${found ? (found.warn ? "ect-fill-warn" : "ect-fill-size") : ""}`);
      fill.style.setProperty("--ect-shade", found ? `${Math.round(found.strength * 100)}%` : "0%");
      const text = value === null ? "" : short(value);
      group.querySelector(".ect-value").textContent = text;
      const number = value === null ? "" : columnText([value], unit)(value);
      const words = `${names[index]}, ${model.get("ops")[index]}${text ? `, ${label} ${number}${unit ? ` ${unit}` : ""}` : ""}`;
      group.setAttribute("aria-label", words);
      group.querySelector("title").textContent = words;
    });
    say();
    age();
  }

  // What was measured before a change that is at work: dashed, and said.
  function age() {
    const stale = new Set(model.get("stale")), names = model.get("names");
    nodes.forEach((group, index) => group.classList.toggle("ect-outdated", stale.has(names[index])));
    box.classList.toggle("ect-waits", stale.size > 0);
  }

  function short(value) {
    const number = Number(value), size = Math.abs(number);
    if (model.get("unit") === "dB" && Number.isFinite(number)) return number.toFixed(1);
    if (!Number.isFinite(number) || size < 1e4) return Number.isFinite(number) ? String(Number(number.toPrecision(3))) : numberText(value);
    const power = Math.min(4, Math.floor(Math.log10(size) / 3));
    return `${Number((number / 1000 ** power).toPrecision(3))}${["", "k", "M", "G", "T"][power]}`;
  }

  // --- what is chosen --------------------------------------------------------------------------------------------

  const chosen = () => model.get("names").indexOf(model.get("layer"));
  const pick = (index) => choose(model, { layer: model.get("names")[index] });

  function mark(look = true) {
    const index = chosen();
    const edges = array(model, "edges", "uint32");
    nodes.forEach((group, at) => {
      const selected = String(at === index);  // set only where it changes: each costs a look at the page's styles
      if (group.getAttribute("aria-selected") !== selected) group.setAttribute("aria-selected", selected);
    });
    lines.forEach((line, at) => {
      line.classList.toggle("ect-near", index >= 0 && (edges[2 * at] === index || edges[2 * at + 1] === index));
    });
    if (index >= 0) picture.setAttribute("aria-activedescendant", `${id}-${index}`);
    else picture.removeAttribute("aria-activedescendant");
    if (index >= 0 && look) bringIntoSight(index);
    say();
  }

  function say() {
    const index = chosen();
    const old = model.get("stale").includes(model.get("layer")) ? " · ↻ stale until measured again" : "";
    says.textContent = (index < 0 ? `${nodes.length} layer${nodes.length === 1 ? "" : "s"}` : nodes[index]?.getAttribute("aria-label") ?? "") + old;
  }

  picture.addEventListener("keydown", (event) => {
    const index = Math.max(0, chosen()), near = joined[index], last = nodes.length - 1;
    const beside = (step) => {
      const others = joined[near.before[0]]?.after ?? joined[near.after[0]]?.before ?? [];
      return others[others.indexOf(index) + step];
    };
    const to = {
      ArrowRight: near?.after[0], ArrowLeft: near?.before[0], ArrowDown: beside(1), ArrowUp: beside(-1), Home: 0, End: last,
    }[event.key];
    if (event.key in { ArrowRight: 1, ArrowLeft: 1, ArrowDown: 1, ArrowUp: 1, Home: 1, End: 1 }) { if (to !== undefined) pick(to); }
    else if (event.key === "Escape") choose(model, { layer: "" });
    else if (event.key === "+" || event.key === "=") zoom(1.3);
    else if (event.key === "-") zoom(1 / 1.3);
    else if (event.key === "0") showAll();
    else return;
    event.preventDefault();
  });

  // --- what is seen ----------------------------------------------------------------------------------------------

  const whole = () => {
    const [wide = 1, high = 1] = model.get("size");  // there is none before a graph is shown
    return { width: Math.max(1, wide) * CELL[0], height: Math.max(1, high) * CELL[1] };
  };

  function look(next) {
    view = next;
    picture.setAttribute("viewBox", `${view.x} ${view.y} ${view.width} ${view.height}`);
    picture.classList.toggle("ect-far", widthOf(picture, 400) / view.width < 0.45);  // texts that nobody can read
  }

  function frame() {
    const { width, height } = whole(), room = widthOf(picture, 400);
    const wanted = height * Math.min(1, Math.max(LEGIBLE, room / (width + 10))) + 20;
    return { width: room, height: Math.min(HIGHEST, Math.max(LOWEST, wanted)) };
  }

  function showAll() {
    const { width, height } = whole(), room = frame();
    const scale = Math.min(1, room.width / (width + 10), room.height / (height + 10));
    const seen = { width: room.width / scale, height: room.height / scale };
    moved = false;
    picture.style.height = `${room.height}px`;
    look({ x: (width - seen.width) / 2, y: (height - seen.height) / 2, ...seen });
  }

  // All where that can be read, else the beginning, or what is chosen.
  function showFirst() {
    showAll();
    const room = frame(), scale = room.width / view.width;
    if (scale >= LEGIBLE) return;
    const [width, height] = [room.width / LEGIBLE, room.height / LEGIBLE], index = chosen();
    const all = whole();
    look({ x: Math.min(0, (all.width - width) / 2), y: Math.min(0, (all.height - height) / 2), width, height });
    if (index >= 0) bringIntoSight(index);
  }

  function zoom(factor, at = null) {
    const room = frame(), scale = Math.min(3, Math.max(0.05, room.width / view.width * factor));
    moved = true;
    const point = at ?? { x: view.x + view.width / 2, y: view.y + view.height / 2 };
    const width = room.width / scale, height = room.height / scale;
    look({
      x: point.x - (point.x - view.x) * width / view.width, y: point.y - (point.y - view.y) * height / view.height, width, height,
    });
  }

  function bringIntoSight(index) {
    const [x, y] = middle(array(model, "places", "float32"), index);
    const inside = Math.abs(x - view.x - view.width / 2) < (view.width - BOX[0]) / 2 && Math.abs(y - view.y - view.height / 2) < (view.height - BOX[1]) / 2;
    // in the middle, but not beyond the ends
    const within = (middle, size, all) => all > size ? Math.min(all - size, Math.max(0, middle - size / 2)) : (all - size) / 2;
    const { width, height } = whole();
    if (!inside) look({ ...view, x: within(x, view.width, width), y: within(y, view.height, height) });
  }

  const pointAt = (event) => {
    const area = picture.getBoundingClientRect();
    return {
      x: view.x + (event.clientX - area.left) / area.width * view.width,
      y: view.y + (event.clientY - area.top) / area.height * view.height,
    };
  };
  picture.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !picture.matches(":focus, :focus-within")) return;  // scrolling past must not zoom
    event.preventDefault();
    zoom(event.deltaY < 0 ? 1.15 : 1 / 1.15, pointAt(event));
  }, { passive: false });
  picture.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    const start = { x: event.clientX, y: event.clientY, view }, scale = view.width / picture.clientWidth;
    let dragged = false;
    const move = (next) => {
      const [dx, dy] = [next.clientX - start.x, next.clientY - start.y];
      if (!dragged && Math.hypot(dx, dy) < 4) return;
      if (!dragged) picture.setPointerCapture(event.pointerId);
      dragged = moved = true;
      look({ ...view, x: start.view.x - dx * scale, y: start.view.y - dy * scale });
    };
    const end = () => {
      picture.removeEventListener("pointermove", move);
      for (const kind of ["pointerup", "pointercancel"]) picture.removeEventListener(kind, end);
    };
    picture.addEventListener("pointermove", move);
    for (const kind of ["pointerup", "pointercancel"]) picture.addEventListener(kind, end);
  });

  const stops = [
    watch(model, ["names", "ops", "places", "edges", "size"], draw),
    watch(model, ["values", "shade", "choices", "column", "label", "unit"], colour),
    watch(model, ["layer"], () => mark()),
    watch(model, ["stale"], () => { age(); say(); }),
    whenResized(picture, () => { if (moved) zoom(1); else showFirst(); }),
  ];
  return () => stops.forEach((stop) => stop());
}

export default { render };
