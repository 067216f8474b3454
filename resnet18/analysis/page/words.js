// Texts of the scripts in the language of the page. A page in English has no list of them.

const WORDS = JSON.parse(document.getElementById('words')?.textContent ?? '{}');

// A phrase in the language of the page, with values in its places: {n1} is the value named n1.
function t(phrase, values = {}) {
  return (WORDS[phrase] ?? phrase).replace(/\{(\w+)\}/g, (_, place) => values[place]);
}
