// Numbers and times for people.

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const tenth = new Intl.NumberFormat('en', { maximumFractionDigits: 1, minimumFractionDigits: 1 });
const short = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });

export const count = (value) => (value >= 100_000 ? short.format(value) : whole.format(value));
export const few = (value) => (value < 1000 ? String(value) : short.format(value));
export const axis = (value) => (value >= 10 || Number.isInteger(value) ? count(value) : String(Number(value.toPrecision(2))));
export const rate = (value) => (value >= 100 ? count(value) : tenth.format(value));
export const percent = (share, digits = 0) => (share === null || share === undefined ? '–' : `${(share * 100).toFixed(digits)}%`);

export function points(share) {
  if (share === null || share === undefined) return '–';
  const value = Math.round(share * 100);
  return value === 0 ? '±0' : `${value > 0 ? '+' : '−'}${Math.abs(value)}`;
}

export function seconds(value) {
  if (value === null || value === undefined) return '–';
  if (value < 1) return `${Math.round(value * 1000)} ms`;
  if (value < 120) return `${value.toFixed(value < 10 ? 1 : 0)} s`;
  return value < 7200 ? `${Math.round(value / 60)} min` : `${Math.round(value / 3600)} h`;
}

const pad = (number) => String(number).padStart(2, '0');

export function clock(milliseconds) {
  const at = new Date(milliseconds);
  return `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
}

export function moment(seconds_, withSeconds = true) {
  const at = new Date(seconds_ * 1000);
  const time = `${pad(at.getHours())}:${pad(at.getMinutes())}${withSeconds ? `:${pad(at.getSeconds())}` : ''}`;
  return at.toDateString() === new Date().toDateString() ? time : `${at.getDate()} ${at.toLocaleString('en', { month: 'short' })} ${time}`;
}

export function ago(milliseconds, now) {
  const past = Math.max(0, (now - milliseconds) / 1000);
  if (past < 60) return 'just now';
  if (past < 3600) return `${Math.floor(past / 60)} min ago`;
  return past < 86400 ? `${Math.floor(past / 3600)} h ago` : `${Math.floor(past / 86400)} d ago`;
}
