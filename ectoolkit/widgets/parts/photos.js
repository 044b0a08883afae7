// Photos, each with the best classes by every way of computing; the bar says what the number says.

function wayOf(way) {
  const column = make("div", { class: "ect-way" });
  column.append(make("div", { class: "ect-way-name" }, way.by));
  const list = make("ol");
  way.best.forEach(([name, share]) => {
    const item = make("li"), percent = `${(share * 100).toFixed(1)} %`;
    const line = make("div", { class: "ect-class" });
    const bar = make("div", { class: "ect-bar", "aria-hidden": "true" });
    bar.style.width = `${share * 100}%`;
    line.append(bar, make("span", { title: name }, name), make("span", { class: "ect-share" }, percent));
    item.append(line);
    list.append(item);
  });
  column.append(list);
  return column;
}

function render({ model, el }) {
  const box = root(el, "ect-photos", "photos side by side");

  function draw() {
    const cards = model.get("photos").map((photo, index) => {
      const card = make("div", { class: "ect-photo", "data-image": index });
      const button = make("button", { type: "button", class: "ect-picture", "aria-label": `choose image ${index}: ${photo.name}` });
      if (photo.picture) button.append(make("img", { src: photo.picture, alt: "" }));
      button.append(make("span", {}, photo.name));
      if (photo.ways.length > 1) button.append(make("span", { class: "ect-agree" }, photo.agree ? "✓ all agree" : "✗ they differ"));
      button.addEventListener("click", () => choose(model, { image: model.get("image") === index ? -1 : index }));
      card.append(button, ...photo.ways.map(wayOf));
      return card;
    });
    box.replaceChildren(...cards);
    if (model.get("note")) box.append(make("div", { class: "ect-note" }, model.get("note")));
    box.hidden = !cards.length && !model.get("note");
    mark();
  }

  function mark() {
    for (const card of box.querySelectorAll(".ect-photo")) {
      const chosen = Number(card.dataset.image) === model.get("image");
      card.querySelector("button").setAttribute("aria-pressed", String(chosen));
    }
  }

  const ends = [watch(model, ["photos", "note"], draw), watch(model, ["image"], mark)];
  return () => ends.forEach((end) => end());
}

export default { render };
