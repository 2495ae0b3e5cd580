// A review's text with its evidence tokens marked; text nodes only.

import { h } from './dom.js';
import * as labels from './labels.js';

const signed = (weight) => `${weight > 0 ? '+' : '−'}${Math.abs(weight).toFixed(1)}`;

function mark(words, weight, strongest, shown = false) {
  const level = Math.max(1, Math.ceil((Math.abs(weight) / strongest) * 4));
  const all = labels.classes();
  const side = (weight > 0 ? all.at(-1) : all[0]) ?? '';
  const title = `${signed(weight)}: speaks for ${side}`;
  return h('mark', { class: `${labels.className(side)} ${weight > 0 ? 'up' : 'down'} w${level}`, title }, words, shown && h('span', { class: 'weight' }, ` ${signed(weight)}`));
}

export function highlighted(item) {
  const strongest = Math.max(1e-6, ...item.evidence.map(([, weight]) => Math.abs(weight)));
  if (item.text === null) {
    const chips = item.evidence.map(([token, weight]) => mark(token, weight, strongest, true));
    return chips.length ? h('p', { class: 'text tokens' }, chips.flatMap((chip) => [chip, ' '])) : h('p', { class: 'text muted' }, item.name ?? item.id);
  }
  const parts = item.parts.map(([words, weight]) => (weight === null ? words : mark(words, weight, strongest)));
  return h('p', { class: 'text' }, parts);
}

export function chip(label) {
  return h('span', { class: `chip ${labels.className(label)}` }, label);
}
