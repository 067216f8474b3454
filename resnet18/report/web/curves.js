// Curves that are compared: which cases, measure and epoch. Nothing is computed: the data block's numbers are shown.

const CURVES = JSON.parse(document.getElementById('curves').textContent);
const SAID_AFTER_MS = 400; // a reader who moves on is not told every epoch on the way
const ROOM = { left: 46, right: 14, top: 8, bottom: 40 };
const IMAGES = { train: 'training images', published: 'test images, as published', clean: 'test images, clean' };
const NOTHING = '\u2013';

function shownValue(value, isLoss) {
  if (value === undefined) return NOTHING;
  return isLoss ? value.toPrecision(4) : `${value.toFixed(2)} %`;
}

// Lowest and highest seed at a place; seeds that ended earlier have no value there.
function rangeAt(lines, at) {
  const values = lines.runs.map((run) => run[at]).filter((value) => value !== undefined);
  return values.length ? [Math.min(...values), Math.max(...values)] : null;
}

// The mean over seeds as the report computed it; of one seed, that seed.
function meanOf(lines) {
  return lines.mean ?? lines.runs[0];
}

function seedsText(one, lines, at, shown) {
  const text = (value) => shownValue(value, shown.isLoss);
  if (lines.runs.length === 1) return `seed ${one.arm.seeds[0]}`;
  if (shown.eachSeed) return lines.runs.map((run) => text(run[at])).join(', ');
  const [low, high] = rangeAt(lines, at).map(text);
  return `${low.replace(' %', '')} to ${high}`; // the unit once
}

// The values of one case at an epoch: mean or only seed, then what the seeds span or each of them.
function valuesAt(one, epoch, shown) {
  const at = one.arm.epochs.indexOf(epoch);
  const lines = one.arm.lines[shown.key];
  if (at < 0 || !rangeAt(lines, at)) return { value: NOTHING, seeds: 'ended' };
  return { value: shownValue(meanOf(lines)[at], shown.isLoss), seeds: seedsText(one, lines, at, shown) };
}

function titleOf(shown, isLog) {
  const loss = isLog ? 'Cross entropy (nats, log scale)' : 'Cross entropy (nats)';
  return `${shown.isLoss ? loss : 'Accuracy (%)'}, ${IMAGES[shown.images]}`;
}

// What signs of a picture mean, as far as it has them.
function signsOf(arms, shown) {
  const onTest = shown.images !== 'train';
  return [
    [!shown.eachSeed && arms.some((arm) => arm.seeds.length > 1), 'Line: mean over the seeds. Band: from the lowest seed to the highest.'],
    [shown.eachSeed && arms.some((arm) => arm.seeds.length > 1), 'Thin lines: one for each seed. The upper value is the mean over them.'],
    [onTest && arms.some((arm) => arm.hollow > 0), 'Hollow last points: tested on more images than those before them.'],
    [onTest && shown.isLoss && arms.some((arm) => arm.turn), 'Star: the lowest clean test loss, from which it rises (overfitting).'],
  ].filter(([applies]) => applies).map(([, text]) => text);
}

// What the controls of a chart say.
function shownIn(chart) {
  const choice = (name) => chart.root.querySelector(`input[name="${chart.root.dataset.chart}-${name}"]:checked`).value;
  const [images, measure] = [choice('images'), choice('measure')];
  return { images, isLoss: measure === 'loss', eachSeed: choice('seeds') === 'each', key: `${images}_${measure}` };
}

function chosenOf(chart) {
  return chart.drawable.filter((one) => one.box.checked);
}

function axesFor(chart, shown, box) {
  const values = chosenOf(chart).flatMap((one) => one.arm.lines[shown.key].runs.flat());
  const isLog = needsLog(values, shown.isLoss);
  const [low, high] = isLog ? [Math.min(...values) * 0.9, Math.max(...values) * 1.1] : span(values, shown.isLoss);
  const last = chart.epochs[chart.epochs.length - 1];
  const pad = Math.min(Math.max(0.02 * (last - 1), 0.15), 0.9);
  const tall = box.bottom - box.top;
  return {
    box,
    isLog,
    x: linear(1 - pad, last + pad, box.left, box.right),
    y: (isLog ? logarithmic : linear)(low, high, box.bottom, box.top),
    yTicks: isLog ? logTicks(low, high) : linearTicks(low, high, tall / 42),
    xTicks: epochTicks(last, (box.right - box.left) / 75),
  };
}

function drawCase(chart, shown, one) {
  const { svg, axis } = chart;
  const [lines, pen] = [one.arm.lines[shown.key], penOf(one.number)];
  const withSpread = !shown.eachSeed && lines.mean;
  if (withSpread) drawBand(svg, axis, pen, lines.mean.map((_, at) => [one.arm.epochs[at], ...rangeAt(lines, at)]));
  for (const values of withSpread ? [lines.mean] : lines.runs) {
    drawLine(svg, axis, pen, values.map((value, at) => [one.arm.epochs[at], value]), {
      isThin: !withSpread && lines.runs.length > 1,
      marked: markedPlaces(values.length, one.number, chart.cases.length),
      hollow: shown.images === 'train' ? 0 : one.arm.hollow,
    });
  }
  const turn = shown.isLoss && shown.images !== 'train' ? one.arm.epochs.indexOf(one.arm.turn) : -1;
  if (turn >= 0) drawSign(svg, pen, 'star', axis.x(one.arm.turn), axis.y(meanOf(lines)[turn]), 8);
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
  for (const one of chosenOf(chart)) drawCase(chart, shown, one);
  svg.append(svgElement(svg, 'g', { class: 'reading' }));
  root.querySelector('.axis').textContent = titleOf(shown, chart.axis.isLog);
  const signs = signsOf(chosenOf(chart).map((one) => one.arm), shown);
  root.querySelector('.signs').replaceChildren(...signs.map((text) => Object.assign(document.createElement('li'), { textContent: text })));
  read(chart);
}

// Show the values at the slider's epoch in the legend and the picture; return them as a sentence.
function read(chart) {
  const { root, svg, slider } = chart;
  const shown = shownIn(chart);
  const epoch = chart.epochs[Number(slider.value)];
  const title = titleOf(shown, chart.axis.isLog);
  const spoken = chart.drawable.map((one) => showValues(one, epoch, shown)).filter(Boolean).join('; ') || 'no case is chosen';
  slider.setAttribute('aria-valuetext', `epoch ${epoch}`);
  root.querySelector('.epoch output').textContent = `${epoch}`;
  root.querySelector('.legend caption').textContent = `Epoch ${epoch}: ${title}`;
  svg.setAttribute('aria-label', `${title}, by epoch. Epoch ${epoch}: ${spoken}`);
  drawReading(chart, shown, epoch);
  return `Epoch ${epoch}: ${spoken}`;
}

function showValues(one, epoch, shown) {
  const { value, seeds } = one.box.checked ? valuesAt(one, epoch, shown) : { value: '', seeds: '' };
  one.row.querySelector('.value').textContent = value;
  one.row.querySelector('.range').textContent = seeds;
  return value && `${one.name} ${value}`;
}

function drawReading({ svg, axis, ...chart }, shown, epoch) {
  const layer = svg.querySelector('.reading');
  const x = axis.x(epoch);
  layer.replaceChildren(svgElement(svg, 'path', { class: 'cursor', d: `M${x} ${axis.box.top}V${axis.box.bottom}` }));
  for (const one of shown.eachSeed ? [] : chosenOf(chart)) {
    const value = meanOf(one.arm.lines[shown.key])[one.arm.epochs.indexOf(epoch)];
    if (value !== undefined) layer.append(svgElement(svg, 'circle', { class: `ring ${penOf(one.number).colour}`, cx: x, cy: axis.y(value), r: 6.5 }));
  }
}

// Said a moment later, by the one place of the page that a screen reader listens to.
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

function pick(chart, isChosen) {
  for (const one of chart.drawable) one.box.checked = isChosen;
  draw(chart);
}

// A case of a chart: its row of the legend and its curves.
function caseOf(row, number, place) {
  drawSwatch(row.querySelector('.swatch'), number);
  return { row, number, name: row.querySelector('label span').textContent, box: row.querySelector('input'), arm: place === null ? null : CURVES.arms[place] };
}

function startChart(root) {
  const places = CURVES.charts[root.dataset.chart];
  const cases = [...root.querySelectorAll('.legend tbody tr')].map((row, at) => caseOf(row, at, places[at]));
  const drawable = cases.filter((one) => one.arm);
  const epochs = [...new Set(drawable.flatMap((one) => one.arm.epochs))].sort((one, other) => one - other);
  const [svg, slider] = [root.querySelector('.plot'), root.querySelector('input[type="range"]')];
  const chart = { root, cases, drawable, epochs, svg, slider, axis: null };
  slider.max = String(epochs.length - 1);
  slider.value = slider.max;
  slider.addEventListener('input', () => say(read(chart)));
  svg.addEventListener('pointermove', (event) => point(chart, event));
  svg.addEventListener('pointerdown', (event) => point(chart, event));
  root.addEventListener('change', (event) => { if (event.target !== slider) draw(chart); });
  for (const button of root.querySelectorAll('[data-pick]')) button.addEventListener('click', () => pick(chart, button.dataset.pick === 'all'));
  draw(chart); // at once: paper does not wait for an observer
  new ResizeObserver(() => draw(chart)).observe(svg);
}

// A chart is drawn when it comes near the screen: a page of many opens as fast as one of few. Paper shows them all.
function startWhenNear(roots) {
  const waiting = new Set(roots);
  const start = (root) => { if (waiting.delete(root)) startChart(root); };
  const watcher = new IntersectionObserver((seen) => seen.filter((one) => one.isIntersecting).forEach((one) => start(one.target)), { rootMargin: '600px' });
  roots.forEach((root) => watcher.observe(root));
  addEventListener('beforeprint', () => [...waiting].forEach(start));
}

startWhenNear([...document.querySelectorAll('.chart')]);
