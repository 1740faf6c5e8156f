'use strict';

// Shows the view that the address names: #A1/123 is feature 123 of A1, and
// #NAME/... is the view NAME. A view registers itself as
// monosem.views.NAME = { title, order, there, show, update }:
//   title                      of its link
//   order                      links to views are sorted by it
//   there()                    whether the page has what the view shows
//   show(parts, query, place)  fills the element `place`. `parts` follow the
//                              name in the address, between slashes; `query`
//                              follows a question mark. It may be asynchronous,
//                              and may return a function to be called before
//                              another view is shown.
//   update(parts, query)       optional: shows another address of the view that
//                              is on the page; returns false if it cannot.
monosem.views = {};

monosem.router = (() => {
  const { byId, element } = monosem.dom;
  let leave = null;
  let current = null;
  let turn = 0;

  // The address of a feature or a view: href('A1', 3), href('map', 'small').
  const href = (...parts) => `#${parts.map(encodeURIComponent).join('/')}`;

  const go = (...parts) => {
    location.hash = href(...parts);
  };

  function parse(hash) {
    const [path, query = ''] = hash.slice(1).split('?', 2);
    let parts;
    try {
      parts = path.split('/').map(decodeURIComponent);
    } catch {
      parts = [path];
    }
    return { parts, query: new URLSearchParams(query) };
  }

  // Replaces the address without showing anything anew. It is given whole: in a
  // frame filled by `srcdoc`, a fragment alone would belong to the outer page.
  const replace = (hash) =>
    history.replaceState(null, '', location.href.split('#', 1)[0] + hash);

  // Follows a link in such a frame, for the same reason.
  function follow(event) {
    const hash = event.target.closest?.('a')?.getAttribute('href');
    if (!hash?.startsWith('#')) return;
    event.preventDefault();
    location.hash = hash;
  }

  // Replaces the query of the address without showing anything anew. So a view
  // that its reader changes keeps the address up to date.
  function keep(query) {
    const [path] = location.hash.split('?', 1);
    const text = new URLSearchParams(query).toString();
    replace(text ? `${path}?${text}` : path);
  }

  function mark(name) {
    for (const link of byId('views').querySelectorAll('a')) {
      const current = link.dataset.view === name;
      if (current) link.setAttribute('aria-current', 'page');
      else link.removeAttribute('aria-current');
    }
    document.body.dataset.view = name;
  }

  async function route() {
    const { parts, query } = parse(location.hash);
    // Set by the link that skips the header.
    if (location.hash === '#main') return;
    const isSet = monosem.data.set(parts[0]) !== undefined;
    const name = isSet ? 'features' : parts[0] || 'features';
    const view = Object.hasOwn(monosem.views, name)
      ? monosem.views[name]
      : null;
    const rest = isSet ? parts : parts.slice(1);
    if (view && view === current && view.update?.(rest, query)) return;
    const own = ++turn;
    leave?.();
    leave = current = null;
    const place = element('div', 'view');
    byId('main').replaceChildren(place);
    if (!view?.there()) {
      const said = `There is nothing at ${location.hash}.`;
      place.append(element('p', 'silent', said));
      mark('');
      return;
    }
    mark(name);
    document.title = `${view.title} · ${monosem.data.run.main}`;
    byId('main').scrollTop = 0;
    try {
      const left = await view.show(rest, query, place);
      if (own !== turn) left?.();
      else [leave, current] = [left ?? null, view];
    } catch (error) {
      if (own === turn) {
        place.replaceChildren(element('p', 'silent', error.message));
      }
    }
  }

  function navigation() {
    const links = Object.entries(monosem.views)
      .filter(([, view]) => view.there())
      .sort(([, a], [, b]) => a.order - b.order)
      .map(([name, view]) => {
        const link = element('a', '', view.title);
        link.href =
          name === 'features' ? href(monosem.data.run.main) : href(name);
        link.dataset.view = name;
        return link;
      });
    byId('views').replaceChildren(...links);
  }

  async function start() {
    try {
      await monosem.data.start();
    } catch (error) {
      byId('main').replaceChildren(element('p', 'silent', error.message));
      return;
    }
    navigation();
    window.addEventListener('hashchange', route);
    if (location.protocol === 'about:') {
      document.addEventListener('click', follow);
    }
    if (location.hash.length < 2) {
      replace(href(monosem.data.run.main));
    }
    await route();
  }

  return { go, href, keep, replace, start };
})();
