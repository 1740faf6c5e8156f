'use strict';

// The labels of features, by people and models. The page was exported with the
// entries of labels.json. This browser stores entries of its own, which
// override them and outlive a new export. The document sends `labels` events on
// changes.
monosem.labels = (() => {
  const { compare, identity, parts, rank, says, tidy, wrong } =
    monosem.labelfile;
  const NAME = 'monosem.annotator';
  // This browser's entries by identity; null for deleted ones of the page's.
  let kept = null;
  let byFeature = new Map();
  let trouble = '';
  const memory = new Map();

  // A browser may refuse to store anything, or its storage may be full.
  function recall(name) {
    if (memory.has(name)) return memory.get(name);
    try {
      return localStorage.getItem(name);
    } catch {
      trouble = 'This browser stores nothing for this page';
      return null;
    }
  }

  function keep(name, text) {
    try {
      localStorage.setItem(name, text);
      memory.delete(name);
      trouble = '';
    } catch (error) {
      memory.set(name, text);
      trouble =
        error.name === 'QuotaExceededError'
          ? 'This browser’s storage is full'
          : 'This browser stores nothing for this page';
    }
  }

  // The name under which this run's data are stored, the same for all exports.
  function place(what) {
    const { main, provenance } = monosem.data.run;
    return `monosem.${what}.${provenance?.store?.sha256 ?? ''}.${main}`;
  }

  function parsed(text, otherwise) {
    try {
      return JSON.parse(text) ?? otherwise;
    } catch {
      return otherwise;
    }
  }

  function index() {
    byFeature = new Map();
    for (const [id, entry] of kept) {
      const name = JSON.parse(id)[0];
      if (!byFeature.has(name)) byFeature.set(name, []);
      if (entry) byFeature.get(name).push(entry);
    }
  }

  function load() {
    kept = new Map();
    const found = parsed(recall(place('labels')), {});
    const list = (value) => (Array.isArray(value) ? value : []);
    for (const entry of list(found.labels)) {
      if (!wrong(entry)) kept.set(identity(entry), tidy(entry));
    }
    for (const id of list(found.removed).filter(Array.isArray)) {
      kept.set(JSON.stringify(id), null);
    }
    index();
  }

  function changed() {
    const entries = [...kept];
    const labels = entries.map(([, entry]) => entry).filter(Boolean);
    const removed = entries
      .filter(([, entry]) => !entry)
      .map(([id]) => JSON.parse(id));
    keep(place('labels'), JSON.stringify({ labels, removed }));
    index();
    document.dispatchEvent(new Event('labels'));
  }

  const exported = (set, number) => set.columns?.meta?.labels?.[number] ?? [];

  // All entries of a feature, sorted. Those of the page are there only after
  // its set's columns were loaded.
  function get(key, number) {
    if (!kept) load();
    const set = monosem.data.set(key);
    const own = byFeature.get(`${set.run}/${number}`);
    const there = exported(set, number);
    if (!own) return there;
    const others = there.filter((entry) => !kept.has(identity(entry)));
    return [...others, ...own].sort(compare);
  }

  const annotator = () => recall(NAME) ?? 'anonymous';

  // The label that lists show: the annotator's own first, then other people's,
  // then models'; one of the whole feature before one of an interval.
  function text(key, number) {
    const name = annotator();
    const order = ({ kind, by, interval }) =>
      100 * (kind === 'model' ? 2 : by === name ? 0 : 1) + rank(interval);
    let best = null;
    for (const entry of get(key, number)) {
      if (!says(entry.label)) continue;
      if (!best || order(entry) < order(best)) best = entry;
    }
    return best?.label ?? '';
  }

  // [number, text] of every labelled feature of a set.
  function* all(key) {
    if (!kept) load();
    const set = monosem.data.set(key);
    const there = Object.keys(set.columns?.meta?.labels ?? {}).map(Number);
    const own = [...byFeature.keys()].map(parts);
    const numbers = new Set([
      ...there,
      ...own.filter(([run]) => run === set.run).map(([, number]) => number),
    ]);
    for (const number of numbers) {
      const label = text(key, number);
      if (label) yield [number, label];
    }
  }

  // The best score of a model's explanation of a feature; null if there is
  // none.
  function score(key, number) {
    let best = null;
    for (const { score: own } of get(key, number)) {
      if (own !== null && (best === null || own > best)) best = own;
    }
    return best;
  }

  function set(...entries) {
    if (!kept) load();
    for (const entry of entries) {
      const why = wrong(entry);
      if (why) throw new Error(why);
      kept.set(identity(entry), tidy(entry));
    }
    changed();
  }

  function remove(entry) {
    if (!kept) load();
    const id = identity(entry);
    const [run, number] = parts(entry.feature);
    const own = monosem.data.sets.find((other) => other.run === run);
    const there = own ? exported(own, number) : [];
    if (there.some((other) => identity(other) === id)) kept.set(id, null);
    else kept.delete(id);
    changed();
  }

  // Every entry of the page and of this browser, a promise.
  async function every() {
    if (!kept) load();
    const { sets, columns } = monosem.data;
    await Promise.all(sets.map((own) => columns(own.key)));
    const found = new Map();
    for (const own of sets) {
      const there = Object.values(own.columns.meta?.labels ?? {}).flat();
      for (const entry of there) found.set(identity(entry), entry);
    }
    for (const [id, entry] of kept) {
      if (entry) found.set(id, entry);
      else found.delete(id);
    }
    return [...found.values()].sort(compare);
  }

  // Another window has changed what this browser stores.
  window.addEventListener('storage', (event) => {
    if (!kept || event.key !== place('labels')) return;
    load();
    document.dispatchEvent(new Event('labels'));
  });

  return {
    ...{ all, annotator, every, get, place, recall, remove, score, set, text },
    keep,
    rename: (name) => keep(NAME, name),
    trouble: () =>
      trouble && `${trouble}: save labels.json before you leave the page.`,
  };
})();
