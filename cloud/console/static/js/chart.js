// Curves by uPlot: one dark line, its min–max band light, limits dashed, events as ticks on the axis; gaps are gaps.
import uPlot from "../vendor/uplot.js";
import { paced } from "./pace.js";

const drawn = new WeakSet();

function css(name, element) {
  return getComputedStyle(element).getPropertyValue(name).trim();
}

function limits(data, ink) {
  return (u) => {
    const { ctx, bbox } = u;
    ctx.save();
    for (const limit of data.limits) {
      const y = u.valToPos(limit.value, "y", true);
      if (y < bbox.top || y > bbox.top + bbox.height) continue;
      ctx.strokeStyle = ctx.fillStyle = ink(`--${limit.priority}`);
      ctx.lineWidth = 1.5 * devicePixelRatio;
      ctx.setLineDash([6 * devicePixelRatio, 4 * devicePixelRatio]);
      ctx.beginPath();
      ctx.moveTo(bbox.left, y);
      ctx.lineTo(bbox.left + bbox.width, y);
      ctx.stroke();
      ctx.textAlign = "left";
      ctx.fillText(`${limit.word} ${limit.value}`, bbox.left + 4 * devicePixelRatio, y - 4 * devicePixelRatio);
    }
    ctx.restore();
  };
}

function marks(data, ink) {
  return (u) => {
    const { ctx, bbox } = u;
    const px = devicePixelRatio;
    ctx.save();
    ctx.strokeStyle = ctx.fillStyle = ink("--ink");
    ctx.lineWidth = 1.5 * px;
    let free = -Infinity; // where the last word ended: two words never lie on each other
    for (const mark of [...data.marks].sort((a, b) => a.t - b.t)) {
      const x = u.valToPos(mark.t, "x", true);
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.beginPath();
      ctx.moveTo(x, bbox.top + bbox.height - 10 * px);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      const width = ctx.measureText(mark.word).width;
      const right = x + width + 4 * px > bbox.left + bbox.width;
      const start = right ? x - width - 4 * px : x + 4 * px;
      if (start < free) continue;
      free = start + width + 8 * px;
      ctx.textAlign = "left";
      ctx.fillText(mark.word, start, bbox.top + bbox.height - 4 * px);
    }
    ctx.restore();
  };
}

function options(place, data, zone) {
  const ink = (name) => css(name, place);
  const font = `${parseFloat(getComputedStyle(document.documentElement).fontSize) * 0.8125}px ${css("--font", place)}`;
  const axis = { stroke: ink("--ink-2"), font, grid: { stroke: ink("--hair"), width: 1 }, ticks: { stroke: ink("--hair"), width: 1 } };
  const hour = new Intl.DateTimeFormat("en-GB", { timeZone: zone, hour: "2-digit", minute: "2-digit" });
  const day = new Intl.DateTimeFormat("en-GB", { timeZone: zone, month: "2-digit", day: "2-digit" });
  const long = data.until - data.since > 2 * 86400;
  return {
    width: place.clientWidth,
    height: place.clientHeight,
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, points: { size: 8 } },
    tzDate: (t) => uPlot.tzDate(new Date(t * 1000), zone),
    scales: { x: { time: true, range: [data.since, data.until] } },
    padding: [12, 8, 0, 0],
    series: [
      {},
      { stroke: "transparent", points: { show: false } },
      { stroke: "transparent", points: { show: false } },
      { stroke: ink("--curve"), width: 1.5, spanGaps: false, points: { show: data.t.length < 40, size: 4, fill: ink("--curve") } },
    ],
    bands: [{ series: [2, 1], fill: ink("--band") }],
    axes: [
      { ...axis, space: 64, size: 30, values: (_, splits) => splits.map((t) => { const h = hour.format(t * 1000); return long || h === "00:00" ? day.format(t * 1000).split("/").reverse().join("-") : h; }) },
      { ...axis, size: 56, label: data.unit, labelSize: 20, labelFont: font },
    ],
    hooks: { draw: [() => {}], drawClear: [] },
  };
}

function reader(place, data, u, clock) {
  const read = document.createElement("p");
  read.className = "chart-read";
  read.setAttribute("role", "status");
  read.hidden = true;
  place.append(read);
  const show = (index) => {
    const mean = data.mean[index];
    read.hidden = index == null || mean == null;
    if (!read.hidden) read.textContent = `${clock.hour(data.t[index] * 1000)}  ${Number(mean.toPrecision(4))} ${data.unit}`;
  };
  // The arrow keys walk the line as the mouse does, over its gaps.
  place.onkeydown = (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -1e9, End: 1e9 }[event.key];
    if (!step) return;
    event.preventDefault();
    const from = u.cursor.idx ?? data.t.length;
    let index = Math.min(Math.max(from + step, 0), data.t.length - 1);
    const on = index === 0 ? 1 : index === data.t.length - 1 && step > 1 ? -1 : Math.sign(step);
    while (data.mean[index] == null && data.t[index + on] !== undefined) index += on;
    if (data.mean[index] == null) return;
    u.setCursor({ left: u.valToPos(data.t[index], "x"), top: u.valToPos(data.mean[index] ?? 0, "y") });
  };
  return show;
}

async function load(place, clock) {
  const answer = await fetch(place.dataset.chart, { headers: { Accept: "application/json" } });
  if (!answer.ok) return;
  const data = await answer.json();
  place.plot?.destroy();
  place.replaceChildren();
  if (!data.mean.some((value) => value !== null)) {
    const none = document.createElement("p");
    none.className = "chart-none";
    none.textContent = place.dataset.none;
    place.append(none);
    return;
  }
  const ink = (name) => css(name, place);
  const opts = options(place, data, document.body.dataset.zone);
  opts.hooks.draw = [limits(data, ink), marks(data, ink)];
  let show = () => {};
  opts.hooks.setCursor = [(u) => show(u.cursor.idx)];
  place.plot = new uPlot(opts, [data.t, data.low, data.high, data.mean], place);
  show = reader(place, data, place.plot, clock);
}

export function draw(place, clock) {
  if (drawn.has(place)) return;
  drawn.add(place);
  let busy = false;
  const again = async () => {
    if (busy || !place.isConnected) return;
    busy = true;
    try { await load(place, clock); } finally { busy = false; }
  };
  again();
  // The same as figures, for who cannot see it: read while it is open.
  const figures = document.getElementById(place.dataset.figures);
  const figures_again = () => { if (figures.open) figures.dispatchEvent(new CustomEvent("anju:figures")); };
  figures?.addEventListener("toggle", figures_again);
  if (place.dataset.refresh) {
    const both = paced(Number(place.dataset.every), () => {
      again();
      if (figures) figures_again();
    });
    document.body.addEventListener(place.dataset.refresh, both);
  }
  let width = place.clientWidth;
  new ResizeObserver(() => {
    if (place.clientWidth === width) return;
    width = place.clientWidth;
    place.plot?.setSize({ width, height: place.clientHeight });
  }).observe(place);
  // Colours are read when drawn: a change of the device's theme draws anew.
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
}
