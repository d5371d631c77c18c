import { $, call, element, onKey, state } from "../common.js";

const SHOWN_EVENTS = 5;
let last = [], sent = [], generation = null;

// The event types are a generation's. Without them, events have the type that the service gives them: click.
async function loadTypes() {
  const chosen = $("type").value;
  const types = (await call("GET", "status")).event_types;
  if (!types.length) return;
  $("type").replaceChildren(...types.map(type => new Option(type, type)));
  if (types.includes(chosen)) $("type").value = chosen;
}

async function recommend() {
  const start = performance.now();
  $("slate").setAttribute("aria-busy", "true");
  try {
    const answer = await call("POST", "recommend", { user_id: $("user").value, k: 15 });
    draw(answer.items);
    const without = answer.degraded.length ? `, without ${answer.degraded.join(", ")}` : "";
    state($("state"), "", `${answer.items.length} items in ${(performance.now() - start).toFixed(0)} ms · generation ${answer.generation} · ${answer.history} interactions known${without}`);
    if (answer.generation !== generation) {
      generation = answer.generation;
      await loadTypes().catch(() => { generation = null; });
    }
  } catch (error) { state($("state"), "error", error.message); }
  $("slate").setAttribute("aria-busy", "false");
}

function moved(item, place) {
  const before = last.indexOf(item.item_id);
  if (!last.length || before === place) return ["", ""];
  if (before < 0) return ["new", "new"];
  return before > place ? [`▲ ${before - place}`, `up ${before - place}`] : [`▼ ${place - before}`, `down ${place - before}`];
}

function draw(items) {
  const scores = items.map(item => item.score), low = Math.min(...scores), span = Math.max(...scores) - low || 1;
  $("slate").replaceChildren(...items.map((item, place) => {
    const [sign, words] = moved(item, place), name = item.title || item.item_id;
    const width = `${10 + 90 * (item.score - low) / span}%`;
    const label = [`${place + 1}. ${name}`, words, `from ${item.sources.join(", ")}`].filter(Boolean).join(", ");
    return element("li", { class: words === "new" ? "new" : "" },
      element("button", { type: "button", "aria-label": label, onclick: () => act(item, place) },
        element("span", { class: "rank" }, String(place + 1)),
        element("span", { class: "title" }, String(name), sign && element("span", { class: "move" }, sign)),
        element("span", { class: "sources" }, ...item.sources.map(source =>
          element("span", { class: "chip", style: { "--source": `var(--${source}, var(--soft))` } }, source))),
        element("span", { class: "bar", title: `score ${item.score}` }, element("i", { style: { width } }))));
  }));
  last = items.map(item => item.item_id);
}

async function act(item, place) {
  const type = $("type").value, event = { user_id: $("user").value, item_id: item.item_id };
  if (type) event.event_type = type;
  try {
    await call("POST", "events", { events: [event] });
  } catch (error) { state($("state"), "error", error.message); return; }
  sent.push(`${$("type").selectedOptions[0].text}: ${item.title || item.item_id}`);
  $("sent").textContent = `Sent: ${sent.length > SHOWN_EVENTS ? "… → " : ""}${sent.slice(-SHOWN_EVENTS).join(" → ")}`;
  await recommend();
  // The rows are new: the keyboard goes on at the same place.
  const rows = $("slate").querySelectorAll("button");
  if (rows.length) rows[Math.min(place, rows.length - 1)].focus();
}

$("ask").onsubmit = event => { event.preventDefault(); last = []; sent = []; $("sent").textContent = ""; recommend(); };
onKey(recommend);
recommend();
