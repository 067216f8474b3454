// Verdicts by their word. A link to one that a filter hides shows it again.

function filterVerdicts(section, word) {
  const verdicts = [...section.querySelectorAll('.verdict')];
  for (const one of verdicts) one.classList.toggle('filtered', word !== '' && one.dataset.word !== word);
  for (const tile of section.querySelectorAll('.tile')) {
    tile.setAttribute('aria-pressed', String(tile.dataset.word === word));
  }
  const shown = verdicts.filter((one) => !one.classList.contains('filtered')).length;
  section.querySelector('.shown').textContent = `${shown} of ${verdicts.length} verdicts are shown`;
}

function startVerdicts(section) {
  for (const tile of section.querySelectorAll('.tile')) {
    tile.addEventListener('click', () => filterVerdicts(section, tile.dataset.word));
  }
}

function openTarget() {
  const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!(target instanceof HTMLDetailsElement)) return;
  if (target.classList.contains('filtered')) filterVerdicts(target.closest('.judgement'), '');
  target.open = true;
  target.querySelector('summary').focus({ preventScroll: true });
  target.scrollIntoView({ block: 'center' });
}

document.querySelectorAll('.judgement').forEach(startVerdicts);
addEventListener('hashchange', openTarget);
openTarget();
