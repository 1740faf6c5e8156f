'use strict';

// Keys, and what words mean here.
monosem.views.help = (() => {
  const { element, entry } = monosem.dom;

  const KEYS = [
    ['↑ ↓ Home End', 'move in the list; Enter opens'],
    ['[ ] or k j', 'the feature before, the next one'],
    ['/', 'search the list'],
    ['← →', 'from token to token, in a line that has the focus'],
    ['Esc', 'closes what a token says'],
    ['?', 'this page'],
    ['← ↑ → ↓ + − 0', 'on a map: move, closer, farther, all of it'],
    ['0 to 5, n', 'in a rubric: the points, not applicable'],
    ['Ctrl+Enter', 'saves a label and goes on; looks; speaks'],
  ];
  const TERMS = [
    ['activation', 'how strongly a feature fires on a token; no unit'],
    ['density', 'share of the tokens read on which a feature fires'],
    ['dead', 'never fired on the tokens read'],
    [
      'rare',
      'fired on fewer than 10 of the tokens read, which says nothing of what ' +
        'it means; where 10 million were read, the paper’s ultralow density, ' +
        'below 1e-6',
    ],
    [
      'low mode',
      'of the lower of two modes of features, which fire rarely and weakly ' +
        'and have an encoder that does not look where the decoder points',
    ],
    [
      'live',
      'all others: these are compared, counted and laid out',
    ],
    [
      'logit weight',
      'what a unit of the feature adds to a token’s logit by the direct ' +
        'path, the median over the vocabulary at 0',
    ],
    [
      'loss without the feature',
      'by how many nats the loss of a token rises when the feature is taken ' +
        'away at all positions; an effect is made at the token before',
    ],
    [
      'loss without the residual',
      'the same when all that the dictionary leaves unexplained is taken away',
    ],
    [
      'attribution',
      'activation times the logit weight of the token that comes next',
    ],
    ['masked cosine', 'of two features’ activations where one of them fires'],
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
