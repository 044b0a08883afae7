// A sortable, filterable table.  No build step, nothing fetched.
const FILTER_FROM = 8;  // fewer rows are seen at a glance

function text(value, numeric) {
  if (value === null) return "";
  if (!numeric) return value === true ? "yes" : value === false ? "no" : String(value);
  const number = Number(value);
  if (!Number.isFinite(number)) return number > 0 ? "∞" : "-∞";
  if (Number.isInteger(number)) return number.toLocaleString("en-US");
  return Math.abs(number) < 1e-3 ? number.toExponential(2) : String(Number(number.toPrecision(4)));
}

function compare(a, b, numeric) {
  if (a === null || b === null) return a === b ? 0 : a === null ? 1 : -1;
  if (numeric) return Number(a) - Number(b) || 0;
  return String(a).localeCompare(String(b), "en", { numeric: true });
}

function make(tag, attributes = {}, content = "") {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = content;
  return element;
}

function render({ model, el }) {
  let column = -1, direction = 1, wanted = "";
  const box = make("div", { class: "ect-table" });
  const bar = make("div", { class: "ect-table-bar" });
  const filter = make("input", { type: "search", placeholder: "filter rows", "aria-label": "filter rows" });
  const count = make("span", { role: "status" });
  const scroll = make("div", { class: "ect-table-scroll", role: "region", tabindex: "0" });
  bar.append(filter, count);
  box.append(bar, scroll);
  el.append(box);

  // Keys pressed here must not reach JupyterLab's command mode, where "d d" deletes a cell.
  box.dataset.lmSuppressShortcuts = "true";
  box.addEventListener("keydown", (event) => event.stopPropagation());
  filter.addEventListener("input", () => { wanted = filter.value.toLowerCase(); draw(); });

  function sortBy(index) {
    if (column !== index) { column = index; direction = 1; }
    else if (direction === 1) direction = -1;
    else { column = -1; direction = 1; }
    draw();
    scroll.querySelectorAll("th button")[index].focus();
  }

  function header(names, numeric) {
    const row = make("tr");
    names.forEach((name, index) => {
      const sorted = column !== index ? "none" : direction > 0 ? "ascending" : "descending";
      const cell = make("th", { scope: "col", "aria-sort": sorted, class: numeric[index] ? "ect-number" : "" });
      const button = make("button", { type: "button", title: `sort by ${name}` }, name);
      button.append(make("span", { "aria-hidden": "true" }, { none: "", ascending: " ▲", descending: " ▼" }[sorted]));
      button.addEventListener("click", () => sortBy(index));
      cell.append(button);
      row.append(cell);
    });
    return row;
  }

  function draw() {
    const names = model.get("columns"), numeric = model.get("numeric"), rows = model.get("rows");
    let shown = rows.filter((row) => !wanted || row.some((value) => String(value ?? "").toLowerCase().includes(wanted)));
    if (column >= names.length) column = -1;
    if (column >= 0) {
      const empty = (value) => value === null;
      shown = [...shown].sort((a, b) => {
        const order = compare(a[column], b[column], numeric[column]);
        return empty(a[column]) || empty(b[column]) ? order : order * direction;  // empty cells stay last
      });
    }
    const table = make("table");
    table.append(make("caption", {}, model.get("caption")));
    table.createTHead().append(header(names, numeric));
    const body = table.createTBody();
    for (const values of shown) {
      const row = body.insertRow();
      values.forEach((value, index) => {
        const cell = make("td", numeric[index] ? { class: "ect-number" } : {}, text(value, numeric[index]));
        if (cell.textContent.length > 30) cell.title = cell.textContent;
        row.append(cell);
      });
    }
    scroll.setAttribute("aria-label", model.get("caption"));
    scroll.replaceChildren(table);
    const total = rows.length === 1 ? "1 row" : `${rows.length} rows`;
    count.textContent = shown.length === rows.length ? total : `${shown.length} of ${total}`;
    bar.hidden = rows.length < FILTER_FROM;
  }

  // A table and its columns change together; drawing once after all of them have arrived is enough.
  let queued = false;
  const queue = () => {
    if (queued) return;
    queued = true;
    queueMicrotask(() => { queued = false; draw(); });
  };
  const changes = ["columns", "numeric", "rows", "caption"].map((name) => `change:${name}`);
  changes.forEach((change) => model.on(change, queue));
  draw();
  return () => changes.forEach((change) => model.off(change, queue));
}

export default { render };
