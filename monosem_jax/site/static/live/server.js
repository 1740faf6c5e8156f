'use strict';

// Sends requests to the server of a live page. Addresses are relative, so that
// they begin with the page's own path, which has the token.
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
    throw new Error(said?.error ?? `the server answered ${answer.status}`);
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

  // Server-sent events as [name, value], until the last or until `signal`
  // aborts.
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
