'use strict';

// What is shown is what the address says: #A1/123 is feature 123 of A1.
(() => {
  const { dictionaries } = monosem.data;
  const keys = Object.keys(dictionaries);
  let key = keys[0];

  const go = (to, number) => {
    location.hash = `#${to}/${number}`;
  };

  // Where a visit begins: the feature that fires most strongly, for many of
  // the others may hardly fire at all.
  function strongest(of) {
    const { max } = dictionaries[of];
    return max.reduce((best, x, i) => (x > max[best] ? i : best), 0);
  }

  function route() {
    const { hash } = location;
    if (hash.length < 2) {
      location.replace(`#${key}/${strongest(key)}`);
      return;
    }
    const [, asked, digits] = hash.match(/^#(\w+)\/(\d+)$/) ?? [];
    if (keys.includes(asked)) key = asked;
    const number = Number(digits);
    monosem.scoreboard.show(key);
    monosem.list.show(key, number);
    if (key !== asked || number >= dictionaries[key].fired.length) {
      monosem.feature.say(`There is no feature at ${hash}.`);
      return;
    }
    document.title = `${dictionaries[key].meta.run}/${number}`;
    monosem.feature.show(key, number, () => location.hash === hash);
  }

  monosem.scoreboard.start((chosen) => go(chosen, strongest(chosen)));
  monosem.list.start((number) => go(key, number));
  window.addEventListener('hashchange', route);
  route();
})();
