// Columns that sort. Cells stay the strings that they are: their first number only gives the order.

function rankOf(text) {
  const found = /[-+\u2212]?\d[\d,]*(\.\d+)?/.exec(text);
  return found && found.index === 0 ? Number(found[0].replace(/,/g, '').replace('\u2212', '-')) : null;
}

function compareTexts(one, other) {
  const [first, second] = [rankOf(one), rankOf(other)];
  if (first !== null && second !== null) return first - second || one.localeCompare(other, document.documentElement.lang);
  if (first !== null || second !== null) return first !== null ? -1 : 1; // words come after numbers
  return one.localeCompare(other, document.documentElement.lang);
}

// What moves: the rows of a table, or its groups where a row has another one under it.
function movable(table) {
  return table.tBodies.length > 1 ? [...table.tBodies] : [...table.tBodies[0].rows];
}

function cellText(one, column) {
  const row = one.rows ? one.rows[0] : one;
  return row.cells[column].textContent.trim();
}

function sortBy(head) {
  const table = head.closest('table');
  const falls = head.getAttribute('aria-sort') === 'ascending';
  for (const other of table.tHead.rows[0].cells) other.removeAttribute('aria-sort');
  head.setAttribute('aria-sort', falls ? 'descending' : 'ascending');
  const all = movable(table);
  const sorted = all
    .map((one) => [cellText(one, head.cellIndex), one])
    .sort(([one], [other]) => (falls ? -1 : 1) * compareTexts(one, other));
  all[0]?.parentNode.append(...sorted.map(([, one]) => one));
}

for (const button of document.querySelectorAll('.sorter')) {
  button.addEventListener('click', () => sortBy(button.closest('th')));
}
