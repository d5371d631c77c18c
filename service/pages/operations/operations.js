// The Operations page: reads the overview every 15 seconds while the page is visible, and draws what changed.
import { $, call, element, failed, onKey, state } from "../common.js";
import { button, onEnd } from "./actions.js";
import { Chart } from "./chart.js";
import { ago, answerAge, count, duration, ms, percent, rate } from "./format.js";
import { notMade, problems } from "./problems.js";
import { fill } from "./table.js";

const REFRESH_MS = 15000, TIMEOUT_MS = 10000;
const number = text => ({ text, class: "number" });
const mark = (bad, words, fine = "") => ({ text: bad ? words : fine, class: bad ? "bad tight" : "tight" });
const command = (before, text) => [before, element("code", {}, text)];
let timer, shown = null, charts = null;

async function refresh() {
  clearTimeout(timer);
  try {
    shown = await call("GET", "operations/overview", undefined, { signal: AbortSignal.timeout(TIMEOUT_MS) });
    draw(shown);
    state($("state"));
  } catch (error) {
    failed($("state"), error);
    if (shown) $("state").append(` What is below is of ${clock(shown.at)}.`);
    if (error.status === 401 || error.status === 403) return; // a key starts it again
  }
  if (!document.hidden) timer = setTimeout(refresh, REFRESH_MS);
}
const clock = at => new Date(1000 * at).toLocaleTimeString([], { hourCycle: "h23" });

function draw(data) {
  $("content").hidden = false;
  $("as-of").textContent = `As of ${clock(data.at)}, in the time of this browser. The page reads again every 15 s.`;
  const found = problems(data), absent = notMade(data);
  fillList([...found.map(words => [words, ""]), ...(absent ? [[absent, "plain"]] : [])]);
  drawLive(data);
  drawRequests(data);
  drawServing(data);
  drawStored(data, data.stored);
}

function fillList(found) {
  const lines = found.length ? found : [["Everything is as promised.", "fine"]];
  if ($("problems").textContent === lines.map(([words]) => words).join("")) return; // read aloud when it changes
  $("problems").replaceChildren(...lines.map(([words, name]) => element("li", { class: name }, words)));
}

/** How the runs of a flow stand against its promise. A failed last run is named also while the last success is new enough. */
function standing({ late, state: last, last_success: success, promised }) {
  const bad = [late && "late", ["failed", "crashed"].includes(last) && `last run ${last}`].filter(Boolean);
  return mark(bad.length, bad.join(", "), success === null ? "no success yet" : promised === null ? "" : "in time");
}

function drawLive({ status, ages, at, gateways }) {
  const model = ages.find(({ part }) => part === "model");
  $("live").textContent = status.generation
    ? `Generation ${status.generation} answers. It was made ${ago(model.made, at)}. Topology ${status.topology}, ${count(gateways)} gateway process${gateways === 1 ? "" : "es"}.`
    : "No generation answers. Train and publish one: python -m flows run --data DIR";
}

function drawRequests({ hour: { recent, minutes }, promises, at }) {
  charts ??= {
    rate: new Chart($("rate"), "Requests to /recommend a second", ["requests"], rate),
    times: new Chart($("times"), "Time of /recommend", ["p50", "p95", "p99", "promised p99"], ms),
    shares: new Chart($("shares"), "Shares of /recommend", ["failed", "lack a stage", "refused (429)"], percent, { least: .01 }),
    load: new Chart($("load"), "Slates in flight, on average", ["in flight", "limit"], rate, { scaled: 1 }),
  };
  const points = values => minutes.map(each => ({ at: each.at, values: values(each) }));
  charts.rate.show(points(each => [each.rate]), at);
  charts.times.show(points(each => [each.p50, each.p95, each.p99, promises.p99.recommend]), at);
  charts.shares.show(points(each => [each.failed, each.lacking, each.refused]), at);
  charts.load.show(points(each => [each.in_flight, each.limit]), at);
  const now = recent.recommend;
  $("window").textContent = now ? `Figures are of the last ${duration(now.seconds)}, charts of the last hour.` : "The first figures come 15 s after the start.";
  $("tiles").replaceChildren(...(now ? tiles(now, promises) : []));
  fill("verbs", Object.entries(recent), ([verb]) => verb, [
    ([verb]) => `/${verb}`, ([, each]) => number(rate(each.rate)), ...["p50", "p95", "p99"].map(name => ([, each]) => number(ms(each[name]))),
    ([verb]) => number(ms(promises.p99[verb] ?? null)), ([, each]) => number(percent(each.failed)), ([, each]) => number(percent(each.refused)),
  ], "No reading yet.");
}

function tiles(now, promises) {
  return [
    ["/recommend a second", rate(now.rate)],
    ["p50", ms(now.p50)], ["p95", ms(now.p95)],
    ["p99", ms(now.p99), `promised ${ms(promises.p99.recommend)}`, now.p99 > promises.p99.recommend],
    ["failed", percent(now.failed), `allowed ${percent(promises.failed)}`, now.failed > promises.failed],
    ["lack a stage", percent(now.lacking), `allowed ${percent(promises.lacking)}`, now.lacking > promises.lacking],
    ["slates in flight", rate(now.in_flight), `at most ${count(now.limit)}`],
  ].map(([name, value, note, bad]) => element("div", {}, element("dt", {}, name), element("dd", { class: bad ? "bad" : "" }, value),
    note ? element("dd", { class: "note" }, bad ? `${note}: broken` : note) : null));
}

function drawServing({ status, ages, hour, promises, at }) {
  const known = new Set(ages.map(({ part }) => part));
  const others = Object.keys(hour.answer_ages).filter(part => !known.has(part)).map(part => ({ part, made: null, promised: promises.ages[part] ?? null }));
  fill("ages", [...ages, ...others], ({ part }) => part, [
    ({ part }) => promises.lists.includes(part) ? `lists of ${part}` : part === "list" ? "lists in answers" : part, ({ part, made }) => known.has(part) ? ago(made, at) : "–",
    ({ promised }) => duration(promised, ""), ({ part }) => answerAge(hour.answer_ages[part]),
    ({ part, made, promised }) => mark(promised !== null && (at - (made ?? at) > promised || hour.answer_ages[part] > promised), "too old"),
  ], "");
  const lists = Object.entries(hour.lists).map(([outcome, share]) => `${percent(share)} ${outcome.replace("_", " ")}`);
  $("lists").textContent = lists.length ? `Lists of the users that slates were made for: ${lists.join(", ")}.` : "";
  fill("processes", status.processes, ({ name }) => name, [({ name }) => name, ({ held }) => held.join(", ") || "nothing yet"], "No process has announced itself.");
  fill("refused", Object.entries(status.refused), ([id]) => id, [([id]) => id, ([, why]) => why], "None.");
}

function drawStored({ at, status, unavailable }, stored) {
  $("unavailable").hidden = !unavailable;
  $("unavailable").textContent = unavailable ?? "";
  const away = stored ? null : `The store can't be read: ${status.store}`;
  fill("generations", stored?.generations ?? [], ({ id }) => id, [
    ({ id }) => id, ({ aliases }) => aliases.join(", "),
    ({ id, aliases }) => aliases.includes("live") ? null : button(aliases.includes("previous") ? "rollback" : "promote", id, Boolean(unavailable)),
    ({ created, note }) => note || ago(created, at), ({ metrics }) => number(metrics["recall@10"]?.toFixed(4) ?? "–"),
    ({ bytes }) => number(bytes === null ? "–" : (bytes / 2 ** 20).toFixed(1)),
  ], away ?? command("The store has none. Train and publish one: ", "python -m flows run --data DIR"));
  fill("flows", stored?.flows ?? [], ({ flow }) => flow, [
    ({ flow, deployment }) => `${flow}/${deployment}`, each => mark(["failed", "crashed"].includes(each.state), each.state, each.state),
    ({ began }) => ago(began, at), ({ seconds }) => number(duration(seconds)), each => number(duration(each.usual_seconds, "–")),
    ({ rows }) => number(count(rows)), each => ago(each.last_success, at), ({ promised }) => duration(promised, "–"), standing,
  ], away ?? command("No flow has run. Run all on a schedule: ", "python -m flows schedule --data DIR"));
  fill("experiments", stored?.experiments ?? [], ({ name }) => name, [
    ({ name }) => name, ({ status: each, halted }) => mark(Object.keys(halted).length, `${each}; ${Object.entries(halted).map(([arm, why]) => `${arm} halted: ${why}`).join(" ")}`, each),
    ({ shares }) => Object.entries(shares).map(([arm, share]) => `${arm} ${percent(share)}`).join(", ") || "–",
    ({ changed, change }) => changed === null ? "" : `${ago(changed, at)}: ${change}`,
  ], away ?? command("No experiment. Create one: ", "python -m flows experiment create data/movietweetings/experiment.toml"));
  const drift = stored?.drift;
  $("drift-of").textContent = drift ? `By the run ${ago(drift.at, at)}.${drift.columns.length ? " PSI is the population stability index; p is corrected for the number of columns." : ""}` : "";
  fill("drift", drift?.columns ?? [], ({ against, column }) => `${against}/${column}`, [
    ({ column }) => column, ({ against }) => against, ({ psi }) => number(psi.toFixed(3)), ({ p }) => number(p.toPrecision(2)), ({ alarm }) => mark(alarm, "alarm"),
  ], away ?? (drift ? "The run compared no column: its page has the reason." : command("No run has compared served data with the training yet: ", "python -m flows drift")));
  const skew = Object.entries(drift?.skew ?? {}).map(([name, share]) => `${name} ${percent(share)}`);
  $("skew").textContent = !drift ? "" : skew.length ? `Logged features that differ from recomputed ones, most first: ${skew.join(", ")}.` : "Logged features equal the recomputed ones.";
}

document.addEventListener("visibilitychange", () => { if (document.hidden) clearTimeout(timer); else refresh(); });
onKey(refresh);
onEnd(refresh);
refresh();
