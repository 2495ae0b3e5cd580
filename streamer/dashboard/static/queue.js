// The review queue: one key for each decision, and one to undo it.

import * as controls from './controls.js';
import { announce, h, text } from './dom.js';
import { chip, highlighted } from './evidence.js';
import { ago, count } from './format.js';
import * as labels from './labels.js';

const DONE = { allow: 'allowed', block: 'blocked' };

export class Queue {
  constructor(shown, go) {
    this.go = go;
    this.items = new Map();
    this.cards = new Map();
    this.pending = new Map(); // Decisions being sent: their reviews are already off the list.
    this.waiting = [];
    this.decided = [];
    this.labels = new Map();
    this.bar = h('div', { class: 'controls' });
    this.title = h('h1', {}, 'Queue');
    this.note = h('p', { class: 'empty' }, 'Loading…');
    this.list = h('ol', { class: 'cards', 'aria-label': 'Open reviews' });
    this.done = h('ol', { class: 'done', 'aria-label': 'Decided' });
    this.none = h('p', { class: 'empty' }, 'Nothing decided yet.');
    this.name = h('input', { id: 'by', maxlength: 100, value: remembered(), autocomplete: 'nickname', oninput: (event) => remember(event.target.value) });
    this.element = h('div', { class: 'queue' }, h('div', { class: 'caption page' }, this.title, keys()), this.bar,
      h('div', { class: 'columns' }, h('div', { class: 'main' }, this.note, this.list),
        h('section', { class: 'card side', 'aria-labelledby': 'decided' },
          h('div', { class: 'caption' }, h('h2', { id: 'decided' }, 'Decided')),
          h('div', { class: 'field' }, h('label', { for: 'by' }, 'Your name'), this.name), this.none, this.done)));
    this.toast = h('div', { class: 'toast', hidden: true });
    this.element.append(this.toast);
    this.change(shown);
  }

  // For people without a keyboard, or when the list of decisions is not in view.
  offer(id, action) {
    clearTimeout(this.offering);
    this.toast.hidden = !action;
    if (!action) return;
    this.toast.replaceChildren(DONE[action][0].toUpperCase() + DONE[action].slice(1), h('button', { type: 'button', onclick: () => this.decide(id, null) }, 'Undo'));
    this.offering = setTimeout(() => { this.toast.hidden = true; }, 8000);
  }

  change(shown, keep = false) {
    this.shown = shown;
    if (!keep) {
      this.bar.replaceChildren(controls.label(shown, this.go), controls.words(shown, this.go, 'Search reviews'), controls.group(shown, this.go) ?? '');
    }
  }

  destroy() {
    clearTimeout(this.offering);
  }

  key(event) {
    const card = document.activeElement?.closest?.('.review');
    if (event.key === 'u') this.undoLast();
    else if (event.key === 'j' || event.key === 'ArrowDown') this.move(card, 1);
    else if (event.key === 'k' || event.key === 'ArrowUp') this.move(card, -1);
    else {
      const chosen = card ?? this.list.firstElementChild;
      if (!chosen) return false;
      if (event.key === 'a') this.decide(chosen.item.id, 'allow');
      else if (event.key === 'b') this.decide(chosen.item.id, 'block');
      else {
        const label = /^[1-9]$/.test(event.key) && labels.classes()[event.key - 1];
        if (!label) return false;
        this.relabel(chosen, label);
      }
    }
    return true;
  }

  move(card, by) {
    const next = card ? (by > 0 ? card.nextElementSibling : card.previousElementSibling) : this.list.firstElementChild;
    next?.focus();
    next?.scrollIntoView({ block: 'nearest' });
  }

  update(parts) {
    if (parts.status) this.now = parts.status.now * 1000;
    if (parts.queue === undefined) return;
    if (parts.queue === null) {
      text(this.note, 'Moderation is off: there are no rules, so no review is held back.');
      return;
    }
    for (const item of parts.queue.items) this.items.set(item.id, item);
    this.waiting = parts.queue.waiting;
    this.decided = parts.queue.decided;
    this.open = parts.queue.open;
    const known = new Set([...this.waiting, ...this.decided.map(({ id }) => id)]);
    for (const id of this.items.keys()) if (!known.has(id) && !this.pending.has(id)) this.items.delete(id);
    for (const { id, action } of this.decided) if (this.pending.get(id) === action) this.pending.delete(id);
    for (const id of this.waiting) if (this.pending.get(id) === null) this.pending.delete(id);
    this.draw();
  }

  draw() {
    const gone = (id) => this.pending.get(id) === 'allow' || this.pending.get(id) === 'block';
    const shown = this.waiting.filter((id) => !gone(id) && this.items.has(id));
    const focused = document.activeElement?.closest?.('.review');
    const place = focused ? [...this.list.children].indexOf(focused) : -1;
    const keep = new Set(shown);
    for (const [id, card] of this.cards) {
      if (keep.has(id)) continue;
      card.remove();
      this.cards.delete(id);
    }
    shown.forEach((id, index) => {
      let card = this.cards.get(id);
      if (!card) this.cards.set(id, card = this.card(this.items.get(id)));
      if (this.list.children[index] !== card) this.list.insertBefore(card, this.list.children[index] ?? null);
    });
    // When the focused review disappears, the next one gets the focus.
    if (focused && !focused.isConnected) (this.list.children[place] ?? this.list.lastElementChild ?? this.title).focus?.();
    const left = Math.max(0, this.open - [...this.pending.keys()].filter((id) => gone(id) && this.waiting.includes(id)).length);
    text(this.title, left > shown.length && shown.length ? `${count(left)} open, the first ${shown.length}` : `${count(left)} open`);
    this.note.hidden = shown.length > 0;
    const filtered = this.shown.q || this.shown.label || this.shown.group;
    text(this.note, left > 0 && filtered ? 'None of the open reviews matches.' : 'No reviews are waiting. New ones appear here automatically.');
    this.doneList();
  }

  doneList() {
    const undone = (id) => this.pending.get(id) === null && this.pending.has(id);
    const rows = this.decided.filter(({ id }) => !undone(id) && this.items.has(id));
    this.none.hidden = rows.length > 0;
    this.done.replaceChildren(...rows.map((decision) => {
      const item = this.items.get(decision.id);
      const words = item.text ?? item.evidence.map(([token]) => token).join(' ');
      return h('li', {},
        h('span', { class: `action ${decision.action}` }, DONE[decision.action]),
        h('span', { class: 'what' }, words || item.id),
        h('span', { class: 'muted who' }, `${decision.by}, ${ago(decision.at, this.now ?? Date.now())}`),
        h('button', { type: 'button', class: 'quiet', 'aria-label': `Undo: ${words.slice(0, 60)}`, onclick: () => this.decide(decision.id, null) }, 'Undo'));
    }));
  }

  card(item) {
    const name = `own-label-${item.id}`;
    const choice = (value, words, key) => h('label', {},
      h('input', { type: 'radio', name, value, checked: value === '', onchange: () => this.labels.set(item.id, value) }),
      h('span', {}, words, key && h('kbd', { 'aria-hidden': 'true' }, key)));
    const card = h('li', { class: 'review card', tabindex: '0', 'aria-label': `${item.label}, score ${item.score.toFixed(2)}${item.group === null ? '' : `, ${item.group}`}` },
      h('div', { class: 'meta' }, chip(item.label), h('span', { class: 'score', title: labels.meaning() }, item.score.toFixed(3)),
        item.group !== null && h('span', { class: 'group' }, item.group),
        h('span', { class: `action ${item.action}` }, item.action === 'block' ? 'blocked' : 'held'),
        item.rule !== null && h('span', { class: 'muted rule', title: 'The rule that matched' }, item.rule),
        h('time', { class: 'muted' }, ago(item.seen, Date.now()))),
      highlighted(item),
      h('div', { class: 'verdict' },
        h('button', { type: 'button', class: 'allow', 'aria-keyshortcuts': 'a', onclick: () => this.decide(item.id, 'allow') }, 'Allow', h('kbd', { 'aria-hidden': 'true' }, 'A')),
        h('button', { type: 'button', class: 'block', 'aria-keyshortcuts': 'b', onclick: () => this.decide(item.id, 'block') }, 'Block', h('kbd', { 'aria-hidden': 'true' }, 'B')),
        h('fieldset', { class: 'relabel' }, h('legend', { class: 'sr' }, 'The right label'),
          choice('', 'as labelled'), labels.classes().map((label, place) => choice(label, label, place < 9 && String(place + 1))))));
    card.item = item;
    return card;
  }

  relabel(card, value) {
    const chosen = this.labels.get(card.item.id) === value ? '' : value;
    this.labels.set(card.item.id, chosen);
    [...card.querySelectorAll('.relabel input')].find((input) => input.value === chosen).checked = true;
    announce(chosen ? `Label: ${chosen}` : 'Label as it was');
  }

  undoLast() {
    const last = this.decided.find(({ id }) => !this.pending.has(id));
    if (last) this.decide(last.id, null);
    else announce('Nothing to take back');
  }

  async decide(id, action) {
    if (this.pending.has(id)) return;
    this.pending.set(id, action);
    this.draw();
    const failed = (message) => {
      this.pending.delete(id);
      this.draw();
      this.go.fail(message);
    };
    try {
      const answer = await fetch('/api/verdict', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ id, action, label: (action && this.labels.get(id)) || null, by: this.name.value }),
      });
      if (answer.ok) {
        announce(action ? `${DONE[action]}. Press U to undo.` : 'Taken back');
        this.offer(id, action);
      }
      else failed((await answer.json()).error);
      // The topic's record arrives as an event; if it does not, the list stays correct.
      setTimeout(() => { if (this.pending.get(id) === action && this.pending.delete(id)) this.draw(); }, 5000);
    } catch {
      failed('The decision was not saved: the dashboard does not answer.');
    }
  }
}

function keys() {
  const key = (name, words) => h('span', {}, h('kbd', {}, name), ` ${words}`);
  return h('p', { class: 'keys muted', 'aria-label': 'Keys' }, key('A', 'allow'), key('B', 'block'), key('U', 'undo'), key('J', 'next'), key('K', 'back'));
}

function remembered() {
  try { return localStorage.getItem('moderator') ?? ''; } catch { return ''; }
}

function remember(name) {
  try { localStorage.setItem('moderator', name); } catch { /* No storage: the name lasts as long as the page. */ }
}
