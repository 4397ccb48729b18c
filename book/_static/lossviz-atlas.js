// Filters the cards of the atlas. The choice is in the address, so that a link can make one.
(() => {
  function start() {
    const form = document.querySelector(".lossviz-filters");
    if (!form) return;
    const cards = [...document.querySelectorAll(".lossviz-card[data-family]")];
    const asked = new URLSearchParams(location.search);
    for (const field of form.querySelectorAll("select"))
      if ([...field.options].some((option) => option.value === asked.get(field.name)))
        field.value = asked.get(field.name);
    for (const box of form.querySelectorAll("input"))
      box.checked = asked.getAll("has").includes(box.value);

    function choose() {
      const { takes, family } = form.elements;
      const has = [...form.querySelectorAll("input:checked")].map((box) => box.value);
      let shown = 0;
      for (const card of cards) {
        const { dataset } = card;
        const fits =
          (!takes.value || dataset.takes.split("|").includes(takes.value)) &&
          (!family.value || dataset.family === family.value) &&
          has.every((trait) => dataset.has.split("|").includes(trait));
        card.hidden = !fits;
        shown += fits;
      }
      form.querySelector("output").textContent = `${shown} of ${cards.length} losses`;
    }

    function remember() {
      const chosen = [...new FormData(form)].filter(([, value]) => value);
      history.replaceState(null, "", `?${new URLSearchParams(chosen)}`);
    }

    form.addEventListener("change", () => (choose(), remember()));
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(() => (choose(), remember())));
    form.hidden = false;
    choose();
  }

  document.addEventListener("DOMContentLoaded", start);
})();
