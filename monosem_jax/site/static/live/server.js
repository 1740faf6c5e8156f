'use strict';

// Asks the server behind a live page. Its addresses are relative: the token
// that lets us in is a part of the page's own.
monosem.server = (() => {
  async function post(path, body, signal) {
    const answer = await fetch(`api/${path}`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
      signal,
    });
    if (answer.ok) return answer;
    const said = await answer.json().catch(() => null);
    throw new Error(said?.error ?? `the server answers ${answer.status}`);
  }

  const failure = (error) =>
    error instanceof TypeError ? new Error('the server is gone.') : error;

  async function probe(body) {
    try {
      return await (await post('probe', body)).json();
    } catch (error) {
      throw failure(error);
    }
  }

  // Server-sent events as [name, value], until they end or `signal` ends them.
  async function* steer(body, signal) {
    try {
      const { body: stream } = await post('steer', body, signal);
      const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
      let waiting = '';
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        const events = (waiting + value).split('\n\n');
        waiting = events.pop();
        for (const event of events) {
          const [, name, data] = event.match(/^event: (\w+)\ndata: (.*)$/s);
          yield [name, JSON.parse(data)];
        }
      }
    } catch (error) {
      throw failure(error);
    }
  }

  return { probe, steer };
})();
