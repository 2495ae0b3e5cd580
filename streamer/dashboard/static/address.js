// The page's address holds the current view, so that reload, back and a copied link show the same.

export const RANGES = [['5m', '5 min'], ['15m', '15 min'], ['1h', '1 h'], ['6h', '6 h'], ['24h', '24 h'], ['7d', '7 d']];
const SORTS = ['volume', 'share', 'change', 'name'];
const LABEL = /^[\p{L}\p{N}_.-]{1,100}$/u;
const VIEWS = { '/': 'live', '/groups': 'groups', '/queue': 'queue', '/system': 'system' };
const NAMES = ['range', 'from', 'to', 'label', 'group', 'q', 'sort'];
const DEFAULTS = { range: '15m', sort: 'volume' };

export function read() {
  const query = new URLSearchParams(location.search);
  const found = { view: VIEWS[location.pathname] ?? 'live' };
  for (const name of NAMES) found[name] = query.get(name) ?? DEFAULTS[name] ?? '';
  if (!RANGES.some(([name]) => name === found.range)) found.range = DEFAULTS.range;
  if (!SORTS.includes(found.sort)) found.sort = DEFAULTS.sort;
  if (!LABEL.test(found.label)) found.label = '';
  if (!(Number(found.from) > 0 && Number(found.to) > Number(found.from))) found.from = found.to = '';
  return found;
}

function query(shown) {
  const made = new URLSearchParams();
  for (const name of NAMES) if (shown[name] && shown[name] !== DEFAULTS[name]) made.set(name, shown[name]);
  return made;
}

export function path(shown) {
  const made = query(shown).toString();
  const page = Object.keys(VIEWS).find((key) => VIEWS[key] === shown.view);
  return made ? `${page}?${made}` : page;
}

export function events(shown) {
  const made = query(shown);
  made.set('view', shown.view);
  made.set('range', shown.range);
  return `/api/events?${made}`;
}
