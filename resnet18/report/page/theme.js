// Light or dark: as the system has it, until the reader chooses.

const KEPT = 'resnet18-theme';

function keptTheme() {
  try {
    return localStorage.getItem(KEPT);
  } catch {
    return null; // a browser may forbid it for files
  }
}

function keepTheme(name) {
  try {
    localStorage.setItem(KEPT, name);
  } catch {
    // then it holds until the page is closed
  }
}

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
}

function nameTheme(button) {
  button.textContent = isDark() ? 'Light theme' : 'Dark theme';
}

function startTheme() {
  const button = document.getElementById('theme');
  const kept = keptTheme();
  if (kept === 'dark' || kept === 'light') document.documentElement.dataset.theme = kept;
  button.addEventListener('click', () => {
    const next = isDark() ? 'light' : 'dark';
    document.documentElement.dataset.theme = next;
    keepTheme(next);
    nameTheme(button);
  });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => nameTheme(button));
  nameTheme(button);
}

// Controls are hidden or disabled until there is a script that makes them work.
function showControls() {
  for (const one of document.querySelectorAll('.live')) one.hidden = false;
  for (const one of document.querySelectorAll('button:disabled')) one.disabled = false;
}

// The contents stand beside the text where there is room, and would push it off a small screen.
function foldContents() {
  if (!matchMedia('(min-width: 64rem)').matches) document.querySelector('.toc details').open = false;
}

startTheme();
foldContents();
showControls();
