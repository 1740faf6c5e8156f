'use strict';

// Text that the transformer generates with features pinned, beside text
// without, from the same random draws.
monosem.views.steer = (() => {
  const { button, element, field, link, select } = monosem.dom;
  const { fixed, signed } = monosem.format;
  const { href } = monosem.router;

  const PROMPT = '1,2,3,4,5,6,7,8,9,10';
  const MOST = 10; // the largest value of a slider, in maxima
  const NUMBERS = [
    ['tokens', 50, 1],
    ['temperature', 1, 0.1],
    ['top_k', 0, 1],
    ['seed', 0, 1],
  ];

  const runs = () =>
    monosem.live.runs.filter(({ key }) => monosem.data.set(key));

  // Parses the pins in an address: A/1/3=2, in maxima; spaces between several.
  function parse(text) {
    return text.split(' ').flatMap((part) => {
      const found = part.match(/^(.+)\/(\d+)=(-?[\d.]+)$/);
      return found
        ? [
            {
              run: found[1],
              feature: Number(found[2]),
              value: Number(found[3]),
            },
          ]
        : [];
    });
  }

  function number(name, value, step) {
    const input = element('input', '');
    Object.assign(input, { type: 'number', name, value, step, min: 0 });
    return input;
  }

  // The controls of one pin, which update `pin`.
  function controls(pin, { changed, removed }) {
    const run = select(
      runs().map((own) => [own.run, own.run]),
      pin.run,
      (value) => {
        pin.run = value;
        describe();
        changed();
      },
    );
    run.setAttribute('aria-label', 'Dictionary of the pin');
    const feature = number('feature', pin.feature, 1);
    feature.setAttribute('aria-label', 'Feature to be pinned');
    const slider = element('input', 'slider');
    Object.assign(slider, { type: 'range', min: -MOST, max: MOST, step: 0.1 });
    slider.value = pin.value;
    slider.setAttribute('aria-label', 'Value in multiples of its maximum');
    const exact = number('value', pin.value, 0.1);
    exact.removeAttribute('min');
    exact.setAttribute('aria-label', 'Value in multiples of its maximum');
    const what = element('span', 'gist');

    async function describe() {
      const own = runs().find((one) => one.run === pin.run);
      what.textContent = '';
      if (!own) return;
      const columns = await monosem.data.columns(own.key);
      if (!(pin.feature < own.features)) {
        what.textContent = `${own.run} has ${own.features} features`;
        return;
      }
      const max = columns.max[pin.feature];
      what.replaceChildren(
        link(href(own.key, pin.feature), `${own.run}/${pin.feature}`),
        ` at ${fixed(pin.value * max)}; its maximum is ${fixed(max)} `,
        monosem.card.gist(own.key, pin.feature),
      );
    }

    function hold(value) {
      pin.value = value;
      slider.value = exact.value = value;
      describe();
      changed();
    }
    feature.addEventListener('input', () => {
      pin.feature = Number(feature.value);
      describe();
      changed();
    });
    slider.addEventListener('input', () => hold(Number(slider.value)));
    exact.addEventListener('change', () => hold(Number(exact.value)));
    describe();
    return element('li', 'pin', [
      run,
      feature,
      slider,
      exact,
      element('span', 'note', 'maxima'),
      button('ablate', () => hold(0), 'pin it at 0'),
      button('×', removed, 'remove this pin'),
      what,
    ]);
  }

  // A text to which tokens are added, each shaded by how its log-probability
  // differs from that in the other run.
  function speech(title, prompt) {
    const line = element('span', 'line');
    const node = element('section', 'speech', [
      element('h3', '', title),
      element('p', 'text', [
        element('span', 'beyond', monosem.tokens.visible(prompt, 500)),
        line,
      ]),
    ]);
    const add = ({ id, logp }, other) => {
      const token = monosem.tokens.chip(id);
      const change = logp - other;
      token.tabIndex = line.children.length ? -1 : 0;
      monosem.tokens.shade(token, Math.abs(change) / 5);
      if (change) token.classList.add(change > 0 ? 'likelier' : 'unlikelier');
      monosem.tokens.about.set(token, {
        id,
        rows: [
          ['log-probability', `${fixed(logp)} nats`],
          ['in the other run', `${fixed(other)} nats`],
          ['change', `${signed(change)} nats`],
        ],
      });
      line.append(token);
    };
    return { node, add };
  }

  async function show(parts, query, place) {
    const pins = parse(query.get('pins') ?? '');
    const prompt = element('textarea', 'prompt', query.get('prompt') ?? PROMPT);
    prompt.rows = 2;
    prompt.maxLength = monosem.live.limits.text_chars;
    prompt.setAttribute('aria-label', 'Prompt');
    const numbers = NUMBERS.map(([name, value, step]) =>
      number(name, query.get(name) ?? value, step),
    );
    numbers[0].max = monosem.live.limits.tokens;
    const list = element('ol', 'pins');
    const result = element('div', 'sidebyside');
    const status = element('span', 'note');
    status.setAttribute('role', 'status');
    const command = element('code', 'command');
    const copy = button('Copy', async () => {
      await navigator.clipboard.writeText(command.textContent);
      status.textContent = 'copied';
    });
    let stop = null;

    const values = () =>
      Object.fromEntries(
        numbers.map((node) => [node.name, Number(node.value)]),
      );

    function changed() {
      monosem.router.keep({
        pins: pins.map((p) => `${p.run}/${p.feature}=${p.value}`).join(' '),
        prompt: prompt.value,
        ...values(),
      });
    }

    function draw() {
      list.replaceChildren(
        ...pins.map((pin) =>
          controls(pin, {
            changed,
            removed: () => {
              pins.splice(pins.indexOf(pin), 1);
              draw();
              changed();
            },
          }),
        ),
      );
      add.disabled = pins.length >= monosem.live.limits.pins;
    }

    const add = button('Add a pin', () => {
      pins.push({ run: runs()[0].run, feature: 0, value: 1 });
      draw();
      changed();
    });

    async function generate() {
      stop?.abort();
      const own = (stop = new AbortController());
      const said = {
        default: speech('Default', prompt.value),
        steered: speech('Steered', prompt.value),
      };
      result.replaceChildren(said.default.node, said.steered.node);
      status.textContent = 'generating …';
      command.textContent = '';
      copy.hidden = true;
      changed();
      const body = {
        ...values(),
        prompt: prompt.value,
        pins: pins.map(({ run, feature, value }) => ({
          ...{ feature: `${run}/${feature}`, value, unit: 'max' },
        })),
      };
      try {
        for await (const [name, event] of monosem.server.steer(
          body,
          own.signal,
        )) {
          if (name === 'token') {
            said.default.add(event.default, event.default.logp_pinned);
            said.steered.add(event.steered, event.steered.logp_unpinned);
          } else if (name === 'done') {
            status.textContent = `done in ${fixed(event.seconds)} s`;
            command.textContent = event.command ?? '';
            copy.hidden = !event.command;
          } else throw new Error(event.error);
        }
      } catch (error) {
        status.textContent = own.signal.aborted ? 'stopped' : error.message;
      }
      if (stop === own) stop = null;
    }

    copy.hidden = true;
    for (const node of [prompt, ...numbers]) {
      node.addEventListener('change', changed);
    }
    prompt.addEventListener('keydown', (event) => {
      if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) generate();
    });
    draw();
    place.replaceChildren(
      element('h2', '', 'Steer'),
      prompt,
      list,
      element('div', 'strip', [
        add,
        ...numbers.map((node) =>
          field(`${node.name.replace('_', ' ')} `, node),
        ),
        button('Generate', generate, 'Ctrl+Enter'),
        button('Stop', () => stop?.abort()),
        status,
      ]),
      element('p', 'note', [
        'Both use the same random numbers. Shading shows how much a token’s ' +
          'log-probability differs from that in the other run: blue if it is ' +
          'likelier here, red if it is less likely.',
      ]),
      result,
      element('p', '', [command, ' ', copy]),
    );
    prompt.focus();
    return () => stop?.abort();
  }

  return {
    title: 'Steer',
    order: 100,
    there: () => Boolean(monosem.live),
    show,
  };
})();
