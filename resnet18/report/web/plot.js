// A picture of curves as SVG: scales and ticks, lines, bands and points. Colours, dashes and markers come in turns of
// different length, so that no two of the first 28 cases share colour and dash.

const COLOURS = 7;
const DASHES = 4;
const MARKERS = ['circle', 'square', 'up', 'diamond', 'down'];
const MANY = 15; // epochs from which a marker on each would run into the next

function svgElement(owner, name, attributes, text) {
  const made = document.createElementNS(owner.namespaceURI, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
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
  star: (x, y, r) => {
    const points = [...Array(10).keys()].map((at) => {
      const [angle, radius] = [(Math.PI * at) / 5 - Math.PI / 2, at % 2 ? 0.45 * r : r];
      return [x + radius * Math.cos(angle), y + radius * Math.sin(angle)];
    });
    return `${pathOf(points)}Z`;
  },
};

function penOf(number) {
  return { colour: `k${number % COLOURS}`, dash: `d${number % DASHES}`, marker: MARKERS[number % MARKERS.length] };
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

function drawAxes(svg, axis) {
  const { box } = axis;
  const layer = svgElement(svg, 'g', { 'aria-hidden': 'true' });
  for (const tick of axis.yTicks) {
    const y = axis.y(tick);
    layer.append(svgElement(svg, 'path', { class: 'rule', d: `M${box.left} ${y}H${box.right}` }));
    layer.append(svgElement(svg, 'text', { x: box.left - 8, y: y + 4, 'text-anchor': 'end' }, String(tick)));
  }
  layer.append(svgElement(svg, 'path', { class: 'base', d: `M${box.left} ${box.bottom}H${box.right}` }));
  for (const tick of axis.xTicks) {
    const x = axis.x(tick);
    layer.append(svgElement(svg, 'path', { class: 'base', d: `M${x} ${box.bottom}v5` }));
    layer.append(svgElement(svg, 'text', { x, y: box.bottom + 19, 'text-anchor': 'middle' }, String(tick)));
  }
  layer.append(svgElement(svg, 'text', { x: box.right, y: box.bottom + 34, 'text-anchor': 'end' }, 'epoch'));
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
  const last = places.map((_, at) => at).slice(filled);
  for (const at of [...marked.filter((one) => one < filled), ...last]) {
    drawSign(svg, pen, pen.marker, ...places[at], isThin ? 2.6 : 3.6, at >= filled);
  }
}

function drawSign(svg, pen, shape, x, y, size, isHollow = false) {
  const kind = shape === 'star' ? 'star' : 'dot';
  svg.append(svgElement(svg, 'path', { class: `${kind} ${pen.colour}${isHollow ? ' hollow' : ''}`, d: SHAPES[shape](x, y, size) }));
}

// Steps of 1, 2 or 5 times a power of ten, about as many as are wanted.
function tickStep(low, high, wanted) {
  const rough = (high - low) / Math.max(wanted, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * [1, 2, 5, 10].find((one) => one * power >= rough * 0.999);
}

function linearTicks(low, high, wanted) {
  const step = tickStep(low, high, wanted);
  const ticks = [];
  for (let at = Math.ceil(low / step - 1e-9); at * step <= high + step * 1e-9; at += 1) ticks.push(Number((at * step).toPrecision(12)));
  return ticks;
}

// Whole epochs, the first among them; the next is left out where the two would touch.
function epochTicks(last, wanted) {
  const ticks = last > 1 ? linearTicks(1, last, wanted).filter(Number.isInteger) : [];
  return [1, ...ticks.filter((tick) => tick > 1 && (last < 20 || tick > last * 0.05))];
}

function logTicks(low, high) {
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
    for (const one of [1, 2, 5]) ticks.push(Number((one * 10 ** power).toPrecision(3)));
  }
  const inside = ticks.filter((tick) => tick >= low && tick <= high);
  const whole = inside.filter((tick) => Number.isInteger(Math.round(1e6 * Math.log10(tick)) / 1e6));
  return inside.length > 9 && whole.length > 1 ? whole : inside;
}

function linear(low, high, from, to) {
  return (value) => from + ((value - low) / (high - low)) * (to - from);
}

function logarithmic(low, high, from, to) {
  const place = linear(Math.log(low), Math.log(high), from, to);
  return (value) => place(Math.log(value));
}

// A loss that once is many times the usual one leaves nothing to see on a linear axis.
function needsLog(values, isLoss) {
  if (!isLoss || !values.length) return false;
  const sorted = [...values].sort((one, other) => one - other);
  return sorted[0] > 0 && sorted[sorted.length - 1] > 10 * sorted[Math.floor(sorted.length / 2)];
}

// What an axis spans: all values and some room, but no share beyond 0 and 100 % and no loss below 0.
function span(values, isLoss) {
  if (!values.length) return isLoss ? [0, 1] : [0, 100];
  const low = Math.min(...values);
  const high = Math.max(...values);
  const room = (high - low || Math.abs(high) || 1) * 0.06;
  return [Math.max(low - room, 0), isLoss ? high + room : Math.min(high + room, 100)];
}
