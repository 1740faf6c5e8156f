"""Other systems' training steps and runs, each in a process of its own.

  PYTHON launch/benchmark/peers.py SYSTEM ARGUMENTS

is how `compare` starts one, with an interpreter that has the system.
ARGUMENTS is a JSON object of what the system's function below takes. Such a
worker makes ready, and then does a piece of work for every line it reads.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

Work = dict[str, Callable]


def timed(work: Callable[[], object]) -> float:
  """Seconds that it takes."""
  start = time.perf_counter()
  work()
  return time.perf_counter() - start


def serve(make: Callable[[], Work]) -> None:
  """A worker: does the work that each line read names, and writes its result.

  The first line written holds the names, or why there are none.
  """
  out = os.dup(1)
  os.dup2(2, 1)  # libraries that print do not disturb the answers

  def answer(x) -> None:
    os.write(out, f'{json.dumps(x)}\n'.encode())

  try:
    work = make()
  except Exception as e:
    answer(f'{type(e).__name__}: {e}')
    raise
  answer(list(work))
  for line in sys.stdin:
    answer(work[line.rstrip('\n')]())


@contextlib.contextmanager
def worker(command: list[str], **arguments) -> Iterator[Work]:
  """Starts a worker; yields its work by name, each a function to its result.

  None where it cannot; the reason is printed.
  """
  process = subprocess.Popen(
    [*command, json.dumps(arguments)],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    stderr=subprocess.DEVNULL,
    text=True,
  )

  def ask(name: str):
    print(name, file=process.stdin, flush=True)
    return answer()

  def answer():
    line = process.stdout.readline()
    if not line:
      raise RuntimeError(f'{" ".join(command)}: ended, code {process.wait()}')
    return json.loads(line)

  try:
    names = answer()
    if isinstance(names, str):
      print(f'{" ".join(command)}: {names}')
      names = []
    yield {name: lambda name=name: ask(name) for name in names}
  finally:
    process.stdin.close()
    process.wait(60)


def _bias(pre_NF, l0: float) -> float:
  """The encoder bias that leaves `l0` features of a row active."""
  kept = 1 - l0 / pre_NF.shape[1]
  return -pre_NF.detach().flatten().quantile(kept).item()


def saelens(width: int, features: int, batch: int, l0: float) -> Work:
  """One training step of SAELens, on one batch over and over.

  Args:
    width: of the activations.
    features: of the dictionary.
    batch: activations of a step.
    l0: active features of a row at the start; 0: as initialised.
  """
  import torch
  from sae_lens.config import SAETrainerConfig
  from sae_lens.saes.standard_sae import (
    StandardTrainingSAE,
    StandardTrainingSAEConfig,
  )
  from sae_lens.training.sae_trainer import SAETrainer

  torch.manual_seed(0)
  x_NA = torch.relu(torch.randn(batch, width))
  sae = StandardTrainingSAE(
    StandardTrainingSAEConfig(d_in=width, d_sae=features)
  )
  if l0:
    torch.nn.init.constant_(sae.b_enc, _bias(x_NA[:64] @ sae.W_enc, l0))
  trainer = SAETrainer(
    cfg=SAETrainerConfig(
      total_training_samples=batch * 10_000,
      train_batch_size_samples=batch,
      lr=1e-4,
      lr_end=1e-5,
    ),
    sae=sae,
    data_provider=iter([]),
  )
  step = lambda: trainer._train_step(sae, x_NA)
  step()
  return {'SAELens': lambda: timed(step)}


def dictionary_learning(
  width: int, features: int, batch: int, l0: float
) -> Work:
  """One training step of dictionary_learning; arguments as for `saelens`."""
  import torch
  from dictionary_learning.trainers.standard import StandardTrainer

  torch.manual_seed(0)
  x_NA = torch.relu(torch.randn(batch, width))
  trainer = StandardTrainer(
    steps=10_000,
    activation_dim=width,
    dict_size=features,
    layer=0,
    lm_name='none',
    device='cpu',
  )
  if l0:
    encoder = trainer.ae.encoder
    bias = _bias(x_NA[:64] @ encoder.weight.T, l0)
    torch.nn.init.constant_(encoder.bias, bias)
  number = iter(range(1, 10_000))
  step = lambda: trainer.update(next(number), x_NA)
  step()
  return {'dictionary_learning': lambda: timed(step)}


def _hooked_transformer(found):
  """A one-layer transformer of ours in TransformerLens: the same function.

  Args:
    found: arrays by the names of `monosem_jax.transformer.weights.tensors`.
  """
  import torch
  from transformer_lens import HookedTransformer, HookedTransformerConfig

  def weight(name: str):
    return torch.from_numpy(found[name])

  W_Q_DHK = weight('blocks.0.attn.W_Q_DHK')
  D, H, K = W_Q_DHK.shape
  V, T = len(found['W_E_VD']), len(found['W_pos_TD'])
  model = HookedTransformer(
    HookedTransformerConfig(
      n_layers=1,
      d_model=D,
      d_mlp=len(found['blocks.0.mlp.b_in_A']),
      n_heads=H,
      d_head=K,
      n_ctx=T,
      d_vocab=V,
      act_fn='relu',
      normalization_type='LN',
      device='cpu',
    )
  )
  state = {
    'embed.W_E': weight('W_E_VD'),
    'pos_embed.W_pos': weight('W_pos_TD'),
    'blocks.0.attn.b_O': weight('blocks.0.attn.b_O_D'),
    'blocks.0.attn.W_O': weight('blocks.0.attn.W_O_HKD'),
    'blocks.0.mlp.W_in': weight('blocks.0.mlp.W_in_DA'),
    'blocks.0.mlp.b_in': weight('blocks.0.mlp.b_in_A'),
    'blocks.0.mlp.W_out': weight('blocks.0.mlp.W_out_AD'),
    'blocks.0.mlp.b_out': weight('blocks.0.mlp.b_out_D'),
    'ln_final.w': weight('ln_f.w_D'),
    'ln_final.b': weight('ln_f.b_D'),
    'unembed.W_U': weight('W_U_DV'),
    'unembed.b_U': torch.zeros(V),
  }
  for letter in 'QKV':
    W_DHK = weight(f'blocks.0.attn.W_{letter}_DHK')
    state[f'blocks.0.attn.W_{letter}'] = W_DHK.permute(1, 0, 2)
    state[f'blocks.0.attn.b_{letter}'] = torch.zeros(H, K)
  for norm in ('ln1', 'ln2'):
    state[f'blocks.0.{norm}.w'] = weight(f'blocks.0.{norm}.w_D')
    state[f'blocks.0.{norm}.b'] = weight(f'blocks.0.{norm}.b_D')
  # All but the constants of the causal mask.
  missing, unknown = model.load_state_dict(state, strict=False)
  left = [name for name in missing if name.split('.')[-1] not in MASKS]
  if left or unknown:
    raise ValueError(f'weights: missing {left}, unknown {unknown}')
  return model


MASKS = ('mask', 'IGNORE')
SITE = 'blocks.0.mlp.hook_post'


def saelens_run(
  data: str, features: int, batch: int, buffer: int, l1: float, lr: float
) -> Work:
  """A whole training run of SAELens on a transformer of ours.

  Args:
    data: an .npz of the transformer's weights, of tokens_CT, all of the run,
      and of acts_BTA, the activations that the first of them have to make.
    features: of the dictionary.
    batch: activations of a step.
    buffer: activations that are shuffled together.
    l1: our coefficient; SAELens sums over the width where we take the mean.
    lr: learning rate.

  Returns:
    A function to `marks`, the seconds from its start to the end of every
    `per_mark` activations, and `difference`, the largest of the activations.
  """
  import datasets
  import numpy as np
  import torch
  from sae_lens import (
    LanguageModelSAERunnerConfig,
    LanguageModelSAETrainingRunner,
    LoggingConfig,
    StandardTrainingSAEConfig,
  )
  from torch.optim.optimizer import register_optimizer_step_post_hook

  found = np.load(data)
  model = _hooked_transformer(found)
  acts_BTA, tokens_CT = found['acts_BTA'], found['tokens_CT'].astype(np.int64)
  B, T, A = acts_BTA.shape
  with torch.no_grad():
    _, cache = model.run_with_cache(torch.from_numpy(tokens_CT[:B]))
  difference = float(np.abs(cache[SITE].numpy() - acts_BTA).max())
  if not difference < 1e-4:
    raise ValueError(f'the activations differ by {difference:.2g}')
  dataset = datasets.Dataset.from_dict({'tokens': tokens_CT})

  def run():
    marks, start = [], time.perf_counter()
    mark = lambda *unused: marks.append(time.perf_counter() - start)
    hook = register_optimizer_step_post_hook(mark)
    LanguageModelSAETrainingRunner(
      LanguageModelSAERunnerConfig(
        sae=StandardTrainingSAEConfig(
          d_in=A, d_sae=features, l1_coefficient=l1 * A
        ),
        hook_name=SITE,
        streaming=False,
        prepend_bos=False,
        context_size=T,
        n_batches_in_buffer=buffer // T,
        training_tokens=tokens_CT.size,
        train_batch_size_tokens=batch,
        lr=lr,
        logger=LoggingConfig(log_to_wandb=False),
        checkpoint_path=None,
        output_path=None,
        verbose=False,
      ),
      override_model=model,
      override_dataset=dataset,
    ).run()
    hook.remove()
    return {'marks': marks, 'per_mark': batch, 'difference': difference}

  return {'SAELens': run}


SYSTEMS = {
  'SAELens': saelens,
  'dictionary_learning': dictionary_learning,
  'SAELens-run': saelens_run,
}

if __name__ == '__main__':
  serve(lambda: SYSTEMS[sys.argv[1]](**json.loads(sys.argv[2])))
