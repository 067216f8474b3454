// The list of runs: searched, filtered, and opened one by one.

function sharedFacts(link) {
  const source = document.querySelector(`${link.getAttribute('href')} .facts`);
  const title = document.createElement('h4');
  title.textContent = link.textContent;
  return [title, source.cloneNode(true)];
}

// What runs share stands once in the page; under an opened run it is shown again, and its links are not needed.
function fill(detail) {
  const links = detail.querySelector('.provenance > p');
  if (!links) return;
  links.replaceWith(...[...links.querySelectorAll('a')].flatMap(sharedFacts));
}

function toggleRun(button) {
  const detail = document.getElementById(button.getAttribute('aria-controls'));
  const opens = detail.classList.contains('closed');
  if (opens) fill(detail);
  detail.classList.toggle('closed', !opens);
  button.setAttribute('aria-expanded', String(opens));
}

function startRuns(table) {
  const groups = [...table.tBodies];
  const search = document.getElementById('runs-search');
  const status = document.getElementById('runs-status');
  const texts = new Map();

  function textOf(group) {
    if (!texts.has(group)) texts.set(group, group.textContent.toLowerCase());
    return texts.get(group);
  }

  function filter() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const group of groups) {
      const fits = (!status.value || group.dataset.status === status.value) && words.every((one) => textOf(group).includes(one));
      group.classList.toggle('filtered', !fits);
      shown += fits;
    }
    document.getElementById('runs-count').textContent = `${shown} of ${groups.length} listed runs`;
  }

  for (const button of table.querySelectorAll('.opener')) {
    document.getElementById(button.getAttribute('aria-controls')).classList.add('closed');
    button.setAttribute('aria-expanded', 'false');
    button.addEventListener('click', () => toggleRun(button));
  }
  search.addEventListener('input', filter);
  status.addEventListener('change', filter);
  filter();
}

startRuns(document.querySelector('table.runs'));
