'use strict';

// Shows the features of each token of any text, computed by the server.
monosem.views.probe = (() => {
  const { button, element, field, select } = monosem.dom;
  const { fixed } = monosem.format;

  const runs = () =>
    monosem.live.runs.filter(({ key }) => monosem.data.set(key));

  async function show(parts, query, place) {
    const known = runs().map(({ key, run }) => [key, run]);
    let key = runs().some((run) => run.key === query.get('key'))
      ? query.get('key')
      : known[0][0];
    const feature = query.has('feature') ? Number(query.get('feature')) : null;
    const input = element('textarea', 'prompt', query.get('text') ?? '');
    input.rows = 4;
    input.maxLength = monosem.live.limits.text_chars;
    input.setAttribute('aria-label', 'Text to probe');
    input.placeholder = 'Any text';
    const result = element('div', 'result');
    const status = element('span', 'note');
    status.setAttribute('role', 'status');

    const address = (more) => ({
      key,
      text: input.value,
      ...(feature === null ? {} : { feature }),
      ...more,
    });

    async function run() {
      status.textContent = 'running …';
      result.replaceChildren();
      const start = performance.now();
      try {
        const [found] = await Promise.all([
          monosem.server.probe({ key, text: input.value }),
          monosem.data.columns(key),
        ]);
        const { line, detail, choose } = monosem.tokenwise.make({
          key,
          ids: found.tokens,
          loss: found.loss.map((x) => x ?? NaN),
          total: (t) => found.firing[t],
          features: (t) =>
            found.active[t].map(([own, activation, attribution, rise]) => ({
              ...{ feature: own, activation, attribution, rise },
            })),
          feature,
          chosen: (t) => monosem.router.keep(address({ token: t })),
        });
        result.replaceChildren(element('div', 'text', [line]), detail);
        const seconds = (performance.now() - start) / 1000;
        status.textContent =
          `${found.tokens.length} tokens in ${fixed(seconds)} s; shaded by ` +
          (feature === null ? 'how many features fire' : `feature ${feature}`);
        monosem.router.keep(address({}));
        const token = Number(query.get('token') ?? NaN);
        if (line.children[token]) choose(token);
      } catch (error) {
        status.textContent = error.message;
      }
    }

    input.addEventListener('keydown', (event) => {
      if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) run();
    });
    place.replaceChildren(
      element('h2', '', 'Probe'),
      input,
      element('div', 'strip', [
        field(
          'dictionary ',
          select(known, key, (other) => {
            key = other;
            if (input.value) run();
          }),
        ),
        button('Run', run, 'Ctrl+Enter'),
        status,
      ]),
      result,
    );
    input.focus();
    if (input.value) run();
  }

  return {
    title: 'Probe',
    order: 90,
    there: () => Boolean(monosem.live),
    show,
  };
})();
