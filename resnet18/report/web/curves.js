// Curves that are compared: which cases, measure and epoch. Nothing is computed: the data block's numbers are shown.

const CURVES = JSON.parse(document.getElementById('curves').textContent);
const SAID_AFTER_MS = 400; // a reader who moves on is not told every epoch on the way
const ROOM = { left: 46, right: 14, top: 8, bottom: 40 };
const IMAGES = { train: 'training images', published: 'test images, as published', clean: 'test images, clean' };
const NOTHING = '\u2013';

// What the controls of a chart say.
function shownIn(chart) {
  const choice = (name) => chart.root.querySelector(`input[name="${chart.root.dataset.chart}-${name}"]:checked`).value;
  const [images, measure] = [choice('images'), choice('measure')];
  return { images, isLoss: measure === 'loss', eachSeed: choice('seeds') === 'each', key: `${images}_${measure}` };
}

function chosenOf(chart) {
  return chart.drawable.filter((entry) => entry.box.checked);
}

// The mean over seeds as the report computed it; of a single seed, that seed.
function meanOf(lines) {
  return lines.mean ?? lines.runs[0];
}

// Lowest and highest seed at a place; seeds that ended earlier have no value there.
function rangeAt(lines, at) {
  const values = lines.runs.map((run) => run[at]).filter((value) => value !== undefined);
  return values.length ? [Math.min(...values), Math.max(...values)] : null;
}

// The values of a case at an epoch as texts: mean or only seed, then what the seeds span or each of them.
function valuesAt(entry, epoch, shown) {
  const [lines, at] = [entry.curves.lines[shown.key], entry.curves.epochs.indexOf(epoch)];
  if (at < 0 || !rangeAt(lines, at)) return { value: NOTHING, seeds: 'ended' };
  const unit = shown.isLoss ? '' : ' %';
  const number = (value) => (value === undefined ? NOTHING : shown.isLoss ? value.toPrecision(4) : value.toFixed(2));
  const mean = meanOf(lines)[at];
  const value = mean === undefined ? NOTHING : `${number(mean)}${unit}`;
  if (lines.runs.length === 1) return { value, seeds: `seed ${entry.curves.seeds[0]}` };
  if (shown.eachSeed) return { value, seeds: `${lines.runs.map((run) => number(run[at])).join(', ')}${unit}` };
  return { value, seeds: `${rangeAt(lines, at).map(number).join(' to ')}${unit}` };
}

function titleOf(shown, isLog) {
  const loss = isLog ? 'Cross entropy (nats, log scale)' : 'Cross entropy (nats)';
  return `${shown.isLoss ? loss : 'Accuracy (%)'}, ${IMAGES[shown.images]}`;
}

// What signs of a picture mean, as far as it has them.
function signsOf(cases, shown) {
  const onTest = shown.images !== 'train';
  const hasSeeds = cases.some((curves) => curves.seeds.length > 1);
  return [
    [!shown.eachSeed && hasSeeds, 'Line: mean over the seeds. Band: from the lowest seed to the highest.'],
    [shown.eachSeed && hasSeeds, 'Thin lines: the seeds. The upper value is the mean over them.'],
    [onTest && cases.some((curves) => curves.hollow > 0), 'Hollow last points: tested on more images than those before them.'],
    [onTest && shown.isLoss && cases.some((curves) => curves.turn), 'Star: the lowest clean test loss, from which it rises (overfitting).'],
  ].filter(([applies]) => applies).map(([, text]) => text);
}

function axesFor(chart, shown, box) {
  const values = chosenOf(chart).flatMap((entry) => entry.curves.lines[shown.key].runs.flat());
  const isLog = shown.isLoss && needsLog(values);
  const [low, high] = isLog ? [Math.min(...values) * 0.9, Math.max(...values) * 1.1] : span(values, shown.isLoss);
  const last = chart.epochs[chart.epochs.length - 1];
  const pad = Math.min(Math.max(0.02 * (last - 1), 0.15), 0.9);
  return {
    box,
    isLog,
    x: linear(1 - pad, last + pad, box.left, box.right),
    y: (isLog ? logarithmic : linear)(low, high, box.bottom, box.top),
    yTicks: isLog ? logTicks(low, high) : linearTicks(low, high, (box.bottom - box.top) / 42),
    xTicks: epochTicks(last, (box.right - box.left) / 75),
  };
}

function drawCase({ svg, axis, cases }, shown, entry) {
  const [lines, pen, epochs] = [entry.curves.lines[shown.key], penOf(entry.number), entry.curves.epochs];
  const withSpread = !shown.eachSeed && lines.mean;
  if (withSpread) drawBand(svg, axis, pen, lines.mean.map((_, at) => [epochs[at], ...rangeAt(lines, at)]));
  for (const values of withSpread ? [lines.mean] : lines.runs) {
    drawLine(svg, axis, pen, values.map((value, at) => [epochs[at], value]), {
      isThin: !withSpread && lines.runs.length > 1,
      marked: markedPlaces(values.length, entry.number, cases.length),
      hollow: shown.images === 'train' ? 0 : entry.curves.hollow,
    });
  }
  const turn = shown.isLoss && shown.images !== 'train' ? epochs.indexOf(entry.curves.turn) : -1;
  if (turn >= 0) drawSign(svg, pen, 'star', axis.x(entry.curves.turn), axis.y(meanOf(lines)[turn]), 8);
}

function draw(chart) {
  const { svg, root } = chart;
  const [width, height] = [svg.clientWidth, svg.clientHeight];
  if (!width) return;
  const shown = shownIn(chart);
  svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
  svg.replaceChildren();
  chart.axis = axesFor(chart, shown, { left: ROOM.left, right: width - ROOM.right, top: ROOM.top, bottom: height - ROOM.bottom });
  drawAxes(svg, chart.axis);
  for (const entry of chosenOf(chart)) drawCase(chart, shown, entry);
  svg.append(svgElement(svg, 'g', { class: 'reading' }));
  root.querySelector('.axis').textContent = titleOf(shown, chart.axis.isLog);
  const signs = signsOf(chosenOf(chart).map((entry) => entry.curves), shown);
  root.querySelector('.signs').replaceChildren(...signs.map((text) => Object.assign(document.createElement('li'), { textContent: text })));
  read(chart);
}

// Show the values at the slider's epoch in the legend and the picture; return them as a sentence.
function read(chart) {
  const { root, svg, slider, axis } = chart;
  const [shown, epoch] = [shownIn(chart), chart.epochs[Number(slider.value)]];
  const title = titleOf(shown, axis.isLog);
  const spoken = chart.drawable.map((entry) => showValues(entry, epoch, shown)).filter(Boolean).join('; ') || 'no case is chosen';
  slider.setAttribute('aria-valuetext', `epoch ${epoch}`);
  root.querySelector('.epoch output').textContent = `${epoch}`;
  root.querySelector('.legend caption').textContent = `Epoch ${epoch}: ${title}`;
  svg.setAttribute('aria-label', `${title}, by epoch. Epoch ${epoch}: ${spoken}`);
  const layer = svg.querySelector('.reading');
  const [x, { top, bottom }] = [axis.x(epoch), axis.box];
  layer.replaceChildren(svgElement(svg, 'path', { class: 'cursor', d: `M${x} ${top}V${bottom}` }));
  for (const entry of shown.eachSeed ? [] : chosenOf(chart)) {
    const value = meanOf(entry.curves.lines[shown.key])[entry.curves.epochs.indexOf(epoch)];
    const ring = { class: `ring ${penOf(entry.number).colour}`, cx: x, cy: axis.y(value), r: 6.5 };
    if (value !== undefined) layer.append(svgElement(svg, 'circle', ring));
  }
  return `Epoch ${epoch}: ${spoken}`;
}

function showValues(entry, epoch, shown) {
  const { value, seeds } = entry.box.checked ? valuesAt(entry, epoch, shown) : { value: '', seeds: '' };
  entry.row.querySelector('.value').textContent = value;
  entry.row.querySelector('.range').textContent = seeds;
  return value && `${entry.name} ${value}`;
}

// Said a moment later, by the single place of the page that a screen reader listens to.
let saying = 0;
function say(text) {
  clearTimeout(saying);
  saying = setTimeout(() => { document.getElementById('said').textContent = text; }, SAID_AFTER_MS);
}

function point(chart, event) {
  const x = event.clientX - chart.svg.getBoundingClientRect().left;
  const distances = chart.epochs.map((epoch) => Math.abs(chart.axis.x(epoch) - x));
  chart.slider.value = String(distances.indexOf(Math.min(...distances)));
  read(chart);
}

function startChart(root) {
  const places = CURVES.charts[root.dataset.chart];
  const cases = all('.legend tbody tr', root).map((row, number) => {
    drawSwatch(row.querySelector('.swatch'), number);
    const [name, box] = [row.querySelector('label span').textContent, row.querySelector('input')];
    return { row, number, name, box, curves: places[number] === null ? null : CURVES.cases[places[number]] };
  });
  const drawable = cases.filter((entry) => entry.curves);
  const epochs = [...new Set(drawable.flatMap((entry) => entry.curves.epochs))].sort((one, other) => one - other);
  const [svg, slider] = [root.querySelector('.plot'), root.querySelector('input[type="range"]')];
  const chart = { root, cases, drawable, epochs, svg, slider, axis: null };
  slider.max = String(epochs.length - 1);
  slider.value = slider.max;
  slider.addEventListener('input', () => say(read(chart)));
  for (const name of ['pointermove', 'pointerdown']) svg.addEventListener(name, (event) => point(chart, event));
  root.addEventListener('change', (event) => { if (event.target !== slider) draw(chart); });
  for (const button of all('[data-pick]', root)) {
    button.addEventListener('click', () => {
      for (const entry of drawable) entry.box.checked = button.dataset.pick === 'all';
      draw(chart);
    });
  }
  draw(chart); // at once: paper does not wait for an observer
  new ResizeObserver(() => draw(chart)).observe(svg);
}

// A chart is drawn when it comes near the screen: a page of many opens as fast as a page of few. Paper shows them all.
const waiting = new Set(all('.chart'));
const start = (root) => { if (waiting.delete(root)) startChart(root); };
const watcher = new IntersectionObserver((seen) => seen.filter((entry) => entry.isIntersecting).forEach((entry) => start(entry.target)), { rootMargin: '600px' });
waiting.forEach((root) => watcher.observe(root));
addEventListener('beforeprint', () => [...waiting].forEach(start));
