// Live: the volume of reviews by label, and the latest reviews.

import * as controls from './controls.js';
import { Sentiment } from './charts.js';
import { announce, h, text, vary } from './dom.js';
import { chip, highlighted } from './evidence.js';
import { clock, count, moment, percent, rate } from './format.js';
import * as labels from './labels.js';

const KEPT = matchMedia('(max-width: 900px)').matches ? 20 : 60; // Rows of the list.

export class Live {
  constructor(shown, go) {
    this.go = go;
    this.paused = false;
    this.missed = 0;
    this.charts = new Sentiment((from, to) => go({ from: String(from), to: String(to) }));
    this.figures = Object.fromEntries(['share', 'total', 'rate', 'mean'].map((name) => [name, h('dd', {}, '–')]));
    this.groups = h('ol', { class: 'bars' });
    this.alerts = h('ul', { class: 'alerts', 'aria-label': 'Alerts' });
    this.list = h('ol', { class: 'feed', 'aria-label': 'Latest reviews', tabindex: '0' });
    this.note = h('p', { class: 'empty' }, 'Waiting for reviews…');
    this.sampled = h('span', { class: 'muted' });
    this.pause = h('button', { type: 'button', 'aria-pressed': 'false', 'aria-keyshortcuts': 'p', title: 'Pause (p)', onclick: () => this.toggle() }, 'Pause');
    this.bar = h('div', { class: 'controls' });
    this.change(shown);
    this.element = h('div', { class: 'live' },
      h('h1', { class: 'sr' }, 'Live'),
      this.bar,
      h('div', { class: 'columns' },
        h('div', { class: 'main' },
          h('section', { class: 'card', 'aria-label': 'Over time' }, this.summary(), this.charts.element),
          this.alerts,
          h('section', { class: 'card', 'aria-labelledby': 'by-group' }, h('h2', { id: 'by-group' }, 'By group'), this.groups)),
        h('section', { class: 'card side', 'aria-labelledby': 'latest' },
          h('div', { class: 'caption' }, h('h2', { id: 'latest' }, 'Latest reviews'), this.sampled, this.pause),
          this.note, this.list)));
  }

  summary() {
    const names = [['share', labels.watched()], ['total', 'reviews'], ['rate', 'a second'], ['mean', 'mean score']];
    return h('dl', { class: 'summary' }, names.map(([name, words]) => h('div', { class: name === 'share' ? `share ${labels.className(words)}` : name }, h('dt', {}, words), this.figures[name])));
  }

  change(shown, keep = false) {
    this.shown = shown;
    if (!keep) {
      const again = (changes, how) => this.go(changes, how);
      this.bar.replaceChildren(...controls.times(shown, again), controls.label(shown, again),
        controls.words(shown, again, 'Search reviews'), controls.group(shown, again) ?? '');
    }
    this.fresh = true;
  }

  destroy() {
    this.charts.destroy();
  }

  key(event) {
    if (event.key === 'p') this.toggle();
    else return false;
    return true;
  }

  toggle() {
    this.paused = !this.paused;
    this.missed = 0;
    text(this.pause, this.paused ? 'Resume' : 'Pause');
    this.pause.setAttribute('aria-pressed', String(this.paused));
    this.element.classList.toggle('paused', this.paused);
    announce(this.paused ? 'Paused' : 'Resumed');
    if (!this.paused) {
      this.fresh = true;
      this.go({}, { keep: true });
    }
  }

  update(parts, first) {
    if (parts.status) {
      text(this.figures.rate, rate(parts.status.rate));
      this.now = parts.status.now;
    }
    if (this.paused) {
      this.missed += parts.latest?.length ?? 0;
      text(this.sampled, this.missed ? 'new ones wait' : '');
      return;
    }
    if (parts.series) {
      this.charts.update(parts.series);
      const { share, total, mean } = this.charts.sums;
      text(this.figures.share, percent(share, 1));
      text(this.figures.total, count(total));
      text(this.figures.mean, mean === null ? '–' : mean.toFixed(2));
    }
    if (parts.groups) this.byGroup(parts.groups);
    if (parts.alerts) this.alarm(parts.alerts);
    if (parts.latest) this.latest(parts.latest, first || this.fresh);
    this.pace(parts);
  }

  latest(items, anew) {
    if (anew) this.list.replaceChildren();
    this.fresh = false;
    const fragment = document.createDocumentFragment();
    for (const item of items.toReversed()) fragment.append(row(item));
    this.list.prepend(fragment);
    while (this.list.children.length > KEPT) this.list.lastChild.remove();
    const some = this.list.children.length > 0;
    this.note.hidden = some;
    if (!some) text(this.note, this.shown.q || this.shown.label || this.shown.group ? 'None of the latest reviews matches.' : 'Waiting for reviews…');
  }

  // At high rates the list is a sample, and shows that it is one.
  pace(parts) {
    this.seen = (this.seen ?? 0) + (parts.latest?.length ?? 0);
    if (!parts.status) return;
    const pace = parts.status.rate;
    text(this.sampled, pace > 30 ? `a sample of ${rate(pace)} a second` : '');
    this.seen = 0;
  }

  byGroup(groups) {
    const most = Math.max(1, ...groups.map((group) => group.count));
    this.groups.replaceChildren(...groups.map((group) => h('li', {},
      h('button', { type: 'button', class: 'row', onclick: () => this.go({ group: group.group }), 'aria-pressed': String(this.shown.group === group.group) },
        h('span', { class: 'name' }, group.group),
        h('span', { class: 'number' }, percent(group.share), h('span', { class: 'sr' }, ` ${labels.watched()}`)),
        vary(h('span', { class: 'bar', 'aria-hidden': 'true' },
          labels.names().map((name, place) => vary(h('span', { class: labels.className(name) }), { '--count': group.counts[place] ?? 0 }))),
        { '--width': group.count / most }),
        h('span', { class: 'number muted' }, count(group.count), h('span', { class: 'sr' }, ' reviews'))))));
    if (!groups.length) this.groups.replaceChildren(h('li', { class: 'empty' }, 'No groups in this time.'));
  }

  alarm(alerts) {
    this.alerts.replaceChildren(...alerts.map((alert) => h('li', { class: alert.direction },
      h('strong', {}, alert.group ?? 'All reviews'), ` ${alert.words} `, h('span', { class: 'muted' }, moment(alert.start, false)))));
  }
}

function row(item) {
  const line = h('li', { class: 'review' },
    h('div', { class: 'meta' }, chip(item.label), h('span', { class: 'score', title: labels.meaning() }, item.score.toFixed(3)),
      item.group !== null && h('span', { class: 'group' }, item.group),
      item.action && item.action !== 'allow' && h('span', { class: `action ${item.action}` }, item.action === 'block' ? 'blocked' : 'held'),
      h('time', {}, clock(item.seen))),
    highlighted(item));
  return line;
}
