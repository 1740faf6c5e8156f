'use strict';

// The view of a set's features: the list, and one feature beside it.
monosem.views.features = (() => {
  const { element, select } = monosem.dom;
  const { go } = monosem.router;
  let shown = null; // what is on the page now

  function query() {
    return new URLSearchParams(location.hash.split('?', 2)[1] ?? '');
  }

  // The address of a feature that keeps the list as it is.
  function address(key, number) {
    const text = query().toString();
    return `#${key}/${number}${text ? `?${text}` : ''}`;
  }

  async function open(number) {
    const { set, article, list } = shown;
    const own = { number };
    shown.own = own;
    list.select(number);
    document.title = `${set.run}/${number}`;
    const valid = Number.isInteger(number) && number >= 0;
    if (!valid || number >= set.features) {
      monosem.feature.say(
        article,
        `There is no feature at ${location.hash}: ${set.run} has ` +
          `${set.features.toLocaleString('en')}, numbered from 0.`,
      );
      return;
    }
    try {
      const record = await monosem.record.feature(set.key, number);
      if (shown?.own !== own) return;
      monosem.feature.draw(article, set, record, list);
      article.scrollTop = 0;
    } catch (error) {
      if (shown?.own === own) monosem.feature.say(article, error.message);
    }
  }

  const number = (text) => (/^\d+$/.test(text ?? '') ? Number(text) : NaN);

  async function show([key, digits], asked, place) {
    const set = monosem.data.set(key ?? monosem.data.run.main);
    await monosem.data.columns(set.key);
    const aside = element('aside', 'list');
    aside.setAttribute('aria-label', 'List of features');
    const article = element('article', 'feature');
    const choose = select(
      monosem.data.shown().map((other) => [other.key, other.run]),
      set.key,
      (other) => go(other),
    );
    choose.setAttribute('aria-label', 'Dictionary');
    const numbers = monosem.scorecard.strip(set);
    aside.append(element('div', 'pane'));
    place.classList.add('whole');
    place.replaceChildren(
      element('div', 'strip', [choose, numbers]),
      element('div', 'panes', [aside, article]),
    );
    const list = monosem.list.make(aside.firstChild, set, asked, {
      open: (i) => {
        location.hash = address(set.key, i);
      },
      changed: (wanted) => monosem.router.keep(wanted),
    });
    shown = { set, article, list };
    if (digits === undefined) {
      // A visit begins with the first feature of the list.
      const first = list.first() ?? 0;
      monosem.router.replace(address(set.key, first));
      open(first);
    } else open(number(digits));
    list.focus();
    const relabelled = () => list.redraw();
    document.addEventListener('labels', relabelled);
    return () => {
      document.removeEventListener('labels', relabelled);
      list.close();
      shown = null;
    };
  }

  // Another feature of the same set: the list stays as it is.
  function update([key, digits]) {
    if (shown?.set.key !== key || digits === undefined) return false;
    open(number(digits));
    return true;
  }

  // Keys that work unless a field has the focus.
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest('input, textarea, select')) return;
    if (event.key === '?') go('help');
    if (!shown) return;
    if (event.key === '/') shown.list.focusSearch();
    else if (event.key === ']' || event.key === 'j') shown.list.step(1);
    else if (event.key === '[' || event.key === 'k') shown.list.step(-1);
    else return;
    event.preventDefault();
  });

  return { title: 'Features', order: 10, there: () => true, show, update };
})();
