// A picture of curves as SVG: scales and ticks, lines, bands and points. Colours, dashes and markers come in turns of
// different length, so that no two of the first 28 cases share colour and dash.

const COLOURS = 7;
const DASHES = 4;
const MARKERS = ['circle', 'square', 'up', 'diamond', 'down'];
const MANY = 15; // epochs from which a marker on each would run into the next

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
  return [1, ...ticks.filter((tick) => tick > 1 && (last < 20 || tick > last * 0.05))];
}

function logTicks(low, high) {
  const powers = [...Array(40).keys()].map((at) => at - 20);
  const ticks = powers.flatMap((power) => [1, 2, 5].map((factor) => Number((factor * 10 ** power).toPrecision(3))));
  const inside = ticks.filter((tick) => tick >= low && tick <= high);
  const whole = inside.filter((tick) => /^1(e|0*$)|^0\.0*1$/.test(String(tick)));
  return inside.length > 9 && whole.length > 1 ? whole : inside;
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

const SHAPES = {
  circle: (x, y, r) => `M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0Z`,
  square: (x, y, r) => `M${x - r} ${y - r}h${2 * r}v${2 * r}h${-2 * r}Z`,
  up: (x, y, r) => `M${x} ${y - 1.2 * r}l${1.15 * r} ${2 * r}h${-2.3 * r}Z`,
  diamond: (x, y, r) => `M${x} ${y - 1.35 * r}l${1.2 * r} ${1.35 * r}l${-1.2 * r} ${1.35 * r}l${-1.2 * r} ${-1.35 * r}Z`,
  down: (x, y, r) => `M${x} ${y + 1.2 * r}l${1.15 * r} ${-2 * r}h${-2.3 * r}Z`,
  star: (x, y, r) => `${pathOf([...Array(10).keys()].map((at) => {
    const [angle, radius] = [(Math.PI * at) / 5 - Math.PI / 2, at % 2 ? 0.45 * r : r];
    return [x + radius * Math.cos(angle), y + radius * Math.sin(angle)];
  }))}Z`,
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

// Where a line has its markers: everywhere if it is short, else at places that differ by case.
function markedPlaces(count, number, cases) {
  if (count < MANY) return [...Array(count).keys()];
  return [...Array(6).keys()].map((at) => Math.floor((count / 6) * (at + (number + 0.5) / cases)));
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

function drawBand(svg, axis, pen, band) {
  const upper = band.map(([epoch, , high]) => [axis.x(epoch), axis.y(high)]);
  const lower = band.map(([epoch, low]) => [axis.x(epoch), axis.y(low)]).reverse();
  svg.append(svgElement(svg, 'path', { class: `band ${pen.colour}`, d: `${pathOf([...upper, ...lower])}Z` }));
}

function drawLine(svg, axis, pen, points, { isThin, marked, hollow }) {
  const places = points.map(([epoch, value]) => [axis.x(epoch), axis.y(value)]);
  svg.append(svgElement(svg, 'path', { class: `line ${pen.colour} ${pen.dash}${isThin ? ' thin' : ''}`, d: pathOf(places) }));
  const filled = places.length - hollow;
  const last = [...places.keys()].slice(filled);
  for (const at of [...marked.filter((place) => place < filled), ...last]) {
    drawSign(svg, pen, pen.marker, ...places[at], isThin ? 2.6 : 3.6, at >= filled);
  }
}
