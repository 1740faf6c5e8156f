'use strict';

// A long list of rows of one height. Only the rows in view exist, so that
// 100,000 scroll as well as 100. The list is one tab stop; arrow keys move
// through it.
monosem.rows = (() => {
  const { element } = monosem.dom;
  const OVERSCAN = 6;
  let lists = 0;

  // Options, where a place is a row's number from the top:
  //   draw(place)    makes the nodes of a row
  //   faint(place)   whether the row is drawn faint; by default none is
  //   onPick(place)  is called with the row under the pointer or cursor, or -1
  //   onOpen(place)  is called with the row that is opened
  function make({ label, height, draw, faint, onPick = () => {}, onOpen }) {
    const id = `rows-${++lists}`;
    const inner = element('div', 'inner');
    const node = element('div', 'longlist', [inner]);
    node.tabIndex = 0;
    node.setAttribute('role', 'listbox');
    node.setAttribute('aria-label', label);
    let count = 0;
    let cursor = 0;
    let marked = -1;
    let waiting = false;

    function row(place) {
      const one = element('div', 'longrow', draw(place));
      one.id = `${id}-${place}`;
      one.dataset.place = place;
      one.setAttribute('role', 'option');
      one.setAttribute('aria-selected', String(place === marked));
      one.setAttribute('aria-setsize', count);
      one.setAttribute('aria-posinset', place + 1);
      one.classList.toggle('cursor', place === cursor);
      one.classList.toggle('faint', Boolean(faint?.(place)));
      one.style.top = `${place * height}px`;
      one.style.height = `${height}px`;
      return one;
    }

    function refresh() {
      waiting = false;
      const first = Math.floor(node.scrollTop / height) - OVERSCAN;
      const last = Math.ceil((node.scrollTop + node.clientHeight) / height);
      const shown = [];
      for (let place = Math.max(first, 0); place < last + OVERSCAN; place++) {
        if (place < count) shown.push(row(place));
      }
      inner.style.height = `${count * height}px`;
      inner.replaceChildren(...shown);
      if (count) node.setAttribute('aria-activedescendant', `${id}-${cursor}`);
      else node.removeAttribute('aria-activedescendant');
    }

    function later() {
      if (!waiting) requestAnimationFrame(refresh);
      waiting = true;
    }

    // Scrolls a row into view: to the middle, unless it is right at the edge.
    function reveal(place) {
      const top = place * height;
      const lowest = top + height - node.clientHeight;
      const off = Math.max(lowest - node.scrollTop, node.scrollTop - top, 0);
      node.scrollTop =
        off > height
          ? top - node.clientHeight / 2
          : Math.max(lowest, Math.min(node.scrollTop, top));
      later();
    }

    function moveTo(place) {
      cursor = Math.max(0, Math.min(place, count - 1));
      reveal(cursor);
      onPick(count ? cursor : -1);
    }

    const placeOf = (event) => {
      const own = event.target.closest?.('.longrow');
      return own ? Number(own.dataset.place) : -1;
    };

    node.addEventListener('keydown', (event) => {
      const page = Math.max(1, Math.floor(node.clientHeight / height) - 1);
      const steps = {
        ArrowDown: 1,
        ArrowUp: -1,
        PageDown: page,
        PageUp: -page,
        Home: -Infinity,
        End: Infinity,
      };
      if (event.target !== node) return;
      if (event.key in steps) moveTo(cursor + steps[event.key]);
      else if (event.key === 'Enter' && count) onOpen(cursor);
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    node.addEventListener('scroll', later, { passive: true });
    node.addEventListener('mouseover', (event) => onPick(placeOf(event)));
    node.addEventListener('mouseleave', () => onPick(-1));
    node.addEventListener('click', (event) => {
      const place = placeOf(event);
      // A click on a link in the row follows the link.
      if (place < 0 || event.target.closest('a')) return;
      cursor = place;
      onOpen(place);
    });
    const watcher = new ResizeObserver(later);
    watcher.observe(node);

    return {
      node,
      refresh: later,
      close: () => watcher.disconnect(),
      // Sets the number of rows; scrolls to the top unless `keep`.
      set(rows, keep = false) {
        count = rows;
        marked = -1;
        if (!keep) node.scrollTop = 0;
        cursor = keep ? Math.min(cursor, Math.max(count - 1, 0)) : 0;
        refresh();
      },
      // Marks a row as selected; -1 for none.
      mark(place) {
        if (marked === place) return;
        marked = place;
        if (place >= 0) {
          cursor = place;
          reveal(place);
        } else later();
      },
    };
  }

  return { make };
})();
