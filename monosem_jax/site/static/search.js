'use strict';

// Finds features of several sets by label, by the tokens that they fire on or
// raise, or by number. `pack` has columns `set` and `feature` of n entries;
// columns of the sets have to be loaded.
monosem.search = (pack) => {
  const { data } = monosem;
  const { set, feature } = pack;
  let words = null; // of the vocabulary, in small letters

  // The entry that is a feature; -1 for none.
  function index(key, number) {
    for (let i = 0; i < feature.length; i++) {
      if (feature[i] === number && data.sets[set[i]].key === key) return i;
    }
    return -1;
  }

  // Which tokens contain a text, of each 0 or 1.
  function tokens(text) {
    words ??= data.tokens.map((token) => token.toLowerCase());
    return Uint8Array.from(words, (word) => Number(word.includes(text)));
  }

  // The numbers of the features whose labels contain a text, by set.
  function labelled(text) {
    return new Map(
      [...new Set(set)].map((n) => [
        n,
        new Set(
          [...monosem.labels.all(data.sets[n].key)]
            .filter(([, label]) => label.toLowerCase().includes(text))
            .map(([number]) => Number(number)),
        ),
      ]),
    );
  }

  // Entries that a text finds, rising; null if it is empty. '123' and 'A/1/123'
  // are numbers, too.
  function find(said) {
    const text = said.toLowerCase();
    if (!text.trim()) return null;
    const hit = tokens(text);
    const named = labelled(text);
    const [, run, digits] = text.match(/^(?:(.+)\/)?(\d{1,9})$/) ?? [];
    const number = digits === undefined ? -1 : Number(digits);
    const found = [];
    for (let i = 0; i < feature.length; i++) {
      const one = data.sets[set[i]];
      const { fires, raises } = one.columns;
      const own = feature[i];
      const is =
        (own === number && (!run || one.run.toLowerCase() === run)) ||
        named.get(set[i]).has(own) ||
        data.row(fires, own).some((id) => hit[id]) ||
        data.row(raises, own).some((id) => hit[id]);
      if (is) found.push(i);
    }
    return Uint32Array.from(found);
  }

  return { find, index };
};
