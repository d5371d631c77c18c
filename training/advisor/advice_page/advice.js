// The sliders of the advice: the formulas of cost.py and the choice of judgement.py for other traffic and prices.
"use strict";

const DAY = 86400, HOUR = 3600, MONTH = 30 * DAY, GIB = 2 ** 30, MILLION = 1e6;

function cpuAt(points, rate) {
  const [first, second] = points, last = points[points.length - 1];
  if (rate < first[0]) return first[1] + Math.max(first[1] - second[1], 0) * Math.log(first[0] / rate) / Math.log(second[0] / first[0]);
  if (rate >= last[0]) return last[1];
  const above = points.findIndex(([at]) => at > rate), [from, to] = [points[above - 1], points[above]];
  return from[1] + (to[1] - from[1]) * Math.log(rate / from[0]) / Math.log(to[0] / from[0]);
}

function costOf(mode, parameters, workload, share) {
  const memory = parameters.memory, cpu = parameters.cpu[mode];
  const users = workload.users || memory.users, slates = workload.slates * share, listed = mode !== "realtime";
  const peak = workload.slates * workload.peak_factor;
  const cores = cpuAt(cpu, peak) * peak * share / 1000;
  const refreshed = mode === "micro-batch";
  const active = users * workload.active_share, every = workload.refresh_every;
  let lists = listed ? users / workload.batch_every : 0;
  if (refreshed) lists += active / every * (1 - Math.exp(-slates / active * every));
  const listCores = (lists * parameters.list_cpu_ms + (refreshed ? parameters.flow_cpu_ms / every : 0)) / 1000;
  const redis = memory.parts_bytes * (workload.items || memory.items) / memory.items
    + memory.records_bytes * users / memory.users + (listed ? memory.list_bytes * users : 0);
  const money = (cores + listCores) * workload.price_core_hour / HOUR + redis * workload.price_gib_month / GIB / MONTH;
  return {
    cpu_s: cpuAt(cpu, workload.slates) * MILLION / 1000,
    list_cpu_s: listCores / slates * MILLION,
    cores,
    lists_a_second: lists,
    batch_window_s: listed ? users * parameters.list_cpu_ms / 1000 : 0,
    redis_bytes: redis,
    money: money / slates * MILLION,
  };
}

function inTime(mode, parameters, peak, deadline) {
  const points = parameters.p99_ms[mode];
  const point = points.find(([rate]) => rate >= peak) || points[points.length - 1];
  return !point || deadline === null || point[1] <= deadline;
}

function choose(surface, costs, parameters, workload, near) {
  const preferred = surface.checklist.mode, judged = surface.judgements, peak = workload.slates * workload.peak_factor;
  const timely = Object.keys(costs).filter((mode) => inTime(mode, parameters, peak, surface.deadline_ms));
  const enough = (mode) => judged[mode].freshness === "enough" || (judged[mode].freshness === "unknown" && mode === preferred);
  const allowed = timely.filter(enough);
  const loss = (mode) => judged[mode].loss ? judged[mode].loss.share : Infinity;
  if (!allowed.length) return timely.length ? timely.reduce((best, mode) => loss(mode) < loss(best) ? mode : best) : "batch";
  const least = Math.min(...allowed.map((mode) => costs[mode].money));
  const cheap = allowed.filter((mode) => costs[mode].money <= near * least);
  return cheap.includes(preferred) ? preferred : cheap[0];
}

function shownFigure(value) {
  if (value >= 100) return value.toFixed(0).replace(/\B(?=(\d{3})+$)/g, ",");
  return value.toFixed(value >= 1 || value === 0 ? 2 : 4);
}

function evaluate(figures, workload) {
  return Object.fromEntries(Object.entries(figures.surfaces).map(([name, surface]) => {
    const modes = Object.keys(surface.judgements);
    const costs = Object.fromEntries(modes.map((mode) => [mode, costOf(mode, figures.parameters, workload, surface.share)]));
    return [name, { costs, mode: choose(surface, costs, figures.parameters, workload, figures.near) }];
  }));
}

function draw(figures, workload) {
  const parts = [];
  for (const [name, { costs, mode }] of Object.entries(evaluate(figures, workload))) {
    const stated = figures.surfaces[name].mode;
    const find = (attribute) => [...document.querySelectorAll(`[data-${attribute}]`)].find((each) => each.dataset[attribute] === name);
    find("surface").textContent = mode === stated ? mode : `${mode} (as stated: ${stated})`;
    for (const row of find("costs").querySelectorAll("tr[data-mode]")) {
      row.classList.toggle("chosen", row.dataset.mode === mode);
      for (const cell of row.querySelectorAll("td")) cell.textContent = shownFigure(costs[row.dataset.mode][cell.dataset.figure]);
    }
    parts.push(`${name}: ${mode}, ${shownFigure(costs[mode].money)} for a million slates.`);
  }
  document.querySelector("#state").textContent = parts.join(" ");
}

function start() {
  const figures = JSON.parse(document.querySelector("#advice").textContent), workload = { ...figures.workload };
  for (const slider of document.querySelectorAll("#sliders input")) {
    slider.addEventListener("input", () => {
      const value = "logarithmic" in slider.dataset ? 10 ** Number(slider.value) : Number(slider.value);
      workload[slider.name] = value;
      slider.previousElementSibling.textContent = shownFigure(value);
      slider.setAttribute("aria-valuetext", shownFigure(value));
      draw(figures, workload);
    });
  }
  draw(figures, workload);
}

if (typeof document !== "undefined") start();
