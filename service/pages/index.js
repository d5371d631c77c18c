const $ = id => document.getElementById(id);
const SHOWN_EVENTS = 5;
let last = [], sent = [], generation = null;

async function call(method, path, body) {
  const headers = body ? { "content-type": "application/json" } : {};
  if ($("key").value) headers.authorization = `Bearer ${$("key").value}`;
  const answer = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  const json = await answer.json();
  if (answer.status === 401) $("enter").hidden = false;
  if (!answer.ok) throw new Error(json.error ? `${json.error.field || ""} ${json.error.message}` : answer.statusText);
  return json;
}
function state(text, bad) { $("state").textContent = text; $("state").className = bad ? "bad" : ""; }

// The event types are a generation's. Without them, events have the type that the service gives them: click.
async function loadTypes() {
  const chosen = $("type").value;
  const types = (await call("GET", "/status")).event_types;
  if (!types.length) return;
  $("type").replaceChildren(...types.map(type => new Option(type, type)));
  if (types.includes(chosen)) $("type").value = chosen;
}
async function recommend() {
  const start = performance.now();
  $("slate").setAttribute("aria-busy", "true");
  try {
    const answer = await call("POST", "/recommend", { user_id: $("user").value, k: 15 });
    draw(answer.items);
    const without = answer.degraded.length ? `, without ${answer.degraded.join(", ")}` : "";
    state(`${answer.items.length} items in ${(performance.now() - start).toFixed(0)} ms · generation ${answer.generation} · ${answer.history} interactions known${without}`);
    if (answer.generation !== generation) {
      generation = answer.generation;
      await loadTypes().catch(() => { generation = null; });
    }
  } catch (error) { state(error.message, true); }
  $("slate").setAttribute("aria-busy", "false");
}
// Text stays text, and styles are set as properties: the policy of the page forbids markup that is made here.
function part(kind, name, text, style) {
  const made = document.createElement(kind);
  made.className = name; made.textContent = text; Object.assign(made.style, style);
  return made;
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
    const title = part("span", "title", name), sources = part("span", "sources", ""), bar = part("span", "bar", "");
    if (sign) title.append(part("span", "move", sign));
    for (const source of item.sources) sources.append(part("span", "chip", source, { background: `var(--${source}, var(--soft))` }));
    bar.title = `score ${item.score}`;
    bar.append(part("i", "", "", { width: `${10 + 90 * (item.score - low) / span}%` }));
    const button = part("button", "", "");
    button.type = "button";
    button.setAttribute("aria-label", [`${place + 1}. ${name}`, words, `from ${item.sources.join(", ")}`].filter(Boolean).join(", "));
    button.append(part("span", "rank", place + 1), title, sources, bar);
    button.onclick = () => act(item, place);
    const row = part("li", words === "new" ? "new" : "", "");
    row.append(button);
    return row;
  }));
  last = items.map(item => item.item_id);
}
async function act(item, place) {
  const type = $("type").value, event = { user_id: $("user").value, item_id: item.item_id };
  if (type) event.event_type = type;
  try {
    await call("POST", "/events", { events: [event] });
  } catch (error) { state(error.message, true); return; }
  sent.push(`${$("type").selectedOptions[0].text}: ${item.title || item.item_id}`);
  $("sent").textContent = `Sent: ${sent.length > SHOWN_EVENTS ? "… → " : ""}${sent.slice(-SHOWN_EVENTS).join(" → ")}`;
  await recommend();
  // The rows are new: the keyboard goes on at the same place.
  const rows = $("slate").querySelectorAll("button");
  if (rows.length) rows[Math.min(place, rows.length - 1)].focus();
}
$("ask").onsubmit = event => { event.preventDefault(); last = []; sent = []; $("sent").textContent = ""; recommend(); };
$("enter").onsubmit = event => { event.preventDefault(); recommend(); };
recommend();
