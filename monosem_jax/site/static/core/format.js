'use strict';

// Numbers as text. An unknown number is an en dash.
monosem.format = (() => {
  const MINUS = '\u2212';
  const known = (show) => (x) => {
    if (x === null || x === undefined || !Number.isFinite(x)) return '–';
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
  // With its sign.
  const signed = known((x) => (x > 0 ? '+' : '') + x.toFixed(2));
  const percent = known((x) => {
    const shown = 100 * x;
    if (shown !== 0 && Math.abs(shown) < 1e-4) {
      return `${shown.toExponential(1)}%`;
    }
    return `${shown.toLocaleString('en', { maximumSignificantDigits: 3 })}%`;
  });
  const density = known((x) => (x === 0 ? '0' : x.toExponential(2)));

  // As Python's format() writes a number, for the formats that reports use.
  const python = (x, form) => {
    if (typeof x === 'string') return x;
    const [, comma, places, kind] = form.match(/^(,?)(?:\.(\d+))?([%efg]?)$/);
    const set = {
      minimumFractionDigits: places,
      maximumFractionDigits: places,
    };
    return known((value) => {
      if (kind === '%') return `${(100 * value).toLocaleString('en', set)}%`;
      if (kind === 'e') return value.toExponential(places);
      if (kind === 'g') return String(Number(value.toPrecision(places)));
      if (kind === 'f' && !comma) return value.toFixed(places);
      return value.toLocaleString('en', places ? set : {});
    })(x);
  };

  return { python, count, density, digits, fixed, percent, signed };
})();
