// Set the theme before the first paint: the chosen one, otherwise the system's.
(() => {
  let chosen = null;
  try { chosen = localStorage.getItem('theme'); } catch { /* No storage: use the system's theme. */ }
  if (chosen === 'light' || chosen === 'dark') document.documentElement.dataset.theme = chosen;
})();
