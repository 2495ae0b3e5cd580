// Charts over time, drawn by uPlot on a canvas; their values are also shown as text.

import { h, text } from './dom.js';
import { axis as plain, count, moment, percent } from './format.js';
import * as labels from './labels.js';

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const themed = new Set(); // Charts to redraw when the colours change.
const observer = new ResizeObserver((entries) => {
  for (const { target } of entries) target.chart?.resize();
});

export function redraw() {
  for (const chart of [...themed]) chart.recolour();
}

class Chart {
  // make: the options of uPlot except size and axes; data: in uPlot's format.
  constructor(title, height, make, value, onZoom = null) {
    this.height = height;
    this.make = make;
    this.value = value;
    this.onZoom = onZoom;
    this.plot = null;
    this.data = null;
    this.range = null;
    this.place = h('div', { class: 'plot', role: 'img', 'aria-label': title });
    this.place.chart = this;
    this.element = this.place;
    observer.observe(this.place);
    themed.add(this);
  }

  destroy() {
    observer.unobserve(this.place);
    themed.delete(this);
    this.plot?.destroy();
    this.plot = null;
  }

  describe(words) {
    if (this.place.getAttribute('aria-label') !== words) this.place.setAttribute('aria-label', words);
  }

  resize() {
    const width = this.place.clientWidth;
    if (!this.plot || width === this.plot.width || width < 50) return;
    this.plot.setSize({ width, height: this.height });
  }

  recolour() {
    this.plot?.destroy();
    this.plot = null;
    if (this.data) this.update(this.data, this.range);
  }

  update(data, range) {
    this.data = data;
    this.range = range;
    const width = this.place.clientWidth;
    if (width < 50) return; // Not on the page yet.
    if (this.plot) {
      this.plot.setData(data, true);
      return;
    }
    this.plot = new uPlot(this.options(width), data, this.place);
  }

  options(width) {
    const made = this.make();
    const axis = {
      stroke: css('--muted'),
      font: `11px ${css('--font')}`,
      grid: { stroke: css('--line'), width: 1 },
      ticks: { show: false },
    };
    const onZoom = this.onZoom;
    return {
      width,
      height: this.height,
      padding: [8, 4, 0, 0],
      legend: { show: false },
      cursor: {
        y: false,
        sync: { key: 'time' },
        drag: { x: Boolean(onZoom), y: false, setScale: false },
        points: { show: false },
      },
      scales: {
        x: { time: true, range: () => this.range },
        y: { range: (_, low, high) => made.top(high) },
      },
      axes: [
        { ...axis, size: 28, space: 70, values: (_, splits, __, ___, step) => splits.map((at) => moment(at, step < 60)) },
        { ...axis, size: 46, space: 34, values: (_, splits) => splits.map(this.value) },
      ],
      series: [{}, ...made.series],
      hooks: {
        setCursor: [(plot) => made.cursor?.(plot.cursor.idx ?? null)],
        setSelect: [(plot) => {
          if (!onZoom || plot.select.width < 8) return;
          const begin = plot.posToVal(plot.select.left, 'x');
          const end = plot.posToVal(plot.select.left + plot.select.width, 'x');
          plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
          if (end - begin >= 5) onZoom(Math.floor(begin), Math.ceil(end));
        }],
      },
    };
  }
}

const ceiling = (least) => (high) => [0, Math.max(least, (high ?? 0) * 1.08)];
const line = (name, width = 1.5) => ({ stroke: css(name), width, points: { show: false }, spanGaps: true });

const START = 0; // In a row: then the sum of scores, and a count for each label.
const SCORES = 1;
const COUNTS = 2;
const total = (row) => row.slice(COUNTS).reduce((sum, value) => sum + value, 0);

// Volume by label, stacked, and the share of the watched label below it, on one axis of time.
export class Sentiment {
  constructor(onZoom) {
    this.rows = new Map();
    this.step = 1;
    this.key = h('dl', { class: 'key' });
    this.figures = {};
    this.names = labels.names();
    this.watched = labels.watched();
    for (const name of this.names) {
      this.figures[name] = h('dd');
      this.key.append(h('div', {}, h('dt', { class: `chip ${labels.className(name)}` }, name), this.figures[name]));
    }
    this.at = h('span', { class: 'muted at' });
    const cursor = (index) => this.legend(index);
    // Painted from the tallest layer down, so that each label's layer keeps its own colour.
    this.volume = new Chart('Reviews a second by label', 190, () => ({
      top: ceiling(1),
      cursor,
      series: this.names.map(labels.className).reverse().map((name) => ({ ...line(`--${name}-line`, 1), fill: css(`--${name}-area`) })),
    }), plain, onZoom);
    const watched = `--${labels.className(this.watched)}`;
    this.share = new Chart(`Share of ${this.watched} reviews`, 130, () => ({
      top: (high) => [0, Math.min(1, Math.max(0.1, (high ?? 0) * 1.15))],
      cursor,
      series: [{ ...line(`${watched}-line`, 1.75), fill: `${css(`${watched}-line`)}1f` }],
    }), (value) => percent(value), onZoom);
    this.empty = h('p', { class: 'empty over' }, 'No reviews in this time.');
    this.element = h('div', { class: 'charts' },
      h('div', { class: 'figure' },
        h('div', { class: 'caption' }, h('h2', {}, 'Reviews a second'), this.at),
        this.key, this.volume.element, this.empty),
      h('div', { class: 'figure' }, h('h2', {}, `Share of ${this.watched}`), this.share.element));
  }

  destroy() {
    this.volume.destroy();
    this.share.destroy();
  }

  update(part) {
    if (part.whole) this.rows.clear();
    for (const row of part.rows) this.rows.set(row[START], row);
    for (const start of this.rows.keys()) if (start < part.begin - part.step) this.rows.delete(start);
    this.step = part.step;
    const sorted = [...this.rows.values()].sort((a, b) => a[START] - b[START]);
    // The newest seconds are not complete before the next commits.
    this.shown = part.step < 60 ? sorted.filter((row) => row[START] + part.step <= part.watermark) : sorted;
    const length = (row) => Math.max(1, Math.min(part.step, part.watermark + 1 - row[START]));
    const layers = this.names.map((_, place) => this.shown.map((row) => total(row.slice(0, COUNTS + place + 1)) / length(row)));
    const times = this.shown.map((row) => row[START]);
    const watched = COUNTS + this.names.indexOf(this.watched);
    const range = [part.begin, part.end];
    this.volume.update([times, ...layers.reverse()], range);
    this.share.update([times, this.shown.map((row) => (total(row) ? (row[watched] ?? 0) / total(row) : null))], range);
    this.empty.hidden = sorted.length > 0;
    this.sums = this.add(sorted);
    this.legend(this.volume.plot?.cursor.idx ?? null);
    const words = `${count(this.sums.total)} reviews from ${moment(part.begin)} to ${moment(part.end)}`;
    this.volume.describe(`Reviews a second by label: ${words}, ${this.names.map((name) => `${count(this.sums.by[name])} ${name}`).join(', ')}.`);
    this.share.describe(`Share of ${this.watched} reviews: ${percent(this.sums.share, 1)} of ${words}.`);
  }

  add(rows) {
    const by = Object.fromEntries(this.names.map((name, place) => [name, rows.reduce((sum, row) => sum + row[COUNTS + place], 0)]));
    const all = rows.reduce((sum, row) => sum + total(row), 0);
    const scores = rows.reduce((sum, row) => sum + row[SCORES], 0);
    return {
      by,
      total: all,
      share: all ? (by[this.watched] ?? 0) / all : null,
      mean: all ? scores / all / 1e6 : null,
    };
  }

  // The point under the pointer, otherwise the whole time.
  legend(index) {
    const row = index === null || index === undefined ? null : this.shown?.[index];
    const sums = row ? this.add([row]) : this.sums;
    if (!sums) return;
    text(this.at, row ? moment(row[START], this.step < 60) : 'in all');
    for (const name of this.names) text(this.figures[name], `${count(sums.by[name])} · ${percent(sums.total ? sums.by[name] / sums.total : null)}`);
  }
}

// One or more plain lines, for the System page.
export class Lines {
  constructor(title, names, value, least) {
    this.chart = new Chart(title, 120, () => ({
      top: ceiling(least),
      series: names.map(([name, fill]) => ({ ...line(name), fill: fill ? css(fill) : undefined })),
    }), value);
    this.figure = h('strong', {}, '–');
    this.title = title;
    this.element = h('div', { class: 'figure card' },
      h('div', { class: 'caption' }, h('h2', {}, title), this.figure), this.chart.element);
  }

  destroy() {
    this.chart.destroy();
  }

  update(data, range, figure) {
    this.chart.update(data, range);
    text(this.figure, figure);
    this.chart.describe(`${this.title}: ${figure}`);
  }
}
