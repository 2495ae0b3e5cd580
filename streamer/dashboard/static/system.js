// System: the metrics of the workers.

import { Lines } from './charts.js';
import { h, text, vary } from './dom.js';
import { axis, count, percent, rate, seconds } from './format.js';

export class System {
  constructor() {
    this.points = [];
    this.rate = new Lines('Throughput', [['--ink', '--fill']], axis, 1);
    this.lag = new Lines('Lag', [['--ink', '--fill']], axis, 10);
    this.latency = new Lines('Latency', [['--ink'], ['--muted']], seconds, 0.01);
    this.workers = h('div', { class: 'workers' });
    this.note = h('p', { class: 'empty' }, 'Asking the workers…');
    this.dead = h('tbody');
    this.none = h('p', { class: 'empty' }, 'No dead letters.');
    this.trends = h('dl', { class: 'facts' });
    this.element = h('div', { class: 'system' }, h('h1', { class: 'sr' }, 'System'),
      h('div', { class: 'three' }, this.rate.element, this.lag.element, this.latency.element),
      this.note, this.workers,
      h('div', { class: 'two' },
        h('section', { class: 'card', 'aria-labelledby': 'dead' }, h('h2', { id: 'dead' }, 'Dead letters by reason'), this.none, h('table', { class: 'plain' }, this.dead)),
        h('section', { class: 'card', 'aria-labelledby': 'counts' }, h('h2', { id: 'counts' }, 'Trends topic'), this.trends)));
  }

  change() {}

  destroy() {
    for (const chart of [this.rate, this.lag, this.latency]) chart.destroy();
  }

  key() { return false; }

  update(parts, first) {
    const part = parts.system;
    if (!part) return;
    if (first) this.points = [];
    this.points.push(...part.points);
    const now = this.points.at(-1)?.[0] ?? Date.now() / 1000;
    const begin = now - 600;
    this.points = this.points.filter(([at]) => at >= begin);
    const column = (place) => this.points.map((point) => point[place]);
    const last = this.points.at(-1);
    const range = [Math.max(begin, Math.min(now - 60, this.points[0]?.[0] ?? begin)), now];
    this.rate.update([column(0), column(1)], range, last ? `${rate(last[1])} records/s` : '–');
    this.lag.update([column(0), column(2)], range, last ? `${count(last[2])} records` : '–');
    const latest = (place) => this.points.findLast((point) => point[place] !== null)?.[place];
    this.latency.update([column(0), column(3), column(4)], range, last ? `${seconds(latest(3))} median, ${seconds(latest(4))} p95` : '–');
    this.note.hidden = part.workers.length > 0;
    if (!part.workers.length) text(this.note, 'The setting dashboard.workers names no workers.');
    this.workers.replaceChildren(...part.workers.map(worker));
    this.letters(part.workers);
    this.trends.replaceChildren(...part.trends.map(([name, value]) => fact(name, count(value))));
  }

  letters(workers) {
    const reasons = {};
    for (const { dead = {} } of workers) for (const [reason, value] of Object.entries(dead)) reasons[reason] = (reasons[reason] ?? 0) + value;
    const rows = Object.entries(reasons).filter(([, value]) => value > 0).sort((a, b) => b[1] - a[1]);
    this.none.hidden = rows.length > 0;
    this.dead.replaceChildren(...rows.map(([reason, value]) => h('tr', {}, h('th', { scope: 'row' }, reason), h('td', { class: 'number' }, count(value)))));
  }
}

const fact = (name, value, state = '') => h('div', { class: state }, h('dt', {}, name), h('dd', {}, value));

function worker(about) {
  const head = h('div', { class: 'caption' }, h('h2', {}, about.url.replace(/^https?:\/\//, '')),
    h('span', { class: about.error ? 'away' : 'there' }, about.error ? 'does not answer' : 'answers'));
  if (!about.records) return h('section', { class: 'card worker' }, head, h('p', { class: 'empty' }, about.error));
  const failed = about.commits.failed ?? 0;
  return h('section', { class: 'card worker' }, head, about.error && h('p', { class: 'muted' }, about.error),
    h('dl', { class: 'facts' },
      fact('model', about.model || '–'),
      fact('records/s', about.rate === null ? '–' : rate(about.rate)),
      fact('lag', `${count(about.lag)}${about.lag ? ` · ${seconds(about.lag_seconds)}` : ''}`),
      fact('latency, median', seconds(about.p50)),
      fact('latency, p95', seconds(about.p95)),
      fact('padding efficiency', percent(about.padding, 1)),
      fact('tokens in flight', count(about.in_flight)),
      fact('reviews waiting', count(about.waiting)),
      fact('partitions paused', count(about.paused), about.paused ? 'bad' : ''),
      fact('longest loop delay', seconds(about.loop_delay), about.loop_delay > 1 ? 'bad' : ''),
      fact('commits failed', count(failed), failed ? 'bad' : '')),
    h('h3', {}, 'Reviews in a batch, last minute'), shape(about.batches));
}

function shape(batches) {
  const most = Math.max(1, ...batches.map(([, value]) => value));
  const total = batches.reduce((sum, [, value]) => sum + value, 0);
  if (!total) return h('p', { class: 'empty' }, 'No batches.');
  const words = batches.filter(([, value]) => value).map(([bound, value]) => `up to ${bound}: ${value}`).join(', ');
  return h('div', { class: 'shape', role: 'img', 'aria-label': `Batches by size: ${words}` },
    batches.map(([bound, value]) => h('div', { title: `up to ${bound}: ${value} batches` },
      vary(h('span', { class: 'column' }), { '--height': value / most }), h('span', { class: 'bound' }, bound === 'more' ? '>' : bound))));
}
