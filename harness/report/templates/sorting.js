// Tables of the leaderboard: sorted by a click on a column's head, filtered by words and by arm.
(() => {
  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    const rows = [...body.rows];
    const heads = [...table.tHead.rows[0].cells];
    const key = (row, column) => {
      const cell = row.cells[column];
      return cell.dataset.sort === undefined ? cell.textContent.trim().toLowerCase() : Number(cell.dataset.sort);
    };
    const sort = (column, upwards) => {
      const sign = upwards ? 1 : -1;
      const isFigure = (row) => typeof key(row, column) === "number";
      const figures = rows.filter(isFigure).sort((a, b) => sign * (key(a, column) - key(b, column)));
      const texts = rows.filter((row) => !isFigure(row));
      // In a column of figures the unknown ones stay last, whichever way it is sorted.
      if (!figures.length) texts.sort((a, b) => sign * key(a, column).localeCompare(key(b, column)));
      body.append(...figures, ...texts);
    };
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const before = head.getAttribute("aria-sort");
        const first = rows.some((row) => typeof key(row, column) === "number") ? "descending" : "ascending";
        const way = !before ? first : before === "descending" ? "ascending" : "descending";
        for (const one of heads) one.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", way);
        sort(column, way === "ascending");
      });
    });

    const bar = table.closest("section").querySelector(".table-filters");
    if (!bar) continue;
    const [words, arm, count] = bar.querySelectorAll("input, select, .count");
    for (const name of new Set(rows.map((row) => row.dataset.arm))) arm.append(new Option(name, name));
    const filter = () => {
      const wanted = words.value.trim().toLowerCase();
      let shown = 0;
      for (const row of rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = (arm.value && row.dataset.arm !== arm.value) || !text.includes(wanted);
        shown += !row.hidden;
      }
      count.textContent = (shown === rows.length ? "" : shown + " of ") + rows.length + " rows";
    };
    words.addEventListener("input", filter);
    arm.addEventListener("input", filter);
    bar.hidden = false;
    filter();
  }
})();
