// Guards the card that it stands in, once it comes into sight: a part is made before its place is.

// Saving and the like still work from inside a card.
function keep(event) {
  if (!event.ctrlKey && !event.metaKey) event.stopPropagation();
}

function render({ el }) {
  let card = null;
  const observer = new IntersectionObserver(() => {
    card = el.closest(".ect-card");
    if (!card) return;
    card.addEventListener("keydown", keep);
    observer.disconnect();
  });
  observer.observe(el);
  return () => { observer.disconnect(); card?.removeEventListener("keydown", keep); };
}

export default { render };
