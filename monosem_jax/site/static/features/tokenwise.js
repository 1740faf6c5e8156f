'use strict';

// A text, token by token. Choosing a token ranks the features that fire on it:
// by activation, by attribution to the next token, and by the rise of the next
// token's loss without them.
monosem.tokenwise = (() => {
  const { panel } = monosem;
  const { element, link } = monosem.dom;
  const { count, digits, fixed, signed } = monosem.format;
  const { href } = monosem.router;
  const { chip } = monosem.tokens;

  const RANKINGS = [
    ['By activation', 'no unit', 'activation', digits],
    [
      'By attribution to the next token',
      'activation times logit weight of the next token',
      'attribution',
      signed,
    ],
    [
      'By ablation',
      'rise of the next token’s loss without the feature, nats',
      'rise',
      signed,
    ],
  ];

  function ranking([title, note, name, form], key, found) {
    const known = found.filter((one) => Number.isFinite(one[name]));
    if (!known.length) return [];
    const { run } = monosem.data.set(key);
    const rows = known
      .sort((a, b) => b[name] - a[name])
      .map((one) =>
        element('li', '', [
          link(href(key, one.feature), `${run}/${one.feature}`),
          element('span', 'number', form(one[name])),
          monosem.card.gist(key, one.feature),
        ]),
      );
    return [panel(title, note, [element('ol', 'relatives', rows)])];
  }

  // Makes the line of tokens, and the element in which features are ranked:
  //   key          the set, whose columns must be loaded
  //   ids          the tokens
  //   loss[t]      the loss of token t, in nats
  //   total(t)     how many features fire on token t
  //   features(t)  the strongest of them
  //   feature      the feature to shade by; null shades by how many fire
  //   chosen(t)    is called when a token is chosen
  function make({ key, ids, loss, total, features, feature, chosen }) {
    const { max } = monosem.data.set(key).columns;
    const most = Math.max(...Array.from(ids, (_, t) => total(t)), 1);
    const share = (t) => {
      if (feature === null) return total(t) / most;
      const own = features(t).find((one) => one.feature === feature);
      return own ? own.activation / (max[feature] || 1) : 0;
    };
    const detail = element('div', 'detail', [
      element('p', 'silent', 'Choose a token to see what fires on it.'),
    ]);
    const line = monosem.tokens.line(ids, 0, (t) => ({
      share: share(t),
      rows: [
        ['features that fire', count(total(t))],
        ['loss of this token', `${fixed(loss[t])} nats`],
        ['position', String(t)],
      ],
    }));

    function choose(t) {
      const found = features(t);
      for (const node of line.querySelectorAll('.own')) {
        node.classList.remove('own');
      }
      line.children[t].classList.add('own');
      const more = total(t) - found.length;
      detail.replaceChildren(
        element('p', 'said', [
          chip(ids[t]),
          ` at position ${t}: ${count(total(t))} features fire` +
            (more > 0 ? `, ${count(found.length)} are shown` : '') +
            '; next: ',
          t + 1 < ids.length ? chip(ids[t + 1]) : '–',
        ]),
        element(
          'div',
          'panels',
          RANKINGS.flatMap((own) => ranking(own, key, found)),
        ),
      );
      chosen(t);
    }

    Array.from(line.children).forEach((node, t) => {
      node.addEventListener('click', () => choose(t));
      node.addEventListener('keydown', (event) => {
        if (event.key === 'Enter') choose(t);
      });
    });
    return { line, detail, choose };
  }

  return { make };
})();
