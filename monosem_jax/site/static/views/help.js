'use strict';

// Keys, and the meaning of terms.
monosem.views.help = (() => {
  const { element, entry } = monosem.dom;

  const KEYS = [
    ['↑ ↓ Home End', 'move in the list; Enter opens'],
    ['[ ] or k j', 'the previous feature, the next one'],
    ['/', 'search the list'],
    ['← →', 'from token to token, in a line with the focus'],
    ['Esc', 'closes the tooltip of a token'],
    ['?', 'this page'],
    ['← ↑ → ↓ + − 0', 'on a map: move, zoom in, zoom out, show all'],
    ['0 to 5, n', 'in a rubric: points, not applicable'],
    ['Ctrl+Enter', 'saves a label; runs a probe; generates text'],
  ];
  const TERMS = [
    ['activation', 'how strongly a feature fires on a token; no unit'],
    ['density', 'share of the tokens read on which a feature fires'],
    ['dead', 'never fired on the tokens read'],
    [
      'rare',
      'fired on fewer than 10 of the tokens read, too few to tell what it ' +
        'means; if 10 million were read, these are the paper’s ultralow ' +
        'density features, below 1e-6',
    ],
    [
      'low mode',
      'in the lower of two modes of features: it fires rarely and weakly, ' +
        'and its encoder is not aligned with its decoder',
    ],
    ['live', 'all other features; only live ones are compared and mapped'],
    [
      'logit weight',
      'what one unit of activation adds to a token’s logit by the direct ' +
        'path, shifted so that the median over the vocabulary is 0',
    ],
    [
      'loss without the feature',
      'the rise of a token’s loss, in nats, when the feature is ablated at ' +
        'all positions; the feature acts at the tokens before',
    ],
    [
      'loss without the residual',
      'the same when the dictionary’s reconstruction error is removed',
    ],
    ['attribution', 'activation times the logit weight of the next token'],
    [
      'masked cosine',
      'cosine similarity of two features’ activations over the tokens ' +
        'on which one of them fires',
    ],
    [
      'intervals',
      '11 levels from the sample’s maximum down to 0, 5 examples each',
    ],
  ];

  function show(parts, query, place) {
    const list = (pairs) =>
      element(
        'dl',
        'terms',
        pairs.map(([term, text]) => entry(term, text)),
      );
    place.replaceChildren(
      element('h2', '', 'Help'),
      element('h3', '', 'Keys'),
      list(KEYS),
      element('h3', '', 'Terms'),
      list(TERMS),
    );
  }

  return { title: 'Help', order: 110, there: () => true, show };
})();
