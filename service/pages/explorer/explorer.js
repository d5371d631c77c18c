// The Explorer: what one user is recommended and why, in one column or in two, and what the next slate is after an event.
import { $, call, failed, onKey, state } from "../common.js";
import { closeDetails, showDetails } from "./details.js";
import { columns, keepInAddress, may, offer, onBack, prefix, values } from "./fields.js";
import { findUsers, searchItems, searchUsers, showHistory } from "./side.js";
import { column } from "./slates.js";
import { nameOf } from "./words.js";

const STRANGER = "someone new", SHOWN_EVENTS = 5;

let shown = [], sent = [], requests = 0, generation = null;

const idsOf = answer => answer.slate.items.map(item => item.item_id);
const details = (item, of = columns()[0]) => showDetails(item, of);

async function start() {
  state($("state"), "loading", "Loading…");
  try {
    offer(await call("GET", "explorer/choices"));
    const users = await findUsers("").catch(() => []); // the field's note has the error; a slate needs no search
    if (!$("user").value) $("user").value = users[0]?.user_id ?? prefix() + STRANGER;
    await show();
  } catch (error) { failed($("state"), error); }
}

async function slateOf(of) {
  const begin = performance.now();
  const answer = await call("POST", "explorer/slate", of.body, { headers: of.headers });
  return { ...answer, milliseconds: Math.round(performance.now() - begin) };
}

/** Show the slates of the fields. before: the answers that the moves are shown against; none for another user or choice. */
async function show(before = []) {
  const requestNumber = ++requests, chosen = columns();
  keepInAddress();
  $("slates").setAttribute("aria-busy", "true");
  state($("state"), "loading", "Making the slate…");
  showHistory($("user").value, details);
  try {
    const answers = await Promise.all(chosen.map(slateOf));
    if (requestNumber !== requests) return;
    draw(answers, chosen, before);
    await renew(answers[0].slate.generation);
    const hint = may("write") ? "" : " This key has no scope write: a title opens its reasons, and no event is stored.";
    state($("state"), "", `${chosen.map((each, at) => `${each.name}: ${answers[at].slate.items.length} items`).join("; ")}.${hint}`);
  } catch (error) {
    if (requestNumber === requests) keepOrDrop(error);
  }
  if (requestNumber === requests) $("slates").setAttribute("aria-busy", "false");
}

/** Say why there is no new slate. The last one stays, out of use, while the server does not answer. */
function keepOrDrop(error) {
  const keeps = shown.length > 0 && (error.status === 0 || error.status >= 500);
  if (!keeps) { $("slates").replaceChildren(); shown = []; }
  $("slates").inert = keeps;
  failed($("state"), error);
  if (keeps) $("state").append(" What is below is the last slate.");
}

/** Read what the fields offer again when another generation answers: its event types and contexts may differ. */
async function renew(answering) {
  if (generation && generation !== answering) offer(await call("GET", "explorer/choices"));
  generation = answering;
}

function draw(answers, chosen, before) {
  const compared = answers.length > 1;
  $("slates").replaceChildren(...answers.map((answer, at) => column(answer, {
    name: chosen[at].name,
    milliseconds: answer.milliseconds,
    others: compared ? idsOf(answers[1 - at]) : before[at] ? idsOf(before[at]) : null,
    absent: compared ? "only here" : "new",
    canSend: may("write"),
    onSend: (item, place) => send(item, place, at),
    onDetails: item => details(item, chosen[at]),
  })));
  $("slates").inert = false;
  shown = answers;
}

const titleAt = (at, place) => {
  const titles = $("slates").children[at]?.querySelectorAll("button.title") ?? [];
  return titles[Math.min(place, titles.length - 1)];
};

/** Store an event of the chosen type, and show the next slate. The row at the pointer stays where it is. */
async function send(item, place, at) {
  const { user, type } = values();
  state($("state"), "loading", "Storing the event…");
  try {
    const event = { user_id: user, item_id: item.item_id, ...(type && { event_type: type }) };
    await call("POST", "events", { events: [event] });
  } catch (error) { state($("state"), "error", error.message); return; }
  sent.unshift(`${type || "event"}: ${nameOf(item)}`);
  $("sent").textContent = `Stored, newest first: ${sent.slice(0, SHOWN_EVENTS).join(" ← ")}${sent.length > SHOWN_EVENTS ? " ← …" : ""}`;
  const top = titleAt(at, place).getBoundingClientRect().top;
  await show(shown);
  const next = titleAt(at, place);
  if (!next) return;
  scrollBy(0, next.getBoundingClientRect().top - top);
  next.focus({ preventScroll: true }); // the rows are new: the keyboard goes on at the same place
}

/** Show the slates of a new choice, without what was said of the one before. */
function another() {
  sent = [];
  $("sent").textContent = "";
  $("unknown").textContent = "";
  closeDetails();
  show();
}

function chosen() {
  $("user").value = $("user").value.trim();
  keepInAddress(true);
  another();
}

$("ask").addEventListener("submit", event => { event.preventDefault(); chosen(); });
$("ask").addEventListener("change", event => { if (event.target.id !== "type") chosen(); else keepInAddress(); });
onBack(another);
searchItems(details);
searchUsers();
onKey(start);
start();
