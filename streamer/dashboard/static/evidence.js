// A review's text with its evidence tokens marked; text nodes only.

import { h } from './dom.js';
import * as labels from './labels.js';

const WORD = /[\p{L}\p{N}_]/u;
const CJK = /[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]/;

function inWord(whole, begin, end) {
  const joins = (a, b) => a && b && WORD.test(a) && WORD.test(b) && !CJK.test(a) && !CJK.test(b);
  return joins(whole[begin - 1], whole[begin]) || joins(whole[end - 1], whole[end]);
}

// The position of each token in the text: [begin, end, weight], in order, without overlap; the strongest choose first.
function places(text, evidence) {
  const lower = text.toLowerCase();
  if (lower.length !== text.length) return [];
  const found = [];
  for (const [token, weight] of evidence) {
    if (!token.trim()) continue;
    let from = 0;
    for (let times = 0; times < 20; times += 1) {
      const at = lower.indexOf(token.toLowerCase(), from);
      if (at < 0) break;
      const end = at + token.length;
      from = end;
      if (!inWord(lower, at, end) && !found.some(([b, e]) => at < e && b < end)) found.push([at, end, weight]);
    }
  }
  return found.sort((a, b) => a[0] - b[0]);
}

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
  const paragraph = h('p', { class: 'text' });
  let from = 0;
  for (const [begin, end, weight] of places(item.text, item.evidence)) {
    paragraph.append(item.text.slice(from, begin), mark(item.text.slice(begin, end), weight, strongest));
    from = end;
  }
  paragraph.append(item.text.slice(from));
  return paragraph;
}

export function chip(label) {
  return h('span', { class: `chip ${labels.className(label)}` }, label);
}
