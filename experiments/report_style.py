"""How the report looks, on the screen and on paper, and what it does when clicked."""

from __future__ import annotations

STYLE = """
body { max-width: 1200px } figure { max-width: 1000px }
h2 { font-size: 1.1em; margin: 1.6em 0 .3em; border-bottom: 1px solid #ccc }
table { border-collapse: collapse; font-size: .85em; font-variant-numeric: tabular-nums }
.wide { overflow-x: auto }
th, td { padding: .15em .4em; text-align: right; vertical-align: top; white-space: nowrap }
th { border-bottom: 1px solid #666; vertical-align: bottom }
th button { font: inherit; font-weight: bold; border: 0; background: none; padding: 0;
            cursor: pointer; text-align: inherit }
th[aria-sort=ascending] button::after { content: " ↑" }
th[aria-sort=descending] button::after { content: " ↓" }
.word { text-align: left } td.name { white-space: normal; min-width: 9em }
tr.front { font-weight: bold } tbody tr:nth-child(even) { background: #f6f6f6 }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1em 1em; margin: .3em 0 }
dt { color: #666 } dd { margin: 0; overflow-wrap: anywhere }
pre { background: #f6f6f6; padding: .6em; overflow-x: auto; font-size: .8em; white-space: pre-wrap }
.choice button { font: inherit; font-size: .85em; padding: .1em .7em }
.choice button[aria-pressed=true] { font-weight: bold }
figure { margin: .5em 0 1.2em } li { margin: .15em 0 } summary { cursor: pointer; color: #444 }
@media print {
  body { font-size: 9.5pt; max-width: none; margin: 0; padding: 0 } figure { max-width: none }
  .choice, .details, .screen { display: none } summary { list-style: none }
  h2, summary { break-after: avoid } h2 + * { break-before: avoid }
  figure, tr, dt, dd, li { break-inside: avoid } figure { margin: .4em 0 }
  thead { display: table-header-group }
  .wide { overflow: visible } table { font-size: 6.5pt } th, td { padding: .15em .3em }
  .word, td.name { white-space: normal } td.name { min-width: 9em }
  details { font-size: 7.5pt } details dl { grid-template-columns: repeat(2, max-content 1fr) }
  pre { font-size: 6.5pt } details pre { columns: 3; background: none; padding: 0 }
  @page { margin: 15mm }
}
"""
SCRIPT = """
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const key = row => row.cells[column].dataset.sort;
    const rows = [...table.tBodies[0].rows].sort((a, b) => {
      const [x, y] = [key(a), key(b)];
      if (x === "" || y === "") return (x === "") - (y === "");  // without a value: last
      const order = isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y;
      return up ? order : -order;
    });
    table.tBodies[0].append(...rows);
  }));
}
const stage = document.querySelector(".stage");
const draw = slug => {
  const drawing = document.querySelector(`template[data-axis="${slug}"]`);
  stage.querySelector("svg").replaceWith(drawing.content.cloneNode(true));
  for (const button of document.querySelectorAll(".choice button"))
    button.setAttribute("aria-pressed", button.dataset.axis === slug);
};
for (const button of document.querySelectorAll(".choice button"))
  button.addEventListener("click", () => draw(button.dataset.axis));
const opened = [];
addEventListener("beforeprint", () => {  // paper shows every axis, and what is folded up
  let last = stage;
  for (const drawing of document.querySelectorAll("template[data-axis]")) {
    if (stage.querySelector(`svg[data-axis="${drawing.dataset.axis}"]`)) continue;
    const figure = document.createElement("figure");
    figure.className = "printed";
    figure.append(drawing.content.cloneNode(true));
    last.after(figure);
    last = figure;
  }
  for (const fold of document.querySelectorAll("details:not([open])"))
    { fold.open = true; opened.push(fold); }
});
addEventListener("afterprint", () => {
  for (const figure of document.querySelectorAll("figure.printed")) figure.remove();
  while (opened.length) opened.pop().open = false;
});
"""
