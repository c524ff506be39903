// A button that copies the command beside it.
(() => {
  for (const button of document.querySelectorAll("button.copy")) {
    const text = button.parentElement.querySelector("code");
    const words = button.textContent;
    button.hidden = false;
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(text.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(text); // no clipboard here: selected, to be copied by hand
        button.textContent = "Selected";
      }
      setTimeout(() => { button.textContent = words; }, 2000);
    });
  }
})();
