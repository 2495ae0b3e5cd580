// The controls of a page: time, label, group, search words. Each choice goes into the address.

import { RANGES } from './address.js';
import { debounced, h } from './dom.js';
import { moment } from './format.js';
import * as labels from './labels.js';

export function times(shown, go) {
  const zoomed = Boolean(shown.from);
  const buttons = RANGES.map(([name, words]) => h('button', {
    type: 'button',
    'aria-pressed': String(!zoomed && shown.range === name),
    onclick: () => go({ range: name, from: '', to: '' }),
  }, words));
  const group = h('div', { class: 'segments', role: 'group', 'aria-label': 'Time' }, buttons);
  if (!zoomed) return [group];
  const words = `${moment(Number(shown.from))} – ${moment(Number(shown.to))}`;
  return [group, h('button', { type: 'button', class: 'quiet', title: 'Back to now', onclick: () => go({ from: '', to: '' }) }, `${words} ✕`)];
}

export function label(shown, go) {
  const names = labels.names();
  const others = shown.label && !names.includes(shown.label) ? [shown.label] : [];
  const options = [['', 'All labels'], ...[...names, ...others].map((name) => [name, name])];
  return h('select', { 'aria-label': 'Label', onchange: (event) => go({ label: event.target.value }) },
    options.map(([value, words]) => h('option', { value, selected: shown.label === value }, words)));
}

export function words(shown, go, hint) {
  const change = debounced(250, (value) => go({ q: value }, { keep: true }));
  return h('input', {
    type: 'search', placeholder: hint, 'aria-label': hint, value: shown.q, maxlength: 200,
    oninput: (event) => change(event.target.value.trim()),
  });
}

export function group(shown, go) {
  if (!shown.group) return null;
  return h('button', {
    type: 'button', class: 'tag', 'aria-label': `Group ${shown.group}: show all groups`, onclick: () => go({ group: '' }),
  }, h('span', {}, shown.group), ' ✕');
}
