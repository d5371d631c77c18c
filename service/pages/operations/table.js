// Tables that are filled again without losing the focus: a row stays as long as its key does.
import { $, element } from "../common.js";

const MOST = 300; // characters of a cell

/** Fill the body with this id. columns: functions of an item that give a text, or {text, class}, or an element to keep. */
export function fill(id, items, key, columns, empty) {
  const body = $(id), old = new Map([...body.rows].map(row => [row.dataset.key, row]));
  const rows = items.map(item => {
    const row = old.get(key(item)) ?? element("tr", { data: { key: key(item) } }, ...columns.map(() => element("td")));
    columns.forEach((column, n) => update(row.cells[n], column(item)));
    return row;
  });
  for (const row of [...body.rows]) if (!rows.includes(row)) row.remove();
  rows.forEach((row, n) => { if (body.rows[n] !== row) body.insertBefore(row, body.rows[n] ?? null); });
  $(`${id}-empty`).hidden = items.length > 0;
  $(`${id}-empty`).replaceChildren(...(items.length ? [] : [empty].flat()));
  body.closest(".scroll").hidden = !items.length;
}

function update(cell, value) {
  if (value instanceof Element || value === null) {
    if (cell.firstElementChild?.id !== (value?.id ?? undefined)) cell.replaceChildren(...(value ? [value] : []));
    else if (value && "disabled" in value) cell.firstElementChild.disabled = value.disabled;
    return;
  }
  const { text: whole, class: name = "" } = typeof value === "object" ? value : { text: value };
  const text = whole.length > MOST ? `${whole.slice(0, MOST)}…` : whole;
  if (cell.textContent !== text) cell.textContent = text;
  if (cell.className !== name) cell.className = name;
}
