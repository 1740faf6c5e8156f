'use strict';

// Sets up blind labelling, as the paper's annotator worked: without knowing
// whether an item is of a feature or of a neuron. Live features and neurons are
// drawn, the same number of each set, and shuffled. Some intervals of each come
// one after the other, the strongest first. The address has only a seed and an
// item's number. This browser stores what they refer to, where a determined
// person can find it.
monosem.blind = (() => {
  const { panel } = monosem;
  const { button, element, field, link } = monosem.dom;
  const { count } = monosem.format;
  const { href, go } = monosem.router;
  const { rank } = monosem.labelfile;
  const { live: LIVE } = monosem.data.STATE;
  // The group of examples without activation: there is nothing to score.
  const SILENT = 'Bottom Activations';
  // The paper's annotator scored 412 intervals of 162 features and neurons.
  const DEFAULT = { each: 20, intervals: 3 };
  const MOST = { each: 1000, intervals: 12, seed: 999_999 };
  const NUMBERS = {
    each: 'of each set',
    intervals: 'intervals of each',
    seed: 'seed',
  };

  // Returns a function that draws an integer below n: a xorshift generator.
  function random(seed, salt) {
    let state = 0x9e3779b9 ^ seed;
    for (const character of salt) {
      state = Math.imul(state ^ character.codePointAt(0), 0x01000193);
    }
    state ||= 1;
    const next = () => {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      return (state >>> 0) / 2 ** 32;
    };
    for (let i = 0; i < 16; i++) next();
    return (n) => Math.floor(next() * n);
  }

  // Draws `wanted` entries of a list, in random order.
  function drawn(list, wanted, below) {
    const kept = Array.from(list);
    const many = Math.min(wanted, kept.length);
    for (let i = 0; i < many; i++) {
      const j = i + below(kept.length - i);
      [kept[i], kept[j]] = [kept[j], kept[i]];
    }
    return kept.slice(0, many);
  }

  function sessions() {
    const text = monosem.labels.recall(monosem.labels.place('blind'));
    try {
      return JSON.parse(text) ?? {};
    } catch {
      return {};
    }
  }

  const store = (found) =>
    monosem.labels.keep(monosem.labels.place('blind'), JSON.stringify(found));

  function entryOf(session, [key, number, interval]) {
    return monosem.labels
      .get(key, number)
      .find((entry) => entry.by === session.by && entry.interval === interval);
  }

  const done = (session, item) => entryOf(session, item)?.blind === true;

  // The items of a session, without the features and neurons that the annotator
  // has labelled already.
  async function items({ seed, by, keys, each, intervals }, say) {
    const subjects = [];
    for (const key of keys) {
      const { state } = await monosem.data.columns(key);
      const live = [];
      for (const i of monosem.data.numbers(monosem.data.set(key))) {
        const known =
          state[i] !== LIVE ||
          monosem.labels.get(key, i).some((entry) => entry.by === by);
        if (!known) live.push([key, i]);
      }
      subjects.push(...drawn(live, each, random(seed, key)));
    }
    const found = [];
    for (const [key, number] of subjects) {
      say(`Drawing, ${count(found.length + 1)} of ${count(subjects.length)}…`);
      const { groups } = monosem.data.set(key);
      const record = await monosem.record.feature(key, number);
      const there = new Set(record.examples.map((example) => example.group));
      const names = groups
        .filter(({ name }, g) => there.has(g) && name !== SILENT)
        .map(({ name }) => name);
      const own = drawn(names, intervals, random(seed, `${key}/${number}`));
      own.sort((a, b) => rank(a) - rank(b));
      found.push(own.map((name) => [key, number, name]));
    }
    return drawn(found, found.length, random(seed, '')).flat();
  }

  function whole(text, most) {
    const value = Number(text);
    const fits = Number.isInteger(value) && value >= 1 && value <= most;
    return fits ? value : null;
  }

  // The panel that starts and resumes sessions.
  function setup() {
    const { run } = monosem.data;
    const sets = monosem.data.shown();
    const { by } = monosem.labelform.controls();
    const note = monosem.labelform.said();
    const model = monosem.data.set(run.main)?.meta.model;
    const boxes = sets.map((set) => {
      const box = document.createElement('input');
      box.type = 'checkbox';
      box.value = set.key;
      box.checked = set.key === run.main || set.key === `${model}_neurons`;
      return box;
    });
    const number = (name, value) => {
      const input = document.createElement('input');
      input.type = 'number';
      input.min = 1;
      input.max = MOST[name];
      input.value = value;
      return input;
    };
    const each = number('each', DEFAULT.each);
    const intervals = number('intervals', DEFAULT.intervals);
    const seed = number('seed', 1 + Math.floor(Math.random() * 9999));
    const begun = element('ul', 'sessions');

    function draw() {
      const rows = Object.entries(sessions()).map(([own, session]) => {
        const scored = session.items.filter((item) => done(session, item));
        const about =
          `${count(scored.length)} of ${count(session.items.length)} by ` +
          `${monosem.tokens.visible(session.by, 200)} `;
        return element('li', '', [
          link(href('labelling', 'blind', own), `Seed ${own}`),
          ` ${about}`,
          button(
            'Forget',
            () => {
              const { [own]: gone, ...rest } = sessions();
              store(rest);
              draw();
            },
            'Deletes the session, and keeps its labels',
          ),
        ]);
      });
      begun.replaceChildren(...rows);
    }

    const start = button('Start', async () => {
      const wanted = {
        seed: whole(seed.value, MOST.seed),
        by: by.value,
        keys: boxes.filter((box) => box.checked).map((box) => box.value),
        each: whole(each.value, MOST.each),
        intervals: whole(intervals.value, MOST.intervals),
      };
      const say = (text) => {
        note.textContent = text;
      };
      if (!wanted.keys.length) return say('Choose what to draw from.');
      if (!monosem.labelfile.says(by.value)) return say('Enter your name.');
      for (const [name, label] of Object.entries(NUMBERS)) {
        if (!wanted[name]) {
          return say(`${label}: must be a whole number, 1 to ${MOST[name]}.`);
        }
      }
      if (Object.hasOwn(sessions(), wanted.seed)) {
        return say('A session with that seed exists: continue it below.');
      }
      start.disabled = true;
      try {
        const found = await items(wanted, say);
        if (!found.length) return say('Nothing is left to be labelled.');
        store({ ...sessions(), [wanted.seed]: { ...wanted, items: found } });
        if (start.isConnected) go('labelling', 'blind', String(wanted.seed));
      } catch (error) {
        say(error.message);
      } finally {
        start.disabled = false;
      }
      return undefined;
    });
    draw();
    return panel(
      'Label blind',
      'Draws live features and neurons at random, the same number of each ' +
        'set, without those that you have labelled. Some intervals of each ' +
        'are drawn, too, and come one after the other. With the same seed ' +
        'and settings, everybody gets the same items.',
      [
        element('div', 'setup nosave', [
          element('fieldset', '', [
            element('legend', '', 'Draw from'),
            ...boxes.map((box, i) => field(sets[i].run, box)),
          ]),
          field(NUMBERS.each, each),
          field(NUMBERS.intervals, intervals),
          field(NUMBERS.seed, seed),
          field('by', by),
          start,
        ]),
        note,
        begun,
      ],
      'wideblock',
    );
  }

  return { done, entryOf, sessions, setup };
})();
