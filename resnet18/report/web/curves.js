// Curves that are compared: which cases, measure and epoch. Nothing is computed: the data block's numbers are shown.

const CURVES = JSON.parse(document.getElementById('curves').textContent);
const ROOM = { left: 46, right: 14, top: 8, bottom: 40 };
const IMAGES = { train: 'training images', as_published: 'test images, as published', clean: 'test images, clean' };
const NOTHING = '\u2013';

// Lowest and highest seed at an epoch; seeds that ended earlier have no value there.
function rangeAt(runs, epoch) {
  const values = runs.map((run) => run[epoch - 1]).filter((value) => value !== undefined);
  return [Math.min(...values), Math.max(...values)];
}

// The values of a case at an epoch as texts: mean or only seed, then what the seeds span or each of them.
function valuesAt({ curves }, epoch, shown) {
  const { mean, runs } = curves.lines[shown.key];
  const unit = shown.isLoss ? '' : ' %';
  const number = (value) => (value === undefined ? NOTHING : shown.isLoss ? value.toPrecision(4) : value.toFixed(2));
  const value = mean[epoch - 1] === undefined ? NOTHING : `${number(mean[epoch - 1])}${unit}`;
  if (runs.every((run) => run.length < epoch)) return [value, 'ended'];
  if (runs.length === 1) return [value, `seed ${curves.seeds[0]}`];
  const ends = shown.eachSeed ? runs.map((run) => number(run[epoch - 1])) : rangeAt(runs, epoch).map(number);
  return [value, `${ends.join(shown.eachSeed ? ', ' : ' to ')}${unit}`];
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
  const values = chart.chosen.flatMap((entry) => entry.curves.lines[shown.key].runs.flat());
  const { isLog, low, high } = limitsOf(values, shown.isLoss);
  const scale = isLog ? Math.log : Number;
  const height = linear(scale(low), scale(high), box.bottom, box.top);
  const last = Number(chart.slider.max);
  const pad = Math.min(Math.max(0.02 * (last - 1), 0.15), 0.9);
  return {
    box,
    isLog,
    x: linear(1 - pad, last + pad, box.left, box.right),
    y: (value) => height(scale(value)),
    epochAt: linear(box.left, box.right, 1 - pad, last + pad),
    yTicks: isLog ? logTicks(low, high) : linearTicks(low, high, (box.bottom - box.top) / 42),
    xTicks: epochTicks(last, (box.right - box.left) / 75),
  };
}

function drawLine({ svg, axis, cases }, shown, entry, values, isThin) {
  const { pen } = entry;
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
  const [lines, pen, { turn }] = [entry.curves.lines[shown.key], entry.pen, entry.curves];
  if (lines.runs.length > 1 && !shown.eachSeed) {
    const ends = lines.mean.map((_, at) => [axis.x(at + 1), ...rangeAt(lines.runs, at + 1).map(axis.y)]);
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
  const [measure, images, seeds] = all('.segments :checked', root).map((input) => input.value);
  const shown = { images, isLoss: measure === 'loss', eachSeed: seeds === 'each', key: `${images}_${measure}` };
  chart.shown = shown;
  chart.chosen = chart.drawable.filter((entry) => entry.box.checked);
  svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
  svg.replaceChildren();
  chart.axis = axesFor(chart, shown, { left: ROOM.left, right: width - ROOM.right, top: ROOM.top, bottom: height - ROOM.bottom });
  drawAxes(svg, chart.axis);
  for (const entry of chart.chosen) drawCase(chart, shown, entry);
  svg.append(svgElement(svg, 'g', { class: 'reading' }));
  const loss = chart.axis.isLog ? 'Cross entropy (nats, log scale)' : 'Cross entropy (nats)';
  chart.title = `${shown.isLoss ? loss : 'Accuracy (%)'}, ${IMAGES[shown.images]}`;
  root.querySelector('.axis').textContent = chart.title;
  const signs = signsOf(chart.chosen.map((entry) => entry.curves), shown);
  root.querySelector('.signs').replaceChildren(...signs.map((text) => Object.assign(document.createElement('li'), { textContent: text })));
  read(chart);
}

// Show the values at the slider's epoch in the legend and the picture, and as a sentence for a screen reader.
function read(chart) {
  const { root, svg, slider, axis, shown, title } = chart;
  const epoch = Number(slider.value);
  const told = [];
  for (const entry of chart.drawable) {
    const [value, seeds] = chart.chosen.includes(entry) ? valuesAt(entry, epoch, shown) : ['', ''];
    entry.row.querySelector('.value').textContent = value;
    entry.row.querySelector('.range').textContent = seeds;
    if (value) told.push(`${entry.name} ${value}`);
  }
  const spoken = `Epoch ${epoch}: ${told.join('; ') || 'no case is chosen'}`;
  slider.setAttribute('aria-valuetext', spoken);
  root.querySelector('.epoch output').textContent = `${epoch}`;
  root.querySelector('.legend caption').textContent = `Epoch ${epoch}: ${title}`;
  svg.setAttribute('aria-label', `${title}, by epoch. ${spoken}`);
  const layer = svg.querySelector('.reading');
  const [x, { top, bottom }] = [axis.x(epoch), axis.box];
  layer.replaceChildren(svgElement(svg, 'path', { class: 'cursor', d: `M${x} ${top}V${bottom}` }));
  for (const entry of shown.eachSeed ? [] : chart.chosen) {
    const value = entry.curves.lines[shown.key].mean[epoch - 1];
    const ring = { class: `ring ${entry.pen.colour}`, cx: x, cy: axis.y(value), r: 6.5 };
    if (value !== undefined) layer.append(svgElement(svg, 'circle', ring));
  }
}

function startChart(root) {
  const [svg, slider] = [root.querySelector('.plot'), root.querySelector('input[type="range"]')];
  const cases = all('.legend tbody tr', root).map((row, number) => {
    const [swatch, box, { textContent: name }] = ['.swatch', 'input', 'label span'].map((part) => row.querySelector(part));
    const pen = penOf(number);
    swatch.append(svgElement(swatch, 'path', { class: `line ${pen.colour} ${pen.dash}`, d: 'M0 6H30' }));
    drawSign(swatch, pen, pen.marker, 15, 6, 3.6);
    return { row, number, pen, name, box, curves: CURVES[root.dataset.chart][number] };
  });
  const drawable = cases.filter((entry) => entry.curves);
  const chart = { root, cases, drawable, svg, slider };
  slider.max = Math.max(...drawable.flatMap((entry) => entry.curves.lines.clean_loss.runs.map((run) => run.length)));
  slider.value = slider.max;
  slider.addEventListener('input', () => read(chart));
  const point = (event) => {
    slider.value = Math.round(chart.axis.epochAt(event.clientX - svg.getBoundingClientRect().left));
    read(chart);
  };
  for (const name of ['pointermove', 'pointerdown']) svg.addEventListener(name, point);
  root.addEventListener('change', (event) => { if (event.target !== slider) draw(chart); });
  draw(chart);
  new ResizeObserver(() => draw(chart)).observe(svg);
}

all('.chart').forEach(startChart);
