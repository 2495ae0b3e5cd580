// Groups: a sortable table, and one group over time.

import * as controls from './controls.js';
import { Sentiment } from './charts.js';
import { h, svg, text, vary } from './dom.js';
import { count, percent, points } from './format.js';
import * as labels from './labels.js';

export class Groups {
  constructor(shown, go) {
    this.go = go;
    const watched = labels.watched();
    this.columns = [['name', 'Group'], ['volume', 'Reviews'], ['share', watched[0].toUpperCase() + watched.slice(1)], ['change', 'Change']];
    this.bar = h('div', { class: 'controls' });
    this.body = h('tbody');
    this.heads = h('tr');
    this.note = h('p', { class: 'empty' }, 'Loading…');
    this.detail = h('section', { class: 'card detail', hidden: true, 'aria-label': 'One group over time' });
    this.table = h('table', { class: 'groups' }, h('caption', { class: 'sr' }, 'Groups'), h('thead', {}, this.heads), this.body);
    this.element = h('div', {}, h('h1', { class: 'sr' }, 'Groups'), this.bar, this.detail,
      h('section', { class: 'card' }, this.table, this.note));
    this.change(shown);
  }

  change(shown, keep = false) {
    const group = this.shown?.group;
    this.shown = shown;
    if (!keep) {
      this.bar.replaceChildren(...controls.times(shown, this.go), controls.words(shown, this.go, 'Find a group'));
      this.heads.replaceChildren(...this.columns.map(([name, words]) => h('th', {
        scope: 'col', class: name, 'aria-sort': shown.sort === name ? (name === 'name' ? 'ascending' : 'descending') : 'none',
      }, h('button', { type: 'button', onclick: () => this.go({ sort: name }) }, words, h('span', { class: 'arrow', 'aria-hidden': 'true' }, name === 'name' ? '↑' : '↓')))),
      h('th', { scope: 'col', class: 'spark' }, 'Over time'));
    }
    if (shown.group !== group) this.drill(shown);
  }

  drill(shown) {
    this.charts?.destroy();
    this.charts = null;
    this.detail.hidden = !shown.group;
    if (!shown.group) return;
    this.charts = new Sentiment((from, to) => this.go({ from: String(from), to: String(to) }));
    this.detail.replaceChildren(
      h('div', { class: 'caption' }, h('h2', { class: 'title' }, shown.group),
        h('button', { type: 'button', class: 'quiet', onclick: () => this.go({ view: 'live', q: '' }) }, 'Its latest reviews'),
        h('button', { type: 'button', class: 'quiet', 'aria-label': 'Close', title: 'Close (Escape)', onclick: () => this.go({ group: '' }) }, '✕')),
      this.charts.element);
  }

  destroy() {
    this.charts?.destroy();
  }

  key(event) {
    if (event.key !== 'Escape' || !this.shown.group) return false;
    this.go({ group: '' });
    return true;
  }

  update(parts) {
    if (parts.series && this.charts) this.charts.update(parts.series);
    if (!parts.groups) return;
    // Rows stay the same elements, so that focus and pointer stay where they are.
    const old = new Map([...this.body.children].map((row) => [row.group, row]));
    const rows = parts.groups.map((group) => this.row(old.get(group.group), group));
    if (rows.length !== this.body.children.length || rows.some((row, place) => this.body.children[place] !== row)) {
      const focused = document.activeElement;
      this.body.replaceChildren(...rows);
      if (this.body.contains(focused)) focused.focus({ preventScroll: true });
    }
    this.note.hidden = rows.length > 0;
    this.table.hidden = rows.length === 0;
    if (!rows.length) text(this.note, this.shown.q ? 'No group has this name.' : 'No reviews with a group in this time.');
  }

  row(row, group) {
    if (!row) {
      row = h('tr', {}, h('th', { scope: 'row' }, h('button', { type: 'button', onclick: () => { this.go({ group: group.group }); scrollTo({ top: 0 }); } }, group.group)),
        h('td', { class: 'number' }), h('td', { class: 'number share' }), h('td', { class: 'number change' }), h('td', { class: 'spark' }));
      row.group = group.group;
    }
    row.classList.toggle('chosen', group.group === this.shown.group);
    const [, volume, share, change, spark] = row.children;
    text(volume, count(group.count));
    text(share, percent(group.share));
    vary(share, { '--share': group.share ?? 0 });
    text(change, points(group.change));
    change.classList.toggle('worse', (group.change ?? 0) >= 0.05);
    change.classList.toggle('better', (group.change ?? 0) <= -0.05);
    spark.replaceChildren(sparkline(group.spark));
    return row;
  }
}

// Volume as bars; the part with the watched label has that label's colour.
function sparkline(parts) {
  const most = Math.max(1, ...parts.map(([total]) => total));
  const width = 120 / parts.length;
  const bars = parts.flatMap(([total, watched], place) => {
    const bar = (value, name) => svg('rect', {
      class: name, x: (place * width).toFixed(2), width: Math.max(0.5, width - (width > 3 ? 1 : 0.2)).toFixed(2),
      y: (24 - (24 * value) / most).toFixed(2), height: ((24 * value) / most).toFixed(2),
    });
    return total ? [bar(total, 'rest'), bar(watched, labels.className(labels.watched()))] : [];
  });
  return svg('svg', { class: 'sparkline', viewBox: '0 0 120 24', preserveAspectRatio: 'none', 'aria-hidden': 'true' }, ...bars);
}
