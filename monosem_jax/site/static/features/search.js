'use strict';

// Finds features by label, by the tokens that they fire on or raise, or by
// number. The columns of their sets must be loaded.
monosem.search = (() => {
  const { data } = monosem;
  let words = null; // the vocabulary in small letters

  function matcher(q, regex) {
    if (regex) {
      const pattern = new RegExp(q, 'u');
      return (text) => pattern.test(text);
    }
    const small = q.toLowerCase();
    return (text) => text.toLowerCase().includes(small);
  }

  // 1 for each token that matches, else 0. Each token is searched once, however
  // many features have it.
  function tokens(q, regex, matches) {
    if (regex) return Uint8Array.from(data.tokens, (token) => matches(token));
    words ??= data.tokens.map((token) => token.toLowerCase());
    const small = q.toLowerCase();
    return Uint8Array.from(words, (word) => word.includes(small));
  }

  // 1 for each feature of a set that matches, else 0; null for an empty query.
  // `where` is `any`, `label`, `fires` or `raises`; `any` also finds features
  // by number, 123 or A/1/123. Throws a SyntaxError for an invalid pattern.
  function of(key, { q, regex = false, where = 'any' }) {
    if (!q.trim()) return null;
    const set = data.set(key);
    const found = new Uint8Array(set.features);
    const matches = matcher(q, regex);
    const asked = (...names) => where === 'any' || names.includes(where);
    if (asked('fires', 'raises')) {
      const hits = tokens(q, regex, matches);
      for (const name of ['fires', 'raises'].filter((one) => asked(one))) {
        const column = set.columns[name];
        for (let i = 0; i < column.length; i++) {
          if (hits[column[i]]) found[Math.floor(i / column.width)] = 1;
        }
      }
    }
    if (asked('label')) {
      for (const [i, label] of monosem.labels.all(key)) {
        if (matches(label)) found[i] = 1;
      }
    }
    const [, run, digits] = q.match(/^(?:(.+)\/)?(\d{1,9})$/) ?? [];
    const named = !run || run.toLowerCase() === set.run.toLowerCase();
    if (asked() && digits !== undefined && named) {
      if (Number(digits) < set.features) found[Number(digits)] = 1;
    }
    return found;
  }

  // Searches the features in a pack's columns `set` and `feature`: the indices
  // of those that match, rising; null for an empty query.
  function entries({ set, feature }, q) {
    const hits = new Map(
      [...new Set(set)].map((n) => [n, of(data.sets[n].key, { q })]),
    );
    if (!q.trim()) return null;
    const found = [];
    for (let i = 0; i < feature.length; i++) {
      if (hits.get(set[i])[feature[i]]) found.push(i);
    }
    return Uint32Array.from(found);
  }

  // The index of a feature in such columns; -1 if it is not there.
  function index({ set, feature }, key, number) {
    for (let i = 0; i < feature.length; i++) {
      if (feature[i] === number && data.sets[set[i]].key === key) return i;
    }
    return -1;
  }

  return { entries, index, of };
})();
