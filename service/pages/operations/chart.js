// Line charts as inline SVG: axes, the values under the pointer or the arrow keys, and a table of all values.
import { element } from "../common.js";

const SVG = "http://www.w3.org/2000/svg", HEIGHT = 190, LEFT = 52, RIGHT = 8, TOP = 8, BOTTOM = 22, QUARTER = 900;

function svg(kind, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, kind);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}
export const clock = at => new Date(1000 * at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const topOf = most => { // the next of 1, 2 and 5 times a power of ten
  const power = 10 ** Math.floor(Math.log10(most || 1));
  return [1, 2, 5, 10].map(each => each * power).find(each => each >= (most || 1) * .999);
};

/** A chart in a figure. title: its name. names: of the lines. format: of a value. least: the end of the axis, at least.
 *  scaled: lines that the axis has room for; the others may be above it. */
export class Chart {
  constructor(figure, title, names, format, { least = 0, scaled = names.length } = {}) {
    Object.assign(this, { title, names, format, least, scaled, points: [], at: null });
    this.svg = svg("svg", { role: "img", tabindex: 0 });
    this.readout = element("p", { class: "readout" });
    this.rows = element("tbody");
    figure.append(
      element("figcaption", {}, title), this.readout, this.svg,
      element("details", {}, element("summary", {}, "The values as a table"),
        element("div", { tabindex: 0, role: "region", "aria-label": `${title}: values` }, element("table", {},
          element("thead", {}, element("tr", {}, ...["until", ...names].map(name => element("th", { scope: "col" }, name)))), this.rows))));
    this.svg.addEventListener("pointermove", event => this.point(this.nearest(event.offsetX)));
    this.svg.addEventListener("pointerleave", () => this.point(null));
    this.svg.addEventListener("blur", () => this.point(null));
    this.svg.addEventListener("keydown", event => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step || !this.points.length) return;
      event.preventDefault();
      this.point(Math.max(0, Math.min(this.points.length - 1, (this.at ?? this.points.length) + step)));
    });
    new ResizeObserver(() => this.draw()).observe(figure);
  }

  /** Show points: {at: unix seconds, values: one for each name, null where there is none}, oldest first. */
  show(points, now) {
    Object.assign(this, { points, now });
    this.rows.replaceChildren(...points.toReversed().map(({ at, values }) =>
      element("tr", {}, element("td", {}, clock(at)), ...values.map(value => element("td", { class: "number" }, this.text(value))))));
    const last = points.at(-1);
    this.svg.setAttribute("aria-label", last
      ? `${this.title}, ${points.length} points until ${clock(last.at)}. Last: ${this.names.map((name, n) => `${name} ${this.text(last.values[n])}`).join(", ")}. Arrow keys read single points.`
      : `${this.title}: no points yet.`);
    if (this.at !== null && this.at >= points.length) this.at = null;
    this.draw();
  }
  text(value) { return value === null ? "none" : this.format(value); }
  x(at) { return LEFT + (this.width - LEFT - RIGHT) * (1 - (this.now - at) / 3600); }
  y(value) { return TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / this.top); }
  nearest(offset) {
    const away = this.points.map(({ at }) => Math.abs(this.x(at) - offset));
    return away.length ? away.indexOf(Math.min(...away)) : null;
  }
  point(at) { if (at !== this.at) { this.at = at; this.draw(); } }

  draw() {
    this.width = this.svg.clientWidth;
    if (!this.width || !this.now) return;
    this.top = topOf(Math.max(this.least, ...this.points.flatMap(({ values }) => values.slice(0, this.scaled).map(value => value ?? 0))));
    const shown = this.points[this.at ?? this.points.length - 1];
    this.svg.replaceChildren(...this.axes(), ...this.names.map((_, n) => svg("path", { class: `c${n}`, d: this.line(n) })),
      ...(this.at === null ? [] : [svg("line", { class: "cursor", x1: this.x(shown.at), x2: this.x(shown.at), y1: TOP, y2: HEIGHT - BOTTOM })]));
    this.readout.replaceChildren(...(shown ? this.names.map((name, n) => element("span", { class: `c${n}` }, `${name} ${this.text(shown.values[n])}`)) : ["No point yet: two readings are 15 s apart."]),
      shown ? `until ${clock(shown.at)}` : "");
  }
  axes() {
    const lines = [0, .5, 1].flatMap(part => {
      const y = this.y(part * this.top);
      return [svg("line", { class: "grid", x1: LEFT, x2: this.width - RIGHT, y1: y, y2: y }),
        svg("text", { x: LEFT - 6, y: y + 4, "text-anchor": "end" }, this.format(part * this.top))];
    });
    const first = Math.ceil((this.now - 3600) / QUARTER) * QUARTER;
    const times = [0, 1, 2, 3].map(n => first + n * QUARTER).filter(at => at <= this.now);
    return [...lines, ...times.map(at => svg("text", { x: this.x(at), y: HEIGHT - 6, "text-anchor": "middle" }, clock(at)))];
  }
  line(n) {
    let open = false, path = "";
    for (const { at, values } of this.points) {
      const place = `${this.x(at).toFixed(1)} ${this.y(values[n]).toFixed(1)}`;
      if (values[n] !== null) path += open ? `L${place}` : `M${place}h.1`; // a point alone is a dot
      open = values[n] !== null;
    }
    return path;
  }
}
