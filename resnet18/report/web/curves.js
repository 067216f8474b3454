// Curves that are compared: which cases, measure and epoch. Nothing is computed: the data block's numbers are shown.

const CURVES = JSON.parse(document.getElementById('curves').textContent);
const ROOM = { left: 46, right: 14, top: 8, bottom: 40 };
const IMAGES = { train: 'training images', as_published: 'test images, as published', clean: 'test images, clean' };
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

// Lowest and highest seed at an epoch; seeds that ended earlier have no value there.
function rangeAt(lines, epoch) {
  const values = lines.runs.map((run) => run[epoch - 1]).filter((value) => value !== undefined);
  return [Math.min(...values), Math.max(...values)];
}

// The values of a case at an epoch as texts: mean or only seed, then what the seeds span or each of them.
function valuesAt({ curves }, epoch, shown) {
  const lines = curves.lines[shown.key];
  if (lines.runs.every((run) => run.length < epoch)) return { value: NOTHING, seeds: 'ended' };
  const unit = shown.isLoss ? '' : ' %';
  const number = (value) => (value === undefined ? NOTHING : shown.isLoss ? value.toPrecision(4) : value.toFixed(2));
  const mean = lines.mean[epoch - 1];
  const value = mean === undefined ? NOTHING : `${number(mean)}${unit}`;
  if (lines.runs.length === 1) return { value, seeds: `seed ${curves.seeds[0]}` };
  if (shown.eachSeed) return { value, seeds: `${lines.runs.map((run) => number(run[epoch - 1])).join(', ')}${unit}` };
  return { value, seeds: `${rangeAt(lines, epoch).map(number).join(' to ')}${unit}` };
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
  const last = Number(chart.slider.max);
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

function drawLine({ svg, axis, cases }, shown, entry, values, isThin) {
  const pen = penOf(entry.number);
  const places = values.map((value, at) => [axis.x(at + 1), axis.y(value)]);
  svg.append(svgElement(svg, 'path', { class: `line ${pen.colour} ${pen.dash}${isThin ? ' thin' : ''}`, d: pathOf(places) }));
  // The cases have their markers at different epochs, so that both of two equal curves are seen.
  const every = Math.max(cases.length, Math.floor(places.length / 8));
  const offset = Math.floor((entry.number * every) / cases.length) % places.length;
  const hollowFrom = places.length - (shown.images === 'train' ? 0 : entry.curves.hollow);
  places.forEach(([x, y], at) => {
    if (at >= hollowFrom || at % every === offset) drawSign(svg, pen, pen.marker, x, y, isThin ? 2.6 : 3.6, at >= hollowFrom);
  });
}

function drawCase(chart, shown, entry) {
  const { svg, axis } = chart;
  const [lines, pen, { turn }] = [entry.curves.lines[shown.key], penOf(entry.number), entry.curves];
  if (lines.runs.length > 1 && !shown.eachSeed) {
    const ends = lines.mean.map((_, at) => [axis.x(at + 1), ...rangeAt(lines, at + 1).map(axis.y)]);
    const band = [...ends.map(([x, , high]) => [x, high]), ...ends.map(([x, low]) => [x, low]).reverse()];
    svg.append(svgElement(svg, 'path', { class: `band ${pen.colour}`, d: `${pathOf(band)}Z` }));
  }
  for (const values of shown.eachSeed ? lines.runs : [lines.mean]) {
    drawLine(chart, shown, entry, values, shown.eachSeed && lines.runs.length > 1);
  }
  if (turn && shown.isLoss && shown.images !== 'train') drawSign(svg, pen, 'star', axis.x(turn), axis.y(lines.mean[turn - 1]), 8);
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

// Show the values at the slider's epoch in the legend and the picture, and as a sentence for a screen reader.
function read(chart) {
  const { root, svg, slider, axis } = chart;
  const [shown, epoch] = [shownIn(chart), Number(slider.value)];
  const title = titleOf(shown, axis.isLog);
  const values = chart.drawable.map((entry) => showValues(entry, epoch, shown)).filter(Boolean).join('; ');
  const spoken = `Epoch ${epoch}: ${values || 'no case is chosen'}`;
  slider.setAttribute('aria-valuetext', spoken);
  root.querySelector('.epoch output').textContent = `${epoch}`;
  root.querySelector('.legend caption').textContent = `Epoch ${epoch}: ${title}`;
  svg.setAttribute('aria-label', `${title}, by epoch. ${spoken}`);
  const layer = svg.querySelector('.reading');
  const [x, { top, bottom }] = [axis.x(epoch), axis.box];
  layer.replaceChildren(svgElement(svg, 'path', { class: 'cursor', d: `M${x} ${top}V${bottom}` }));
  for (const entry of shown.eachSeed ? [] : chosenOf(chart)) {
    const value = entry.curves.lines[shown.key].mean[epoch - 1];
    const ring = { class: `ring ${penOf(entry.number).colour}`, cx: x, cy: axis.y(value), r: 6.5 };
    if (value !== undefined) layer.append(svgElement(svg, 'circle', ring));
  }
}

function showValues(entry, epoch, shown) {
  const { value, seeds } = entry.box.checked ? valuesAt(entry, epoch, shown) : { value: '', seeds: '' };
  entry.row.querySelector('.value').textContent = value;
  entry.row.querySelector('.range').textContent = seeds;
  return value && `${entry.name} ${value}`;
}

function startChart(root) {
  const [svg, slider] = [root.querySelector('.plot'), root.querySelector('input[type="range"]')];
  const cases = all('.legend tbody tr', root).map((row, number) => {
    drawSwatch(row.querySelector('.swatch'), number);
    const [name, box] = [row.querySelector('label span').textContent, row.querySelector('input')];
    return { row, number, name, box, curves: CURVES[root.dataset.chart][number] };
  });
  const drawable = cases.filter((entry) => entry.curves);
  const chart = { root, cases, drawable, svg, slider, axis: null };
  slider.max = Math.max(...drawable.flatMap((entry) => entry.curves.lines.clean_loss.runs.map((run) => run.length)));
  slider.value = slider.max;
  slider.addEventListener('input', () => read(chart));
  const point = (event) => {
    const x = event.clientX - svg.getBoundingClientRect().left;
    const distance = (epoch) => Math.abs(chart.axis.x(epoch) - x);
    const epochs = [...Array(Number(slider.max)).keys()].map((at) => at + 1);
    slider.value = epochs.reduce((best, epoch) => (distance(epoch) < distance(best) ? epoch : best));
    read(chart);
  };
  for (const name of ['pointermove', 'pointerdown']) svg.addEventListener(name, point);
  root.addEventListener('change', (event) => { if (event.target !== slider) draw(chart); });
  draw(chart);
  new ResizeObserver(() => draw(chart)).observe(svg);
}

all('.chart').forEach(startChart);
