"""Training steps and runs of other systems, each in its own process.

`compare` starts a worker as

  PYTHON launch/benchmark/peers.py SYSTEM ARGUMENTS

with an interpreter that has the system installed. ARGUMENTS is a JSON object
with the arguments of the system's function below. The worker sets up, and then
does a piece of work for every line that it reads.
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
  """The seconds that `work` takes."""
  start = time.perf_counter()
  work()
  return time.perf_counter() - start


def serve(make: Callable[[], Work]) -> None:
  """Runs a worker, which reads names of work and writes the results.

  The first line that it writes has the names, or the reason for a failure.
  """
  out = os.dup(1)
  os.dup2(2, 1)  # keeps what libraries print out of the answers

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
  """Starts a worker, and yields functions that do its work, by name.

  If it cannot start, there are none, and the reason is printed.
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
  """The encoder bias with which `l0` features of a row are active."""
  kept = 1 - l0 / pre_NF.shape[1]
  return -pre_NF.detach().flatten().quantile(kept).item()


def saelens(width: int, features: int, batch: int, l0: float) -> Work:
  """One training step of SAELens, repeated on the same batch.

  Args:
    width: width of the activations.
    features: number of features.
    batch: number of activations per step.
    l0: active features of a row at the start; 0 keeps the initialization.
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
  """One of our one-layer transformers as an equal TransformerLens model.

  Args:
    found: the arrays of `monosem_jax.transformer.weights.tensors`, by name.
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
  # Only the constants of the causal mask may be missing.
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
  """A whole training run of SAELens on one of our transformers.

  Args:
    data: an .npz with the transformer's weights; all tokens of the run,
      tokens_CT; and acts_BTA, the expected activations of the first B contexts.
    features: number of features.
    batch: number of activations per step.
    buffer: number of activations that are shuffled together.
    l1: our L1 coefficient; SAELens sums squared errors over the width, while we
      average.
    lr: learning rate.

  Returns:
    A function that runs the training and returns `marks`, the seconds from its
    start to the end of every `per_mark` activations, and `difference`, the
    largest difference of activations.
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
