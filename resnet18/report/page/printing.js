// On paper everything is open. Newer browsers do it from the style sheet; this is for the others, and for pictures
// that are loaded only when they come into view.

const openedToPrint = [];

addEventListener('beforeprint', () => {
  for (const one of document.querySelectorAll('details:not([open])')) {
    one.open = true;
    openedToPrint.push(one);
  }
  for (const image of document.querySelectorAll('img[loading="lazy"]')) image.loading = 'eager';
});

addEventListener('afterprint', () => {
  for (const one of openedToPrint.splice(0)) one.open = false;
});
