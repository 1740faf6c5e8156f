'use strict';

// Histograms, drawn as SVG.
monosem.plots = (() => {
  const { element, svg } = monosem.dom;
  const { count, digits } = monosem.format;
  const WIDTH = 320;
  const HEIGHT = 96;

  // `counts` over equal bins from `left` to `right`; `hue` names a class.
  function histogram(counts, left, right, { hue, label }) {
    const most = Math.max(...counts, 1);
    const edge = (i) => left + ((right - left) * i) / counts.length;
    const step = WIDTH / counts.length;
    const bars = counts.map((n, i) => {
      // A bin that holds anything stays visible.
      const height = n > 0 ? Math.max((HEIGHT * n) / most, 1) : 0;
      const span = `${digits(edge(i))} to ${digits(edge(i + 1))}`;
      const box = {
        x: i * step,
        y: HEIGHT - height,
        width: step - 1,
        height,
      };
      return svg('rect', box, [svg('title', {}, `${span}: ${count(n)}`)]);
    });
    if (left < 0 && right > 0) {
      const x = (WIDTH * -left) / (right - left);
      const zero = { class: 'zero', x1: x, x2: x, y1: 0, y2: HEIGHT };
      bars.push(svg('line', zero));
    }
    const view = {
      class: `histogram ${hue}`,
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
      preserveAspectRatio: 'none',
      role: 'img',
      'aria-label': `${label}: from ${digits(left)} to ${digits(right)}`,
    };
    const axis = [digits(left), `highest bar ${count(most)}`, digits(right)];
    return element('div', 'plot', [
      svg('svg', view, bars),
      element('div', 'axis', axis.map((text) => element('span', '', text))),
    ]);
  }

  return { histogram };
})();
