// Makes the controls of an explorer work by keyboard. JupyterLab takes the arrow keys from an
// element that does not refuse, and ipywidgets gives the handles of sliders no name.

function mend({ target }) {
  if (!target.closest(".lossviz-explorer")) return;
  target.setAttribute("data-lm-suppress-shortcuts", "true");
  const name = target.closest(".widget-slider")?.querySelector(".widget-label").textContent;
  if (name) target.setAttribute("aria-label", name);
}

// The controls are not drawn yet when this is, so it waits until one of them gets the focus.
function render() {
  document.addEventListener("focusin", mend);
  return () => document.removeEventListener("focusin", mend);
}

export default { render };
