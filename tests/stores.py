"""Documents to make a token store of."""

import json
import random
from pathlib import Path

from monosem_jax.config.settings import Text, Tokenizer

TOKENIZER = Tokenizer(vocab_size=320, sample_chars=20_000)


def random_texts(n: int, seed: int = 0) -> list[str]:
  rng = random.Random(seed)
  words = [''.join(rng.choices('abcdeé ü中', k=5)) for _ in range(300)]
  return [' '.join(rng.choices(words, k=rng.randint(1, 80))) for _ in range(n)]


def settings_for(folder: Path, texts: list[str], **changes) -> Text:
  folder.mkdir(parents=True, exist_ok=True)
  with open(folder / 'x.jsonl', 'w', encoding='utf-8') as file:
    for i, text in enumerate(texts):
      record = {'text': text, 'meta': {'pile_set_name': f's{i % 3}'}}
      file.write(json.dumps(record) + '\n')
  defaults = {
    'source': 'jsonl',
    'paths': (str(folder / '*.jsonl'),),
    'min_document_chars': 0,
    'val_fraction': 0.2,
    'context': 16,
    'contexts_per_record': 4,
  }
  return Text(**defaults | changes)


def content(directory: Path) -> dict[str, bytes]:
  return {path.name: path.read_bytes() for path in directory.iterdir()}
