'use strict';

// Numbers as text. What is not known is an en dash.
monosem.format = (() => {
  const MINUS = '\u2212';
  const known = (show) => (x) => {
    if (x === null || x === undefined) return '–';
    return show(x).replaceAll('-', MINUS);
  };

  const count = known((x) => x.toLocaleString('en'));
  const fixed = known((x) => x.toFixed(2));
  const digits = known((x) => {
    if (x === 0) return '0';
    if (Math.abs(x) < 1e-3) return x.toExponential(2);
    const three = { minimumSignificantDigits: 3, maximumSignificantDigits: 3 };
    return x.toLocaleString('en', three);
  });
  const percent = known((x) => {
    const shown = 100 * x;
    if (shown !== 0 && Math.abs(shown) < 1e-4) {
      return `${shown.toExponential(1)}%`;
    }
    return `${shown.toLocaleString('en', { maximumSignificantDigits: 3 })}%`;
  });

  return { count, digits, fixed, percent };
})();
