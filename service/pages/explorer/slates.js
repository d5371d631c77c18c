// The columns of slates: a row for each item with its sources, rules, first reasons and move, and what was left out.
import { element } from "../common.js";
import { bars, largest, ofReasons } from "./bars.js";
import { entry, titleOf } from "./entry.js";
import { count, freshness, nameOf } from "./words.js";

const SHOWN_REASONS = 3;

/** How an item moved against another slate: words for a chip, and a class. others: item ids of the other slate, null without one. */
function move(item, place, others, absent) {
  if (!others) return null;
  const before = others.indexOf(item.item_id);
  if (before < 0) return [absent, "new"];
  if (before === place) return null;
  return before > place ? [`▲ ${before - place}`, "up"] : [`▼ ${place - before}`, "down"];
}

function chips(item, moved) {
  const colour = source => ({ "--source": `var(--${source}, var(--soft))` });
  const sources = item.sources.map(source => element("span", { class: "chip source", style: colour(source) }, source));
  const rules = item.rules.map(rule => element("span", { class: "chip rule" }, `rule: ${rule}`));
  const mark = moved && element("span", { class: `chip move ${moved[1]}` }, moved[0]);
  return element("span", { class: "chips" }, mark, ...sources, ...rules);
}

function row(item, place, { reasons, scale, others, absent, canSend, onSend, onDetails }) {
  const name = nameOf(item), moved = move(item, place, others, absent);
  const words = [`${place + 1}. ${name}`, moved && moved[0].replace("▲", "up").replace("▼", "down")].filter(Boolean).join(", ");
  const choose = () => (canSend ? onSend(item, place) : onDetails(item));
  return element("li", { class: moved ? moved[1] : "", data: { item: String(item.item_id) } },
    element("span", { class: "rank" }, String(place + 1)),
    element("button", { type: "button", class: "title", "aria-label": words, onclick: choose }, titleOf(item)),
    element("button", { type: "button", class: "why", "aria-label": `Why ${name}?`, onclick: () => onDetails(item) }, "Why?"),
    chips(item, moved),
    reasons ? bars(ofReasons(reasons.slice(0, SHOWN_REASONS)), scale) : null);
}

/** The column of one answer of /explorer/slate. options: as `row` takes them, with the name of the column. */
export function column(answer, { name, milliseconds, ...options }) {
  const { slate, reasons, unexplained, left_out: leftOut } = answer;
  const scale = largest(ofReasons(reasons.flat()));
  const without = slate.degraded.length ? `, without ${slate.degraded.join(", ")}` : "";
  const arms = Object.entries(slate.arms).map(([experiment, arm]) => `${experiment}=${arm}`).join(", ");
  const facts = [`mode ${slate.mode}${without}`, `${count(slate.items.length, "item")} of ${count(answer.candidates, "candidate")}`,
    `${count(slate.history, "interaction")} known`, arms && `arms ${arms}`, `generation ${slate.generation}`, `${milliseconds} ms`];
  return element("section", { class: "slate", "aria-label": name },
    element("h2", {}, name),
    element("p", { class: "small soft facts" }, facts.filter(Boolean).join(" · ")),
    element("p", { class: "small soft facts freshness" }, freshness(slate.freshness)),
    element("p", { class: "small warn facts" }, slate.items.length ? unexplained : "The slate is empty: no item passes the filters."),
    element("ol", { class: "items" }, ...slate.items.map((item, place) =>
      row(item, place, { ...options, scale, reasons: reasons[place] }))),
    removed(slate.removed, leftOut, options.onDetails));
}

/** What was left out: the numbers by reason, and below them the best candidates with the reason of each. */
function removed(numbers, leftOut, onDetails) {
  const total = Object.values(numbers).reduce((sum, number) => sum + number, 0);
  if (!total && !leftOut.length) return element("p", { class: "small soft" }, "No candidate was left out.");
  const words = Object.entries(numbers).map(([reason, number]) => `${number} ${reason}`).join(", ");
  return element("details", { class: "left-out" },
    element("summary", {}, `Left out: ${words || count(leftOut.length, "candidate")}`),
    element("ol", { class: "list" }, ...leftOut.map(item =>
      entry(item, `Place ${item.place} by score. ${item.sentence}`, onDetails))));
}
