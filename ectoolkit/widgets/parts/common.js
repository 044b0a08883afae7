// What every part's script may call.  Python puts this before it, so nothing is imported, built or fetched.

const SVG = "http://www.w3.org/2000/svg";

function dress(element, attributes, content) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (content !== "") element.textContent = content;
  return element;
}

// An element with attributes and text.
function make(tag, attributes = {}, content = "") {
  return dress(document.createElement(tag), attributes, content);
}

// The same of SVG.
function svg(tag, attributes = {}, content = "") {
  return dress(document.createElementNS(SVG, tag), attributes, content);
}

// The part's outermost element, put into el.
function root(el, name, label = "") {
  const box = make("div", { class: `ect-part ${name}` });
  if (label) { box.setAttribute("role", "group"); box.setAttribute("aria-label", label); }
  keepKeys(box);
  el.append(box);
  return box;
}

// Keep what is typed in a box from the notebook's command mode, where "d d" deletes a cell; saving and the like still
// work.  JupyterLab hears a key after the box, and is stopped.  Notebook 7 hears it first: it looks for the attribute from
// the element in focus upwards, so that one has it too, as the press of Control left it.  Returns what ends it.
function keepKeys(box) {
  const mark = "data-lm-suppress-shortcuts", kinds = ["focusin", "keydown", "keyup"];
  const free = (event) => event.ctrlKey || event.metaKey;
  const guard = (event) => {
    for (const one of [box, event.target]) if (free(event)) one.removeAttribute(mark); else one.setAttribute(mark, "true");
  };
  const stop = (event) => { if (!free(event)) event.stopPropagation(); };
  box.setAttribute(mark, "true");
  for (const kind of kinds) box.addEventListener(kind, guard, true);
  box.addEventListener("keydown", stop);
  return () => {
    for (const kind of kinds) box.removeEventListener(kind, guard, true);
    box.removeEventListener("keydown", stop);
    box.removeAttribute(mark);
  };
}

// Draw now, and once after all of these traits that change together have arrived; returns what ends it.
function watch(model, names, draw) {
  let queued = false, over = false;
  const later = () => {
    if (queued) return;
    queued = true;
    queueMicrotask(() => { queued = false; if (!over) draw(); });
  };
  const changes = names.map((name) => `change:${name}`);
  changes.forEach((change) => model.on(change, later));
  draw();
  return () => { over = true; changes.forEach((change) => model.off(change, later)); };
}

// Set traits, here and in Python.
function choose(model, traits) {
  for (const [name, value] of Object.entries(traits)) model.set(name, value);
  model.save_changes();
}

const ARRAYS = {
  float32: Float32Array, float64: Float64Array, int32: Int32Array, uint32: Uint32Array, int8: Int8Array, uint8: Uint8Array,
};

// A trait of bytes as a typed array; empty where there is none.
function array(model, name, dtype) {
  const view = model.get(name), kind = ARRAYS[dtype];
  if (!view || !view.byteLength) return new kind(0);
  const aligned = view.byteOffset % kind.BYTES_PER_ELEMENT === 0;
  const buffer = aligned ? view.buffer : view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength);
  return new kind(buffer, aligned ? view.byteOffset : 0, view.byteLength / kind.BYTES_PER_ELEMENT);
}

// A number for people: four digits, no tail of zeros.  Infinities arrive as text, since JSON has none.
function numberText(value) {
  if (value === null || value === undefined) return "";
  const number = Number(value);
  if (Number.isNaN(number)) return "";
  if (!Number.isFinite(number)) return number > 0 ? "∞" : "-∞";
  if (Number.isInteger(number)) return number.toLocaleString("en-US");
  return Math.abs(number) < 1e-3 ? number.toExponential(2) : String(Number(number.toPrecision(4)));
}

// A share as a percentage, three digits.
const percentText = (share) => share === null || Number.isNaN(Number(share)) ? "" : `${Number((100 * share).toPrecision(3))} %`;

// Numbers of one unit, all with as many decimals, so that their points stand below each other; decibels have two.
function columnText(values, unit) {
  if (unit === "share") return percentText;
  const known = values.map(Number).filter(Number.isFinite), largest = known.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  if (!["dB", "ms", "µs", "W", "°C"].includes(unit) || known.every(Number.isInteger)) return numberText;
  const decimals = unit === "dB" || largest >= 100 ? 2 : 3;
  return (value) => value !== null && Number.isFinite(Number(value)) ? Number(value).toFixed(decimals) : numberText(value);
}

// Call at most once in so many milliseconds, the last time always with the latest arguments, unless `cancel` of what is
// returned comes before.
function throttle(call, milliseconds) {
  let timer = null, waiting = null, last = -Infinity;
  const run = () => { timer = null; last = performance.now(); call(...waiting); };
  const later = (...given) => {
    waiting = given;
    if (timer === null) timer = setTimeout(run, Math.max(0, last + milliseconds - performance.now()));
  };
  later.cancel = () => { clearTimeout(timer); timer = null; };
  return later;
}

// How strongly a value is marked, 0 to 1, and as what: the bad end of [low, high, better], or a large size.
function shadeOf(value, [low, high, better]) {
  if (low === undefined || value === null) return null;
  const share = Math.min(1, Math.max(0, (Number(value) - low) / (high - low)));
  return { strength: better === "high" ? 1 - share : share, warn: better !== "" };
}

// What pale and strong stand for: the two values with the shades between them; null where nothing is shaded.
function scaleOfShades([low, high, better], unit) {
  if (low === undefined) return null;
  const [pale, strong] = better === "high" ? [high, low] : [low, high], text = columnText([low, high], unit);
  const named = (value) => `${text(value)}${unit ? ` ${unit}` : ""}`;
  const box = make("span", { class: "ect-scale" });
  box.append(make("span", {}, named(pale)), make("span", { class: `ect-ramp ect-ramp-${better ? "warn" : "size"}`, "aria-hidden": "true" }));
  box.append(make("span", {}, `${named(strong)}${better ? " (worse)" : ""}`));
  return box;
}

const widths = new WeakMap();

// An element's width; the last one where it is out of the page at the moment, as JupyterLab does with cells that are
// out of sight, and `otherwise` where it was never in it.
function widthOf(element, otherwise) {
  if (element.clientWidth) widths.set(element, element.clientWidth);
  return widths.get(element) ?? otherwise;
}

// Draw again whenever the element gets another width; returns what ends it.
function whenResized(element, draw) {
  let width = 0, waiting = 0;
  const observer = new ResizeObserver(() => {
    if (!element.clientWidth || element.clientWidth === width) return;
    width = element.clientWidth;
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(draw);
  });
  observer.observe(element);
  return () => { observer.disconnect(); cancelAnimationFrame(waiting); };
}

// Draw again whenever the page takes another theme, for what a style sheet does not colour; returns what ends it.
function whenThemed(draw) {
  let waiting = 0;
  const observer = new MutationObserver(() => { cancelAnimationFrame(waiting); waiting = requestAnimationFrame(draw); });
  observer.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-name", "class", "data-vscode-theme-id"] });
  return () => { observer.disconnect(); cancelAnimationFrame(waiting); };
}

// Round numbers inside a range, about so many.
function ticks(low, high, about) {
  if (!(high > low)) return [];
  const rough = (high - low) / about, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= rough);
  const found = [];
  for (let index = Math.ceil(low / step); index * step <= high + step * 1e-9; index += 1) {
    found.push(Number((index * step).toPrecision(12)));
  }
  return found;
}

