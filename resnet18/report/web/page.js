// The page's own controls: theme, verdicts by word, columns that sort, and the list of runs.

const KEPT = 'resnet18-theme';
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

// Light or dark: as the system has it, until the reader chooses. A browser may forbid files to keep the choice.
function keptTheme(name) {
  try {
    if (name) localStorage.setItem(KEPT, name);
    return localStorage.getItem(KEPT);
  } catch {
    return null;
  }
}

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
}

function startTheme(button) {
  const name = () => { button.textContent = isDark() ? 'Light theme' : 'Dark theme'; };
  const kept = keptTheme();
  if (kept === 'dark' || kept === 'light') document.documentElement.dataset.theme = kept;
  button.addEventListener('click', () => {
    document.documentElement.dataset.theme = isDark() ? 'light' : 'dark';
    keptTheme(document.documentElement.dataset.theme);
    name();
  });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', name);
  name();
}

function filterVerdicts(section, word) {
  const verdicts = all('.verdict', section);
  for (const verdict of verdicts) verdict.classList.toggle('filtered', word !== '' && verdict.dataset.word !== word);
  for (const tile of all('.tile', section)) tile.setAttribute('aria-pressed', String(tile.dataset.word === word));
  const shown = verdicts.filter((verdict) => !verdict.classList.contains('filtered')).length;
  section.querySelector('.shown').textContent = `${shown} of ${verdicts.length} verdicts are shown`;
}

// A link to a verdict that a filter hides shows it again.
function openTarget() {
  const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!(target instanceof HTMLDetailsElement)) return;
  if (target.classList.contains('filtered')) filterVerdicts(target.closest('.judgement'), '');
  target.open = true;
  target.querySelector('summary').focus({ preventScroll: true });
  target.scrollIntoView({ block: 'center' });
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
  const sorted = [...rows].sort((one, other) => compareCells(cell(one), cell(other), sign));
  rows[0]?.parentNode.append(...sorted);
}

// What runs share stands once in the page; under an opened run it is shown again, and its links are not needed.
function fill(detail) {
  const links = detail.querySelector('.provenance > p');
  if (!links) return;
  const copies = all('a', links).flatMap((link) => {
    const title = Object.assign(document.createElement('h4'), { textContent: link.textContent });
    return [title, document.querySelector(`${link.getAttribute('href')} .facts`).cloneNode(true)];
  });
  links.replaceWith(...copies);
}

function showRun(button, opens) {
  const detail = document.getElementById(button.getAttribute('aria-controls'));
  if (opens) fill(detail);
  detail.classList.toggle('closed', !opens);
  button.setAttribute('aria-expanded', String(opens));
}

function startRuns(table) {
  const groups = [...table.tBodies];
  const [search, status] = ['runs-search', 'runs-status'].map((id) => document.getElementById(id));
  const texts = new Map();
  const textOf = (group) => texts.get(group) ?? texts.set(group, group.textContent.toLowerCase()).get(group);

  function filter() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (group) => (!status.value || group.dataset.status === status.value) && words.every((word) => textOf(group).includes(word));
    for (const group of groups) group.classList.toggle('filtered', !fits(group));
    const shown = groups.filter((group) => !group.classList.contains('filtered')).length;
    document.getElementById('runs-count').textContent = `${shown} of ${groups.length} listed runs`;
  }

  for (const button of all('.opener', table)) {
    showRun(button, false);
    button.addEventListener('click', () => showRun(button, button.getAttribute('aria-expanded') === 'false'));
  }
  search.addEventListener('input', filter);
  status.addEventListener('change', filter);
  filter();
}

// On paper everything is open; pictures are loaded that a screen loads only when they come into view.
function openForPaper() {
  const opened = [];
  addEventListener('beforeprint', () => {
    for (const details of all('details:not([open])')) opened.push(Object.assign(details, { open: true }));
    for (const image of all('img[loading="lazy"]')) image.loading = 'eager';
  });
  addEventListener('afterprint', () => { for (const details of opened.splice(0)) details.open = false; });
}

startTheme(document.getElementById('theme'));
// The contents stand beside the text where there is room, and would push it off a small screen.
if (!matchMedia('(min-width: 64rem)').matches) document.querySelector('.toc details').open = false;
// Controls are hidden or disabled until there is a script that makes them work.
for (const control of all('.live')) control.hidden = false;
for (const button of all('button:disabled')) button.disabled = false;
for (const section of all('.judgement')) {
  for (const tile of all('.tile', section)) tile.addEventListener('click', () => filterVerdicts(section, tile.dataset.word));
}
for (const button of all('.sorter')) button.addEventListener('click', () => sortBy(button.closest('th')));
startRuns(document.querySelector('table.runs'));
addEventListener('hashchange', openTarget);
openTarget();
openForPaper();
