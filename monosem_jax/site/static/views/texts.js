'use strict';

// Example texts of the run, with every feature that fires on each token.
monosem.views.texts = (() => {
  const { button, element, field, select } = monosem.dom;
  const { go } = monosem.router;
  const { row } = monosem.data;
  const { visible } = monosem.tokens;

  const keys = () =>
    monosem.data.sets
      .map(({ key }) => key)
      .filter((key) => monosem.data.run.views.includes(`${key}/texts`));

  async function show([asked, number = '0'], query, place) {
    const key = keys().includes(asked) ? asked : keys()[0];
    const [texts, own] = await Promise.all([
      monosem.data.load('texts'),
      monosem.data.load(`${key}/texts`),
      monosem.data.columns(key),
    ]);
    const x = Number(number);
    if (!texts.meta[x]) throw new Error(`There is no text ${number}.`);
    const T = texts.tokens.width;
    const feature = query.has('feature') ? Number(query.get('feature')) : null;
    const { line, detail, choose } = monosem.tokenwise.make({
      key,
      ids: row(texts.tokens, x),
      loss: row(own.loss, x),
      total: (t) => own.active[x * T + t],
      features: (t) => {
        const found = [];
        for (let n = own.of[x * T + t]; n < own.of[x * T + t + 1]; n++) {
          found.push({
            feature: own.feature[n],
            activation: own.activation[n],
            attribution: own.attribution[n],
          });
        }
        return found;
      },
      feature,
      chosen: (t) =>
        monosem.router.keep({ ...Object.fromEntries(query), token: t }),
    });
    const titles = texts.meta.map(({ subset }, i) => [
      String(i),
      `${i}: ${visible(subset, 60)}`,
    ]);
    const sets = keys().map((other) => [other, monosem.data.set(other).run]);
    place.replaceChildren(
      element('div', 'strip', [
        field(
          'dictionary ',
          select(sets, key, (other) => go('texts', other, x)),
        ),
        field(
          'text ',
          select(titles, String(x), (other) => go('texts', key, other)),
        ),
        button(
          '‹',
          () => go('texts', key, Math.max(x - 1, 0)),
          'previous text',
        ),
        button(
          '›',
          () => go('texts', key, Math.min(x + 1, titles.length - 1)),
          'next text',
        ),
        element(
          'span',
          'note',
          feature === null
            ? 'shaded by how many features fire'
            : `shaded by feature ${feature}`,
        ),
      ]),
      element('div', 'text', [line]),
      detail,
    );
    const token = Number(query.get('token') ?? NaN);
    if (line.children[token]) choose(token);
  }

  return {
    title: 'Texts',
    order: 20,
    there: () => monosem.data.run.views.includes('texts') && keys().length > 0,
    show,
  };
})();
