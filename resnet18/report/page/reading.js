// The numbers of a chart as texts. They come from the data block as they are: nothing is computed from them.

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
