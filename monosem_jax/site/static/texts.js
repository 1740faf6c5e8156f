'use strict';

// Example texts with every feature that fires on each token: a token's features
// ranked by activation, and by attribution to the token that comes next.
monosem.views.texts = (() => {
  const { button, element, link, panel, select } = monosem.dom;
  const { count, digits, fixed, signed } = monosem.format;
  const { go, href } = monosem.router;
  const { chip, visible } = monosem.tokens;

  async function load(key) {
    const [texts, own] = await Promise.all([
      monosem.data.load('texts'),
      monosem.data.load(`${key}/texts`),
      monosem.data.columns(key),
    ]);
    return { texts, own };
  }

  // The features of token t of text x: feature, activation, attribution.
  function features({ texts, own }, x, t) {
    const at = x * texts.tokens.width + t;
    const found = [];
    for (let n = own.of[at]; n < own.of[at + 1]; n++) {
      found.push({
        feature: own.feature[n],
        activation: monosem.data.half(own.activation[n]),
        attribution: monosem.data.half(own.attribution[n]),
      });
    }
    return found;
  }

  function ranking(title, note, key, found, value, form) {
    const { run } = monosem.data.set(key);
    const rows = [...found].sort((a, b) => value(b) - value(a)).map((one) =>
      element('li', '', [
        link(href(key, one.feature), `${run}/${one.feature}`),
        element('span', 'number', form(value(one))),
        monosem.feature.gist(key, one.feature),
      ]),
    );
    return panel(title, note, [element('ol', 'relatives', rows)]);
  }

  async function show([asked, number = '0'], query, place) {
    const keys = monosem.data.sets
      .map(({ key }) => key)
      .filter((key) => monosem.data.run.views.includes(`${key}/texts`));
    const key = keys.includes(asked) ? asked : keys[0];
    const packs = await load(key);
    const { texts, own } = packs;
    const x = Number(number);
    const T = texts.tokens.width;
    if (!texts.meta[x]) throw new Error(`There is no text ${number}.`);
    const ids = monosem.data.row(texts.tokens, x);
    const losses = monosem.data.halves(monosem.data.row(texts.loss, x));
    const { max } = await monosem.data.columns(key);
    const chosen = query.get('feature');
    const feature = chosen === null ? null : Number(chosen);
    // Shaded by one feature, or by how many are active.
    const most = Math.max(...own.active);
    const share = (t) => {
      if (feature === null) return own.active[x * T + t] / most;
      const one = features(packs, x, t).find((f) => f.feature === feature);
      return one ? one.activation / (max[feature] || 1) : 0;
    };
    const detail = element('div', 'panels', [
      element('p', 'silent', 'Choose a token to see what fires on it.'),
    ]);
    const line = monosem.tokens.line(ids, 0, (t) => ({
      share: share(t),
      rows: [
        ['active features', count(own.active[x * T + t])],
        ['loss of this token', `${fixed(losses[t])} nats`],
        ['position', String(t)],
      ],
    }));

    function choose(t) {
      const found = features(packs, x, t);
      for (const node of line.querySelectorAll('.own')) {
        node.classList.remove('own');
      }
      line.children[t].classList.add('own');
      const next = t + 1 < T ? chip(ids[t + 1]) : '–';
      const more = own.active[x * T + t] - found.length;
      const note = more ? `the strongest; ${count(more)} more are active` : '';
      detail.replaceChildren(
        element('p', 'said', [
          chip(ids[t]),
          ` at position ${t}: ${count(own.active[x * T + t])} features; next: `,
          next,
        ]),
        ranking('By activation', note, key, found, (f) => f.activation, digits),
        ranking(
          'By attribution to the next token',
          'activation times logit weight of the next token',
          key,
          found,
          (f) => f.attribution,
          signed,
        ),
      );
      const address = { token: t };
      if (feature !== null) address.feature = feature;
      monosem.router.keep(address);
    }

    Array.from(line.children).forEach((node, t) => {
      node.addEventListener('click', () => choose(t));
      node.addEventListener('keydown', (event) => {
        if (event.key === 'Enter') choose(t);
      });
    });
    const titles = texts.meta.map(({ title }, i) => [
      String(i),
      `${i}: ${visible(title, 60)}`,
    ]);
    const controls = element('div', 'strip', [
      select(
        keys.map((other) => [other, monosem.data.set(other).run]),
        key,
        (other) => go('texts', other, x),
      ),
      select(titles, String(x), (other) => go('texts', key, other)),
      button('‹', () => go('texts', key, Math.max(x - 1, 0)), 'text before'),
      button(
        '›',
        () => go('texts', key, Math.min(x + 1, titles.length - 1)),
        'next text',
      ),
      element(
        'span',
        'note',
        feature === null
          ? 'shaded by how many features are active'
          : `shaded by feature ${feature}`,
      ),
    ]);
    controls.children[0].setAttribute('aria-label', 'Dictionary');
    controls.children[1].setAttribute('aria-label', 'Text');
    place.replaceChildren(
      controls,
      element('div', 'text', [line]),
      detail,
    );
    const token = query.get('token');
    if (token !== null && line.children[Number(token)]) choose(Number(token));
  }

  return {
    title: 'Texts',
    there: () => monosem.data.run.views.includes('texts'),
    show,
  };
})();
