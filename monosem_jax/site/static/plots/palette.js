'use strict';

// Colours that differ for every kind of colour vision, on light and dark
// backgrounds: Okabe and Ito's for classes, blue to yellow for quantities.
monosem.palette = (() => {
  const { element } = monosem.dom;
  const CLASSES = [
    '#0072b2',
    '#e69f00',
    '#009e73',
    '#d55e00',
    '#cc79a7',
    '#56b4e9',
  ];
  const NONE = '#8c8c8c';
  // The largest values contrast most with the background.
  const RAMPS = {
    light: ['#dcbd55', '#a89a6c', '#7a7b78', '#4a5a78', '#00204d'],
    dark: ['#3f5283', '#6b7080', '#958f78', '#cbb35d', '#ffea46'],
  };
  const dark = window.matchMedia('(prefers-color-scheme: dark)');

  // '#rrggbb' as a pixel of an ImageData's 32 bits.
  const pixel = (hex) => {
    const rgb = parseInt(hex.slice(1), 16);
    const red = rgb >> 16;
    const blue = rgb & 255;
    return (0xff000000 | (blue << 16) | (rgb & 0xff00) | red) >>> 0;
  };

  // The colour of a class by its number; grey for a negative one.
  const ofClass = (n) => (n < 0 ? NONE : CLASSES[n % CLASSES.length]);

  const ramp = () => RAMPS[dark.matches ? 'dark' : 'light'];

  // A table of 256 pixels from the least to the most.
  function shades() {
    const stops = ramp().map((hex) => parseInt(hex.slice(1), 16));
    return Uint32Array.from({ length: 256 }, (_, i) => {
      const at = (i / 255) * (stops.length - 1);
      const k = Math.min(Math.floor(at), stops.length - 2);
      const mix = (shift) => {
        const from = (stops[k] >> shift) & 255;
        const to = (stops[k + 1] >> shift) & 255;
        return Math.round(from + (to - from) * (at - k));
      };
      return (0xff000000 | (mix(0) << 16) | (mix(8) << 8) | mix(16)) >>> 0;
    });
  }

  // An element's text colour, which depends on the theme, as a pixel and as
  // CSS.
  function inks(node) {
    const css = getComputedStyle(node).color;
    const [r, g, b] = css.match(/\d+/g).map(Number);
    return [((b << 16) | (g << 8) | r) >>> 0, css];
  }

  function swatch(colour) {
    const node = element('span', 'swatch');
    node.style.background = colour;
    return node;
  }

  // A legend of classes: pairs of a name and a colour.
  const legend = (classes) =>
    element(
      'ul',
      'hues',
      classes.map(([name, colour]) =>
        element('li', '', [swatch(colour), element('span', '', name)]),
      ),
    );

  // A legend of a quantity, from `low` to `high`, which are texts.
  function scale(title, low, high) {
    const bar = element('span', 'ramp');
    bar.style.background = `linear-gradient(to right, ${ramp().join(',')})`;
    return element('div', 'hues', [
      element('span', '', title),
      element('span', '', low),
      bar,
      element('span', '', high),
    ]);
  }

  // Calls back when the theme changes; returns a function that stops this.
  function onChange(call) {
    dark.addEventListener('change', call);
    return () => dark.removeEventListener('change', call);
  }

  return { inks, legend, ofClass, onChange, pixel, scale, shades, swatch };
})();
