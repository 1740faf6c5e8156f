'use strict';

// The neurons and features most like a feature, in this and other dictionaries,
// and those that fire before and after it.
monosem.relatives = (() => {
  const { panel } = monosem;
  const { button, element, link } = monosem.dom;
  const { fixed, percent } = monosem.format;
  const { href } = monosem.router;

  function neurons(set, record) {
    const key = `${set.meta.model}_neurons`;
    const name = (i) =>
      monosem.data.set(key)
        ? link(href(key, i), `${set.meta.model}/neurons/${i}`)
        : `neuron ${i}`;
    const found = [];
    if (record.aligned.length) {
      found.push(
        panel('Neuron alignment', 'largest coefficients of the decoder row', [
          monosem.dom.table(
            ['neuron', 'value', 'share of L1'],
            record.aligned.map(({ neuron, weight, share }) => [
              [name(neuron)],
              fixed(weight),
              percent(share),
            ]),
          ),
        ]),
      );
    }
    if (record.neurons.length) {
      found.push(
        panel('Correlated neurons', 'by activations, over tokens', [
          monosem.dom.table(
            ['neuron', 'Pearson r', 'cosine'],
            record.neurons.map(({ neuron, r, cosine }) => [
              [name(neuron)],
              fixed(r),
              fixed(cosine),
            ]),
          ),
        ]),
      );
    }
    return found;
  }

  const RELATIVES = [
    ['near', 'Nearest features', 'by the cosine of decoder rows'],
    ['twin', 'In the other model', 'by Pearson’s r of activations'],
    ['parent', 'Splits from', 'masked cosine similarity'],
    ['child', 'Splits into', 'masked cosine similarity'],
    ['next', 'Leads to', 'rise of their probability of firing next'],
    ['previous', 'Follows', 'rise of its probability of firing next'],
  ];
  const SHOWN = 5;

  function linked(record) {
    return RELATIVES.flatMap(([kind, title, note]) => {
      const found = record.links[kind];
      if (!found.length) return [];
      const list = element('ol', 'relatives');
      const rows = found.map(({ key, feature, value }) => {
        const what = element('span', 'gist');
        monosem.card
          .load(key)
          .then(() => what.replaceChildren(monosem.card.gist(key, feature)))
          .catch((error) => {
            what.textContent = error.message;
          });
        return element('li', '', [
          link(href(key, feature), monosem.card.name(key, feature)),
          element('span', 'number', fixed(value)),
          what,
        ]);
      });
      list.append(...rows.slice(0, SHOWN));
      const more = rows.slice(SHOWN);
      const rest = button(`${more.length} more`, () => {
        list.append(...more);
        rest.remove();
      });
      return [panel(title, note, [list, ...(more.length ? [rest] : [])])];
    });
  }

  return { linked, neurons };
})();
