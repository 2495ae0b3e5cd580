// Builds the pages: the address selects the view, and events update it.

import * as address from './address.js';
import { redraw } from './charts.js';
import { announce, text } from './dom.js';
import { EventStream } from './events.js';
import { few, percent } from './format.js';
import { Groups } from './groups.js';
import * as labels from './labels.js';
import { Live } from './live.js';
import { Queue } from './queue.js';
import { System } from './system.js';

const PAGES = { live: Live, groups: Groups, queue: Queue, system: System };
const TITLES = { live: 'Live', groups: 'Groups', queue: 'Queue', system: 'System' };
const main = document.getElementById('main');
const banner = document.getElementById('banner');
let shown = address.read();
let page = null;
let faults = [];
let connection = 'connecting';
let message = '';
let clearing = 0;

const stream = new EventStream(receive, (state) => {
  if (state === connection) return;
  connection = state;
  showState();
});

// Change the view. keep: leave the controls as they are, since somebody is typing in them.
function go(changes, { keep = false } = {}) {
  const before = shown;
  shown = { ...shown, ...changes };
  const path = address.path(shown);
  if (path !== location.pathname + location.search) history[keep ? 'replaceState' : 'pushState'](null, '', path);
  show(before.view !== shown.view, keep);
}

go.fail = (words) => {
  message = words;
  clearTimeout(clearing);
  clearing = setTimeout(() => { message = ''; showState(); }, 8000);
  showState();
};

function build() {
  page?.destroy();
  page = new PAGES[shown.view](shown, go);
  main.replaceChildren(page.element);
}

// The first page is built when the first event has delivered the labels.
function show(rebuild, keep = false) {
  if (page && rebuild) build();
  else page?.change(shown, keep);
  document.title = `${TITLES[shown.view]} – reviews`;
  for (const link of document.querySelectorAll('nav a')) {
    if (link.dataset.view === shown.view) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
    const { range, from, to } = shown;
    link.href = address.path({ range, from, to, view: link.dataset.view });
  }
  stream.open(address.events(shown));
}

function receive(parts, first) {
  if (parts.status) status(parts.status);
  if (parts.labels && labels.set(parts.labels)) {
    build();
    if (!first) { // Earlier events went to the previous page.
      stream.open(address.events(shown));
      return;
    }
  }
  page.update(parts, first);
}

function status({ faults: now, open, replayed }) {
  if (faults.join() !== now.join() || status.replayed !== replayed) {
    faults = now;
    status.replayed = replayed;
    showState();
  }
  const badge = document.getElementById('open');
  badge.hidden = !open;
  if (open) text(badge, few(open));
}

// One place for problems, and an indicator that is always visible.
function showState() {
  const away = connection === 'lost' ? 'The dashboard does not answer. Trying again…'
    : faults.length ? 'Kafka is away, trying again. What is shown may be old.' : '';
  const words = message || away;
  text(banner, words);
  banner.hidden = !words;
  banner.title = faults[0] ?? '';
  const state = document.getElementById('state');
  const [name, label] = connection === 'lost' ? ['lost', 'Disconnected'] : connection === 'connecting' ? ['connecting', 'Connecting']
    : faults.length ? ['lost', 'Kafka away'] : typeof status.replayed === 'number' ? ['connecting', `Reading ${percent(status.replayed)}`] : ['open', 'Connected'];
  if (state.dataset.state !== name && (name === 'open') && state.dataset.state === 'lost') announce('Connected again');
  state.dataset.state = name;
  text(document.getElementById('state-text'), label);
}

// The theme: the system's, or the opposite one.
const dark = matchMedia('(prefers-color-scheme: dark)');
const theme = document.getElementById('theme');
const isDark = () => (document.documentElement.dataset.theme ?? (dark.matches ? 'dark' : 'light')) === 'dark';

function showTheme() {
  text(theme, isDark() ? '☀' : '☾');
  theme.setAttribute('aria-label', isDark() ? 'Light theme' : 'Dark theme');
  theme.title = theme.getAttribute('aria-label');
  redraw();
}

theme.addEventListener('click', () => {
  const chosen = isDark() ? 'light' : 'dark';
  document.documentElement.dataset.theme = chosen;
  try { localStorage.setItem('theme', chosen); } catch { /* No storage: the choice lasts as long as the page. */ }
  showTheme();
});
dark.addEventListener('change', showTheme);

document.querySelector('nav').addEventListener('click', (event) => {
  const link = event.target.closest('a');
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  go({ view: link.dataset.view, label: '', group: '', q: '', sort: 'volume' });
  main.focus({ preventScroll: true });
  announce(TITLES[shown.view]);
});

addEventListener('popstate', () => {
  const before = shown.view;
  shown = address.read();
  show(before !== shown.view);
});

addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches('input:not([type=radio]), select, textarea')) return;
  if (event.repeat && 'abu'.includes(event.key)) return; // A key that is held down counts as one decision.
  if (page?.key(event)) event.preventDefault();
});

showTheme();
show(true);
