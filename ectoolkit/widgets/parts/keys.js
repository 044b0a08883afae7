// Guards the card that it stands in, once it comes into sight: a part is made before its place is.

function render({ el }) {
  let release = () => {};
  const observer = new IntersectionObserver(() => {
    const card = el.closest(".ect-card");
    if (!card) return;
    release = keepKeys(card);
    observer.disconnect();
  });
  observer.observe(el);
  return () => { observer.disconnect(); release(); };
}

export default { render };
