'use strict';

// Histograms, drawn as SVG.
monosem.plots = (() => {
  const { element, svg } = monosem.dom;
  const { count, digits } = monosem.format;
  const WIDTH = 320;
  const HEIGHT = 96;

  // `values` in equal bins from `left` to `right`. `hue` is a class of
  // page.css, `unit` labels the axis, and `of` formats a bar's value.
  function histogram(values, left, right, { hue, label, unit, of = count }) {
    const most = Math.max(...values, 0) || 1;
    const edge = (i) => left + ((right - left) * i) / values.length;
    const step = WIDTH / values.length;
    const bars = values.map((n, i) => {
      // A bin that holds anything stays visible.
      const height = n > 0 ? Math.max((HEIGHT * n) / most, 1) : 0;
      const span = `${digits(edge(i))} to ${digits(edge(i + 1))}`;
      const box = {
        x: i * step,
        y: HEIGHT - height,
        width: step - 1,
        height,
      };
      return svg('rect', box, [svg('title', {}, `${span}: ${of(n)}`)]);
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
    const drawn = svg('svg', view, bars);
    const axis = [digits(left), unit, digits(right)];
    const node = element('div', 'plot', [
      element('div', 'scale', `highest bar ${of(most)}`),
      drawn,
      element(
        'div',
        'axis',
        axis.map((text) => element('span', '', text)),
      ),
    ]);
    // Draws a line at a value, if it is on the axis.
    node.mark = (value) => {
      drawn.querySelector('.mark')?.remove();
      if (!(value >= left && value <= right && right > left)) return;
      const x = (WIDTH * (value - left)) / (right - left);
      drawn.append(
        svg('line', { class: 'mark', x1: x, x2: x, y1: 0, y2: HEIGHT }),
      );
    };
    return node;
  }

  return { histogram };
})();
