// From values to places in a picture, and where an axis has its ticks.

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
