// The labels of the model, from the server, in order from the least favourable to the most.

let known = null;

// Returns whether anything has changed.
export function set(labels) {
  if (JSON.stringify(labels) === JSON.stringify(known)) return false;
  known = labels;
  return true;
}

export const areKnown = () => known !== null;
export const names = () => known.names;
export const watched = () => known.watched;
// The labels that a person can choose: all but the one for undecided reviews.
export const classes = () => known.names.filter((name) => name !== known.uncertain);

const SLOTS = 5; // Of the palette in style.css.

// A label's index in the palette, whose ends are the extreme labels; 'none' for undecided reviews.
export function slot(name) {
  const all = classes();
  const place = all.indexOf(name);
  if (place < 0) return 'none';
  return all.length < 2 ? 0 : Math.round((place * (SLOTS - 1)) / (all.length - 1));
}

export const className = (name) => `label-${slot(name)}`;

// The meaning of a score, in words.
export function meaning() {
  const all = classes();
  return all.length === 2 ? `P(${all[1]})` : 'Expected value, 0 to 1';
}
