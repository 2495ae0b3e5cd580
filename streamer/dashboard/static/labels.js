// The labels of the model, as the server names them: in order, from the least favourable to the most.

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
// Those that a person can give: all but the one that says that the model does not decide.
export const classes = () => known.names.filter((name) => name !== known.uncertain);

const SLOTS = 5; // Of the palette in style.css.

// A label's place in the palette, whose ends are its extremes; 'none' for the one that decides nothing.
export function slot(name) {
  const all = classes();
  const place = all.indexOf(name);
  if (place < 0) return 'none';
  return all.length < 2 ? 0 : Math.round((place * (SLOTS - 1)) / (all.length - 1));
}

export const className = (name) => `label-${slot(name)}`;

// What a score means, in words.
export function meaning() {
  const all = classes();
  return all.length === 2 ? `P(${all[1]})` : 'Expected value, 0 to 1';
}
