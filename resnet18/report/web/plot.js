// A picture of curves as SVG: a scale and ticks, lines, bands and points. Colours, dashes and markers come in turns of
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

// What an axis spans: all values and some room, but no share beyond 0 and 100 % and no loss below 0. A loss that once is
// many times the usual loss leaves nothing to see on a linear axis.
function limitsOf(values, isLoss) {
  if (!values.length) return { isLog: false, low: 0, high: isLoss ? 1 : 100 };
  const sorted = [...values].sort((one, other) => one - other);
  const [low, usual, high] = [0, 0.5, 1].map((share) => sorted[Math.floor(share * (sorted.length - 1))]);
  if (isLoss && low > 0 && high > 10 * usual) return { isLog: true, low: low * 0.9, high: high * 1.1 };
  const room = (high - low || Math.abs(high) || 1) * 0.06;
  return { isLog: false, low: Math.max(low - room, 0), high: isLoss ? high + room : Math.min(high + room, 100) };
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

// Corners on a circle: how many, its radius, the angle of the first in turns; a star has every other corner inside.
const SHAPES = {
  circle: [20, 1, 0], square: [4, 1.3, 0.125], up: [3, 1.3, -0.25], diamond: [4, 1.3, 0], down: [3, 1.3, 0.25],
  star: [10, 1, -0.25, 0.45],
};

function penOf(number) {
  return { colour: `k${number % COLOURS}`, dash: `d${number % DASHES}`, marker: MARKERS[number % MARKERS.length] };
}

function drawSign(svg, pen, shape, x, y, size, isHollow = false) {
  const [corners, radius, turn, inner = 1] = SHAPES[shape];
  const points = [...Array(corners).keys()].map((at) => {
    const [angle, away] = [2 * Math.PI * (at / corners + turn), size * radius * (at % 2 ? inner : 1)];
    return [x + away * Math.cos(angle), y + away * Math.sin(angle)];
  });
  const look = `${shape === 'star' ? 'star' : 'dot'} ${pen.colour}${isHollow ? ' hollow' : ''}`;
  svg.append(svgElement(svg, 'path', { class: look, d: `${pathOf(points)}Z` }));
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
