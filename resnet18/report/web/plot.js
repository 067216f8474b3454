// A picture of curves as SVG: scales and ticks, lines, bands and points. Colours, dashes and markers come in turns of
// different length, so that no two of the first 28 cases share colour and dash.

const COLOURS = 7;
const DASHES = 4;
const MARKERS = ['circle', 'square', 'up', 'diamond', 'down'];

// Steps of 1, 2 or 5 times a power of ten, about as many as are wanted.
function linearTicks(low, high, wanted) {
  const rough = (high - low) / Math.max(wanted, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999);
  const first = Math.ceil(low / step - 1e-9);
  const count = Math.floor(high / step + 1e-9) - first + 1;
  return [...Array(count).keys()].map((at) => Number(((first + at) * step).toPrecision(12)));
}

// Whole epochs, the first among them; the next is left out where the two would touch.
function epochTicks(last, wanted) {
  const ticks = last > 1 ? linearTicks(1, last, wanted).filter(Number.isInteger) : [];
  return [1, ...ticks.filter((tick) => tick > 1 && tick > last * 0.05)];
}

function logTicks(low, high) {
  const powers = [...Array(40).keys()].map((at) => 10 ** (at - 20));
  const wanted = high > 1000 * low ? [1] : [1, 2, 5];
  const ticks = powers.flatMap((power) => wanted.map((factor) => Number((factor * power).toPrecision(3))));
  return ticks.filter((tick) => tick >= low && tick <= high);
}

function linear(low, high, from, to) {
  return (value) => from + ((value - low) / (high - low)) * (to - from);
}

function logarithmic(low, high, from, to) {
  const place = linear(Math.log(low), Math.log(high), from, to);
  return (value) => place(Math.log(value));
}

// A loss that once is many times the usual loss leaves nothing to see on a linear axis.
function needsLog(values) {
  const sorted = [...values].sort((one, other) => one - other);
  return sorted[0] > 0 && sorted[sorted.length - 1] > 10 * sorted[Math.floor(sorted.length / 2)];
}

// What an axis spans: all values and some room, but no share beyond 0 and 100 % and no loss below 0.
function span(values, isLoss) {
  if (!values.length) return isLoss ? [0, 1] : [0, 100];
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const room = (high - low || Math.abs(high) || 1) * 0.06;
  return [Math.max(low - room, 0), isLoss ? high + room : Math.min(high + room, 100)];
}

function svgElement(owner, name, attributes, text = '') {
  const made = document.createElementNS(owner.namespaceURI, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

function pathOf(points) {
  return points.map(([x, y], at) => `${at ? 'L' : 'M'}${x.toFixed(1)} ${y.toFixed(1)}`).join('');
}

// A figure with its corners on a circle, the first at an angle in turns; a star has every other corner inside.
function polygon(x, y, radius, corners, turn, inner = radius) {
  return `${pathOf([...Array(corners).keys()].map((at) => {
    const [angle, away] = [2 * Math.PI * (at / corners + turn), at % 2 ? inner : radius];
    return [x + away * Math.cos(angle), y + away * Math.sin(angle)];
  }))}Z`;
}

const SHAPES = {
  circle: (x, y, r) => polygon(x, y, r, 20, 0),
  square: (x, y, r) => polygon(x, y, 1.3 * r, 4, 0.125),
  up: (x, y, r) => polygon(x, y, 1.3 * r, 3, -0.25),
  diamond: (x, y, r) => polygon(x, y, 1.3 * r, 4, 0),
  down: (x, y, r) => polygon(x, y, 1.3 * r, 3, 0.25),
  star: (x, y, r) => polygon(x, y, r, 10, -0.25, 0.45 * r),
};

function penOf(number) {
  return { colour: `k${number % COLOURS}`, dash: `d${number % DASHES}`, marker: MARKERS[number % MARKERS.length] };
}

function drawSign(svg, pen, shape, x, y, size, isHollow = false) {
  const look = `${shape === 'star' ? 'star' : 'dot'} ${pen.colour}${isHollow ? ' hollow' : ''}`;
  svg.append(svgElement(svg, 'path', { class: look, d: SHAPES[shape](x, y, size) }));
}

function drawSwatch(svg, number) {
  const pen = penOf(number);
  svg.append(svgElement(svg, 'path', { class: `line ${pen.colour} ${pen.dash}`, d: 'M0 6H30' }));
  drawSign(svg, pen, pen.marker, 15, 6, 3.6);
}

function drawAxes(svg, { box, x, y, xTicks, yTicks }) {
  const layer = svgElement(svg, 'g', { 'aria-hidden': 'true' });
  const path = (look, d) => layer.append(svgElement(svg, 'path', { class: look, d }));
  const label = (text, left, top, anchor) => layer.append(svgElement(svg, 'text', { x: left, y: top, 'text-anchor': anchor }, text));
  for (const tick of yTicks) {
    path('rule', `M${box.left} ${y(tick)}H${box.right}`);
    label(tick, box.left - 8, y(tick) + 4, 'end');
  }
  path('base', `M${box.left} ${box.bottom}H${box.right}`);
  for (const tick of xTicks) {
    path('base', `M${x(tick)} ${box.bottom}v5`);
    label(tick, x(tick), box.bottom + 19, 'middle');
  }
  label('epoch', box.right, box.bottom + 34, 'end');
  svg.append(layer);
}
