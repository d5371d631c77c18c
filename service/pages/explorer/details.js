// The details of one item: its place in the slate or why the slate lacks it, its reasons, every feature as a bar, and similar items.
import { $, call, element, failed, state } from "../common.js";
import { bars, largest, ofFeatures } from "./bars.js";
import { entry } from "./entry.js";
import { count, nameOf } from "./words.js";

const SIMILAR = 8, SHOWN_FEATURES = 12, LEAST = 0.005; // contributions below round to 0.00

let opener = null, requests = 0;

export function closeDetails() {
  if ($("details").hidden) return;
  $("details").hidden = true;
  if (opener?.isConnected) opener.focus();
}

$("details-close").onclick = closeDetails;
document.addEventListener("keydown", event => { if (event.key === "Escape") closeDetails(); });

/** Show the details of an item for a column of the page. */
export async function showDetails(item, column) {
  if ($("details").hidden) opener = document.activeElement;
  const requestNumber = ++requests;
  $("details").hidden = false;
  $("details-title").textContent = nameOf(item);
  $("details").scrollTop = 0;
  $("details").focus();
  await Promise.all([
    fill(requestNumber, "details-state", "reason", explained(item, column), reason),
    fill(requestNumber, "similar-state", "similar", alike(item, column), answer => similar(answer, column)),
  ]);
}

function explained(item, { body, headers }) {
  return call("POST", "explain", { ...body, item_id: item.item_id }, { headers });
}

function alike(item, { body }) {
  return call("POST", "similar", { item_id: item.item_id, k: SIMILAR, surface: body.surface });
}

/** Fill a part with what `draw` makes of an answer, unless another item was chosen meanwhile. */
async function fill(requestNumber, stateId, id, request, draw) {
  $(id).replaceChildren();
  state($(stateId), "loading", "Loading…");
  try {
    const answer = await request;
    if (requestNumber !== requests) return;
    const made = draw(answer);
    $(id).replaceChildren(...made);
    state($(stateId), made.length ? "" : "empty", made.length ? "" : "There is none.");
  } catch (error) {
    if (requestNumber === requests) failed($(stateId), error);
  }
}

function reason(answer) {
  const features = ofFeatures(answer.features.filter(feature => Math.abs(feature.relative) >= LEAST));
  const score = answer.score === null ? "not a candidate, so the ranker did not score it" : `score ${answer.score.toFixed(3)}`;
  const facts = [
    score,
    answer.ranked_place && `place ${answer.ranked_place} by score`,
    answer.tower_place && `place ${answer.tower_place.toLocaleString("en")} of all items by the embeddings alone`,
    answer.sources.length && `proposed by ${answer.sources.join(", ")}`,
    answer.rules.length && `rules: ${answer.rules.join(", ")}`,
  ];
  const made = [
    element("p", { class: answer.place ? "good" : "warn" }, answer.reason),
    element("p", { class: "small soft" }, `Item ${answer.item_id} · ${facts.filter(Boolean).join(" · ")}`),
  ];
  if (!features.length) return made;
  const scale = largest(features), rest = features.slice(SHOWN_FEATURES);
  made.push(element("ul", { class: "reasons" }, ...answer.reasons.map(words => element("li", {}, words))),
    element("h3", {}, `What tells it from the other candidates: ${count(features.length, "feature")}`),
    element("p", { class: "small soft" },
      "A bar is what the score loses with that feature at its mean in the training, less the same for the mean candidate."),
    bars(features.slice(0, SHOWN_FEATURES), scale));
  if (rest.length) {
    const words = element("summary", {}, count(rest.length, "smaller contribution"));
    made.push(element("details", { class: "more" }, words, bars(rest, scale)));
  }
  return made;
}

function similar(answer, column) {
  return answer.items.map(item => entry(item, item.sources.join(", "), next => showDetails(next, column)));
}
