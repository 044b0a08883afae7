// A matrix on a canvas, with a cursor that keys and pointer move.
const TALLEST = 220;

function render({ model, el }) {
  const box = root(el, "ect-heat");
  const title = make("div", { class: "ect-title" }), says = make("span", { role: "status" }), key = make("span", { class: "ect-heat-key" });
  const foot = make("div", { class: "ect-heat-foot" });
  foot.append(key, says);
  const note = make("div", { class: "ect-note" }), body = make("div", { class: "ect-heat-body" });
  const names = make("div", { class: "ect-heat-rows", "aria-hidden": "true" });
  const stage = make("div", { class: "ect-heat-stage", role: "application", tabindex: "0", "aria-roledescription": "heat map" });
  const canvas = make("canvas", { "aria-hidden": "true" }), cursor = make("div", { class: "ect-heat-cursor" });
  stage.append(canvas, cursor);
  const picture = make("img", { class: "ect-heat-picture", alt: "" });
  body.append(names, stage, picture);
  box.append(title, body, foot, note);
  let values = new Float32Array(0), cell = [1, 1], pointed = null, at = [0, 0];

  const name = (side, index) => model.get(side ? "column_names" : "row_names")[index]
    ?? `${model.get(side ? "column_title" : "row_title")} ${index}`;

  // The cell that the selection means; an axis that nothing is chosen of has -1.
  function chosen() {
    const [rows, columns] = model.get("shape");
    return [["row_chooses", "row_names", rows], ["column_chooses", "column_names", columns]].map(([trait, known, count]) => {
      const what = model.get(trait);
      if (!what) return -1;
      const index = what === "layer" ? model.get(known).indexOf(model.get("layer")) : model.get(what);
      return index < count ? index : -1;
    });
  }

  function draw() {
    const [rows, columns] = model.get("shape"), empty = !rows || !columns;
    values = array(model, "data", "float32");
    title.textContent = model.get("caption");
    note.textContent = model.get("note");
    note.hidden = !note.textContent;
    title.hidden = !title.textContent;
    body.hidden = foot.hidden = empty;
    box.classList.toggle("ect-hidden", empty && !note.textContent);
    if (empty) return;
    const named = model.get("row_names").length > 0;
    names.hidden = !named;
    stage.setAttribute("aria-label", `${model.get("caption")}; ${rows} by ${columns}; arrow keys move`);
    names.replaceChildren(...(named ? model.get("row_names").map((text) => make("div", { title: text }, text)) : []));
    const room = Math.max(120, widthOf(body, 400) - (named ? names.offsetWidth + 6 : 0));
    picture.hidden = !model.get("picture");
    if (model.get("square")) {
      const share = picture.hidden ? room : (room - 6) / 2;
      const side = Math.max(picture.hidden ? 1 : 0.25, Math.min(share / columns, TALLEST / rows, 24));
      cell = [side, side];
    } else cell = [room / columns, Math.max(rows > 16 ? TALLEST / rows : 16, 1)];
    const ratio = window.devicePixelRatio || 1, wide = cell[0] * columns, high = cell[1] * rows;
    names.style.gridAutoRows = `${cell[1]}px`;
    stage.style.width = canvas.style.width = `${wide}px`;
    stage.style.height = canvas.style.height = `${high}px`;
    if (!picture.hidden) {
      Object.assign(picture, { src: model.get("picture"), alt: `the image of ${model.get("caption")}`, width: wide, height: high });
    }
    canvas.width = Math.round(wide * ratio);
    canvas.height = Math.round(high * ratio);
    paint(canvas.getContext("2d"), rows, columns, canvas.width / columns, canvas.height / rows);
    explain();
    mark();
  }

  function paint(context, rows, columns, wide, high) {
    const style = getComputedStyle(box), shades = model.get("shades");
    const inks = { warn: style.getPropertyValue("--ect-warn").trim(), size: style.getPropertyValue("--ect-accent").trim() };
    context.clearRect(0, 0, canvas.width, canvas.height);
    for (let row = 0; row < rows; row += 1) {
      const shade = shades[shades.length > 1 ? row : 0] ?? [];
      for (let column = 0; column < columns; column += 1) {
        const value = values[row * columns + column];
        if (Number.isNaN(value)) continue;
        const found = shadeOf(value, shade);
        if (!found) continue;
        context.globalAlpha = 0.04 + 0.96 * found.strength;
        context.fillStyle = found.warn ? inks.warn : inks.size;
        // whole pixels, from edge to edge: neither gaps nor a pixel that is painted twice shows as a seam
        const [x, y] = [Math.round(column * wide), Math.round(row * high)];
        context.fillRect(x, y, Math.round((column + 1) * wide) - x, Math.round((row + 1) * high) - y);
      }
    }
    context.globalAlpha = 1;
  }

  function mark() {
    const [row, column] = chosen(), [rows, columns] = model.get("shape");
    if (row >= 0) at[0] = row;
    if (column >= 0) at[1] = column;
    cursor.hidden = row < 0 && column < 0;
    const left = column < 0 ? 0 : column * cell[0], top = row < 0 ? 0 : row * cell[1];
    cursor.style.left = `${left}px`;
    cursor.style.top = `${top}px`;
    cursor.style.width = `${column < 0 ? columns * cell[0] : Math.max(3, cell[0])}px`;
    cursor.style.height = `${row < 0 ? rows * cell[1] : cell[1]}px`;
    [...names.children].forEach((one, index) => one.classList.toggle("ect-heat-chosen", index === row));
    say();
  }

  function say() {
    const [rows, columns] = model.get("shape"), picked = chosen();
    const [row, column] = pointed ?? picked;
    if (row >= rows || column >= columns || (row < 0 && column < 0)) { says.textContent = ""; return; }
    const units = model.get("units"), unit = units[units.length > 1 ? Math.max(row, 0) : 0] ?? "";
    const words = [row >= 0 ? name(0, row) : "", column >= 0 ? name(1, column) : ""].filter(Boolean).join(", ");
    const value = row >= 0 && column >= 0 ? values[row * columns + column] : null;
    const number = columnText([value], unit);
    const text = value === null ? "" : `: ${Number.isNaN(value) ? "none" : `${number(value)} ${unit}`}`;
    says.textContent = words + text;
  }

  // What the colours mean, and what is down and across.
  function explain() {
    const shades = model.get("shades"), down = model.get("row_names").length ? "" : `, ${model.get("row_title")}s down`;
    const sides = model.get("square") ? "" : `${model.get("column_title")}s across${down}`;
    const scale = shades.length === 1 ? scaleOfShades(shades[0], model.get("units")[0] ?? "") : null;
    const first = values.find((value) => !Number.isNaN(value));
    const flat = first === undefined ? "no values" : `all ${numberText(first)} ${model.get("units")[0] ?? ""}`;
    const words = shades.length > 1 ? "strong is worse, in each row by itself" : flat;
    key.replaceChildren(scale ?? make("span", {}, words), make("span", { class: "ect-unit" }, sides));
  }

  function pick(row, column) {
    const [rows, columns] = model.get("shape"), traits = {};
    at = [Math.min(rows - 1, Math.max(0, row)), Math.min(columns - 1, Math.max(0, column))];
    [["row_chooses", "row_names"], ["column_chooses", "column_names"]].forEach(([trait, known], side) => {
      const what = model.get(trait);
      if (what) traits[what] = what === "layer" ? model.get(known)[at[side]] : at[side];
    });
    pointed = Object.keys(traits).length ? null : at;
    if (Object.keys(traits).length) choose(model, traits);
    mark();
  }

  const cellAt = (event) => {
    const area = canvas.getBoundingClientRect();
    return [Math.floor((event.clientY - area.top) / cell[1]), Math.floor((event.clientX - area.left) / cell[0])];
  };
  stage.addEventListener("pointermove", (event) => { pointed = cellAt(event); say(); });
  stage.addEventListener("pointerleave", () => { pointed = null; say(); });
  stage.addEventListener("click", (event) => { stage.focus({ preventScroll: true }); pick(...cellAt(event)); });
  stage.addEventListener("keydown", (event) => {
    const [row, column] = at, [, columns] = model.get("shape");
    const to = {
      ArrowLeft: [row, column - 1], ArrowRight: [row, column + 1], ArrowUp: [row - 1, column], ArrowDown: [row + 1, column],
      Home: [row, 0], End: [row, columns - 1], Enter: [row, column], " ": [row, column],
    }[event.key];
    if (to) pick(...to);
    else if (event.key === "Escape") {
      const traits = {};
      for (const trait of ["row_chooses", "column_chooses"]) {
        const what = model.get(trait);
        if (what) traits[what] = what === "layer" ? "" : -1;
      }
      choose(model, traits);
    } else return;
    event.preventDefault();
  });

  const stops = [
    watch(model, ["caption", "note", "data", "shape", "row_names", "column_names", "units", "shades", "square", "picture"], draw),
    watch(model, ["layer", "image", "channel", "element", "row_chooses", "column_chooses"], () => { if (values.length) mark(); }),
    whenResized(body, draw),
    whenThemed(draw),
  ];
  return () => stops.forEach((stop) => stop());
}

export default { render };
