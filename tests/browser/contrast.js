// Every text of the page that is seen, with less contrast to what lies behind it than a limit: [tag.class, ratio].
(limit) => {
  const linear = (one) => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4);
  const luminance = ([red, green, blue]) => 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  const paint = document.createElement('canvas').getContext('2d', { willReadFrequently: true });

  // Whatever way a colour is written in, the canvas paints it.
  const lightOf = (colour) => {
    paint.fillStyle = colour;
    paint.fillRect(0, 0, 1, 1);
    return luminance([...paint.getImageData(0, 0, 1, 1).data].map((one) => linear(one / 255)));
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (!/(rgba\(.*, 0\)|transparent)/.test(colour)) return colour;
    }
    return 'white';
  };
  const bad = new Map();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const one = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !one.checkVisibility() || one.closest('svg, option, .unseen, .skip')) continue;
    const [text, ground] = [lightOf(getComputedStyle(one).color), lightOf(behind(one))];
    const ratio = (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
    if (ratio < limit) bad.set(`${one.tagName}.${one.className}`, ratio.toFixed(2));
  }
  return [...bad].map((one) => one.join(' '));
}
