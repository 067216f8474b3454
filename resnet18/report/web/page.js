// The page's own controls: columns that sort, parts that open, and the list of runs.

const all = (selector, root = document) => [...root.querySelectorAll(selector)];

// A link to a part that is folded opens it.
function openTarget() {
  const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!(target instanceof HTMLDetailsElement)) return;
  target.open = true;
  target.querySelector('summary').focus({ preventScroll: true });
  target.scrollIntoView();
}

// By the cells' numbers, which stand beside their texts; cells without a number come last, whichever way.
function compareCells(first, second, sign) {
  const [one, other] = [first, second].map((cell) => (cell.dataset.sort === undefined ? null : Number(cell.dataset.sort)));
  if (one !== null && other !== null && one !== other) return sign * (one - other);
  if ((one === null) !== (other === null)) return one === null ? 1 : -1;
  return sign * first.textContent.localeCompare(second.textContent, document.documentElement.lang, { numeric: true });
}

function sortBy(head) {
  const table = head.closest('table');
  const sign = head.getAttribute('aria-sort') === 'ascending' ? -1 : 1;
  for (const other of table.tHead.rows[0].cells) other.removeAttribute('aria-sort');
  head.setAttribute('aria-sort', sign > 0 ? 'ascending' : 'descending');
  // A run is a body of its own: its row has another under it.
  const rows = table.tBodies.length > 1 ? [...table.tBodies] : [...table.tBodies[0].rows];
  const cell = (row) => (row.rows ? row.rows[0] : row).cells[head.cellIndex];
  rows.sort((one, other) => compareCells(cell(one), cell(other), sign));
  rows[0]?.parentNode.append(...rows);
}

function toggleRun(button) {
  const isClosed = document.getElementById(button.getAttribute('aria-controls')).classList.toggle('closed');
  button.setAttribute('aria-expanded', String(!isClosed));
}

function startRuns(table) {
  const groups = [...table.tBodies];
  const [search, status] = ['runs-search', 'runs-status'].map((id) => document.getElementById(id));
  const filter = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (group) => words.every((word) => group.textContent.toLowerCase().includes(word));
    const shown = groups.filter((group) => (!status.value || group.dataset.status === status.value) && fits(group));
    for (const group of groups) group.classList.toggle('filtered', !shown.includes(group));
    document.getElementById('runs-count').textContent = `${shown.length} of ${groups.length} listed runs`;
  };
  for (const button of all('.opener', table)) {
    toggleRun(button);
    button.addEventListener('click', () => toggleRun(button));
  }
  search.addEventListener('input', filter);
  status.addEventListener('change', filter);
  filter();
}

// The contents stand beside the text where there is room, and would push it off a small screen.
if (!matchMedia('(min-width: 64rem)').matches) document.querySelector('.toc details').open = false;
// Controls are hidden or disabled until there is a script that makes them work.
for (const control of all('.live')) control.hidden = false;
for (const button of all('button:disabled')) button.disabled = false;
for (const button of all('.sorter')) button.addEventListener('click', () => sortBy(button.closest('th')));
if (document.querySelector('table.runs')) startRuns(document.querySelector('table.runs'));
addEventListener('hashchange', openTarget);
openTarget();
