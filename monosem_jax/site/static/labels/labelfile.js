'use strict';

// labels.json: what an entry may contain, the order of entries, and scores.
// labels.py has the same rules: both accept the same files.
monosem.labelfile = (() => {
  const FORMAT = 1;
  const LONGEST = { label: 2000, by: 200 };
  const INTERPRETABLE = 8;
  const WHOLE = 'Whole feature';
  // The most points of each question, as in the paper.
  const RUBRIC = {
    confidence: 3,
    consistency: 5,
    logits: 3,
    separation: 1,
    specificity: 3,
  };
  const KEYS = [
    ...['feature', 'interval', 'label', 'by', 'kind', 'blind', 'rubric'],
    'score',
  ];
  const FEATURE =
    /^([^/\x00-\x20]{1,100}\/(?:[0-9]{1,9}|[a-z]{1,30}))\/(0|[1-9][0-9]{0,8})$/;
  const INTERVAL =
    /^(?:Subsample Interval ([0-9]|10)|(Top) Activations|Bottom Activations)$/;

  const isText = (value, longest) =>
    typeof value === 'string' &&
    value.length <= 2 * longest &&
    [...value].length <= longest &&
    !/\p{Cs}/u.test(value);
  const says = (text) => /[^\s\x1c-\x1f\x85]/.test(text);
  const isObject = (value) =>
    value !== null && typeof value === 'object' && !Array.isArray(value);
  const short = (value) => {
    const text = JSON.stringify(value) ?? String(value);
    return monosem.tokens.visible(text, 60);
  };
  const must = (key, value, what) =>
    `${key} is ${short(value)}; it must be ${what}`;

  function parts(feature) {
    const [, run, number] = FEATURE.exec(feature);
    return [run, Number(number)];
  }

  // Sorts intervals: the whole feature, then the strongest, down to the
  // weakest.
  function rank(interval) {
    if (interval === null) return -2;
    const [, number, top] = INTERVAL.exec(interval);
    return top ? -1 : Number(number ?? 11);
  }

  // An annotator has one entry for a feature and interval.
  const identity = ({ feature, interval, by }) =>
    JSON.stringify([feature, interval, by]);

  const before = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
  function compare(a, b) {
    const [[aRun, aNumber], [bRun, bNumber]] = [a, b].map((x) =>
      parts(x.feature),
    );
    return (
      before(aRun, bRun) ||
      aNumber - bNumber ||
      rank(a.interval) - rank(b.interval) ||
      before(a.by, b.by)
    );
  }

  const total = (rubric) =>
    Object.keys(RUBRIC).reduce((sum, key) => sum + (rubric[key] ?? 0), 0);

  function wrongRubric(rubric) {
    const names = Object.keys(RUBRIC);
    if (
      !isObject(rubric) ||
      Object.keys(rubric).length !== names.length ||
      !names.every((name) => Object.hasOwn(rubric, name))
    ) {
      return `rubric must have ${names.join(', ')}, or be null`;
    }
    for (const [name, most] of Object.entries(RUBRIC)) {
      const points = rubric[name];
      if (name === 'separation' && points === null) continue;
      if (!Number.isInteger(points) || points < 0 || points > most) {
        return must(
          `rubric.${name}`,
          points,
          `a whole number from 0 to ${most}` +
            (name === 'separation' ? ' or null' : ''),
        );
      }
    }
    return rubric.logits === RUBRIC.logits && rubric.separation !== null
      ? 'rubric.separation must be null if rubric.logits has all ' +
          `${RUBRIC.logits} points`
      : '';
  }

  // What is wrong with an entry; '' if it is valid.
  function wrong(entry) {
    if (!isObject(entry)) return `is ${short(entry)}, not an object`;
    const unknown = Object.keys(entry).find(
      (key) => !KEYS.includes(key) && key !== 'seconds',
    );
    if (unknown !== undefined) return `unknown key ${short(unknown)}`;
    const missing = KEYS.find((key) => !Object.hasOwn(entry, key));
    if (missing) return `lacks the key ${missing}`;
    const { feature, interval, label, by, kind, blind, rubric, score } = entry;
    if (typeof feature !== 'string' || !FEATURE.test(feature)) {
      return must('feature', feature, 'named as A/1/3450');
    }
    const [run, number] = parts(feature);
    const set = monosem.data.sets.find((own) => own.run === run);
    if (set && number >= set.features) {
      return `${run} has only ${set.features.toLocaleString('en')} features`;
    }
    if (
      interval !== null &&
      !(typeof interval === 'string' && INTERVAL.test(interval))
    ) {
      const what = 'the name of a group on the page, or null';
      return must('interval', interval, what);
    }
    if (!isText(label, LONGEST.label)) {
      return must('label', label, 'text of at most 2,000 characters');
    }
    if (!isText(by, LONGEST.by) || !says(by)) {
      return must('by', by, `a name of 1 to ${LONGEST.by} characters`);
    }
    if (kind !== 'human' && kind !== 'model') {
      return must('kind', kind, '"human" or "model"');
    }
    if (typeof blind !== 'boolean') {
      return must('blind', blind, 'true or false');
    }
    if (score !== null && !Number.isFinite(score)) {
      return must('score', score, 'a number or null');
    }
    if (
      Object.hasOwn(entry, 'seconds') &&
      !(Number.isFinite(entry.seconds) && entry.seconds >= 0)
    ) {
      return must('seconds', entry.seconds, 'a number of at least 0');
    }
    if (rubric !== null) return wrongRubric(rubric);
    return says(label) || score !== null
      ? ''
      : 'has neither a label nor a rubric nor a score';
  }

  // The entry with its keys in order, and no others.
  function tidy(entry) {
    const found = Object.fromEntries(KEYS.map((key) => [key, entry[key]]));
    if (entry.rubric) {
      found.rubric = Object.fromEntries(
        Object.keys(RUBRIC).map((name) => [name, entry.rubric[name]]),
      );
    }
    if (Object.hasOwn(entry, 'seconds')) found.seconds = entry.seconds;
    return found;
  }

  // The valid entries of a file's text, and what is wrong with the others.
  // Throws an Error if it is not a file of labels.
  function read(text) {
    let value;
    try {
      value = JSON.parse(text);
    } catch {
      throw new Error('It is not valid JSON.');
    }
    if (!isObject(value) || !Array.isArray(value.labels)) {
      throw new Error('It must be {"format": 1, "labels": [...]}.');
    }
    if (value.format !== FORMAT) {
      const found = short(value.format);
      throw new Error(`Its format is ${found}; this page reads format 1.`);
    }
    const taken = new Map();
    const refused = [];
    value.labels.forEach((entry, i) => {
      let why = wrong(entry);
      if (!why && taken.has(identity(entry))) {
        why = 'an entry before it has the same feature, interval and annotator';
      }
      if (why) refused.push(`labels[${i}]: ${why}`);
      else taken.set(identity(entry), tidy(entry));
    });
    return { taken: [...taken.values()], refused };
  }

  const write = (entries) => {
    const labels = entries.map(tidy).sort(compare);
    return `${JSON.stringify({ format: FORMAT, labels }, null, 1)}\n`;
  };

  function median(values) {
    const sorted = [...values].sort((a, b) => a - b);
    const half = sorted.length / 2;
    if (!sorted.length) return null;
    return (sorted[Math.ceil(half) - 1] + sorted[Math.floor(half)]) / 2;
  }

  function distribution(entries) {
    const points = entries.map((entry) => total(entry.rubric));
    const intervals = new Map();
    entries.forEach(({ interval }, i) => {
      const name = interval ?? WHOLE;
      intervals.set(name, [...(intervals.get(name) ?? []), points[i]]);
    });
    return {
      features: new Set(entries.map((entry) => entry.feature)).size,
      points,
      median: median(points),
      above: points.filter((n) => n > INTERPRETABLE).length,
      intervals,
    };
  }

  // Scores given by people, of features and of neurons; blind ones or the
  // others.
  function scores(entries, blind) {
    const scored = entries
      .filter((x) => x.kind === 'human' && x.rubric && x.blind === blind)
      .sort((a, b) => rank(a.interval) - rank(b.interval));
    const neuron = (entry) => entry.feature.includes('/neurons/');
    return {
      features: distribution(scored.filter((entry) => !neuron(entry))),
      neurons: distribution(scored.filter(neuron)),
    };
  }

  return {
    ...{ LONGEST, RUBRIC, WHOLE, compare, identity, median, parts, rank },
    ...{ read, says, scores, tidy, total, write, wrong },
  };
})();
