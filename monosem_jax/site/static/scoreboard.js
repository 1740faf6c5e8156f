'use strict';

// The header: which run this is, and what its dictionary preserves.
monosem.scoreboard = (() => {
  const { byId, element, entry } = monosem.dom;
  const { count, digits, fixed, percent } = monosem.format;

  const ROWS = [
    ['L0', 'l0', fixed],
    ['loss recovered', 'loss_recovered', percent],
    ['explained variance', 'explained_variance', percent],
    ['live', 'live', count],
    ['dead', 'dead', count],
    ['ultralow', 'ultralow', count],
    ['L1 coefficient', 'l1', digits],
  ];

  function show(key) {
    const { meta, numbers } = monosem.data.dictionaries[key];
    byId('run').textContent = meta.run;
    byId('dictionary').value = key;
    byId('scoreboard').replaceChildren(
      entry('transformer', meta.model),
      entry('features', count(meta.features)),
      entry(`tokens of ${meta.split}`, count(meta.tokens)),
      ...ROWS.map(([label, name, form]) => entry(label, form(numbers?.[name]))),
    );
  }

  // Fills the selector; `open` is called with the key that is chosen.
  function start(open) {
    const select = byId('dictionary');
    const runs = Object.entries(monosem.data.dictionaries);
    for (const [key, { meta }] of runs) select.add(new Option(meta.run, key));
    select.hidden = runs.length < 2;
    select.addEventListener('change', () => open(select.value));
  }

  return { show, start };
})();
