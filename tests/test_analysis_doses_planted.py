"""Responses to doses of a planted feature and of its baselines."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from steered import DOT, F, T, contexts, pins, transformer
from tiny_transformer import A, D, V

from monosem_jax.analysis import doses as matching, steering
from monosem_jax.config import settings
from monosem_jax.config.errors import UserError
from monosem_jax.device import mesh as meshes
from monosem_jax.dictionary import sae as sae_lib
from monosem_jax.stages.analysis import doses
from monosem_jax.transformer import weights
from monosem_jax.transformer.sample import sample

# Of a planted transformer: what feature 0 alone raises.
READ = np.arange(5, 15)


def planted():
  """Neuron i is feature i; W_U reads what neuron 0 writes, on READ alone.

  The decoder rows are not of norm 1; feature 29 never fires.
  """
  rng = np.random.default_rng(4)
  lm = transformer()
  found = {n: np.array(x) for n, x in weights.tensors(lm).items()}
  W_U_DV = 0.02 * rng.normal(size=(D, V))
  W_U_DV[0, READ] = 1
  W_out_AD = rng.normal(size=(A, D)) / D**0.5
  W_out_AD[:, 0], W_out_AD[0] = 0, np.eye(D)[0]
  for name in ('ln_f.w_D', 'ln_f.b_D'):
    found[name][:] = name == 'ln_f.w_D'
  # Neuron 0 alone writes there, and seldom.
  found['blocks.0.mlp.b_in_A'][0] = -2
  for name in ('W_E_VD', 'W_pos_TD', 'blocks.0.attn.W_O_HKD'):
    found[name][..., 0] = 0
  for name in ('blocks.0.attn.b_O_D', 'blocks.0.mlp.b_out_D'):
    found[name][0] = 0
  found |= {'W_U_DV': W_U_DV, 'blocks.0.mlp.W_out_AD': W_out_AD}
  found = {n: np.float32(x) for n, x in found.items()}
  norm_A = rng.uniform(0.5, 2, A)
  W_enc_AF, W_dec_FA = np.zeros((A, F)), np.zeros((F, A))
  W_enc_AF[range(A), range(A)] = 1 / norm_A
  W_dec_FA[range(A), range(A)] = norm_A
  b_enc_F = np.where(np.arange(F) < A, 0, -1)
  made = (W_enc_AF, b_enc_F, W_dec_FA, np.zeros(A))
  sae = sae_lib.SAE(*(jnp.asarray(x, jnp.float32) for x in made))
  return weights.load(lm, found), sae


# For the most part what feature 0 writes, of another size.
DIRECTION = 0.1 * np.random.default_rng(8).normal(size=A)
DIRECTION[0] = 3
MULTIPLES = (-1, 0, 1, 3, 10)
NAMES = ('pinned', 'neuron', 'difference', 'control')


def setting(lm, sae, **changes) -> doses.Setting:
  tokens_CT = np.random.default_rng(6).integers(1, V, (5, T)).astype(np.int32)
  acts_NA = lm(tokens_CT)[1].reshape(-1, A)
  max_F = np.asarray(sae_lib.encode(sae, acts_NA, DOT).max(0))
  seen = {
    'read': lambda tokens_BT: np.isin(tokens_BT, READ),
    'prompt': lambda tokens_BT: np.broadcast_to(
      np.arange(tokens_BT.shape[1]) < 3, tokens_BT.shape
    ),
    'length': lambda tokens_BT: np.full(
      tokens_BT.shape, tokens_BT.shape[1] == 33
    ),
  }
  given = {
    'lm': lm,
    'sae': sae,
    'max_F': max_F,
    'live_F': max_F > 0,
    'tokens_CT': tokens_CT,
    'prompt_T': contexts()[0, :3],
    'multiple_M': MULTIPLES,
    'samples': 6,
    'length': 30,
    'controls': 4,
    'labels': lambda tokens_BT: {n: f(tokens_BT) for n, f in seen.items()},
  }
  return doses.Setting(**given | changes)


def neuron(n: int) -> steering.Pins:
  """As a dictionary that is the identity has it."""
  eye_AA = np.eye(A, dtype=np.float32)
  zero_A = np.zeros(A, np.float32)
  sae = sae_lib.SAE(eye_AA, zero_A, eye_AA, zero_A)
  return meshes.fetch(pins(sae, [n], [0.0]))


@functools.cache
def response():
  """On 4 x 2 devices."""
  lm, sae = planted()
  s = setting(lm, sae)
  mesh = meshes.make_mesh(settings.Mesh(data=4, feature=2))
  texts = []

  def labels(tokens_BT):
    texts.append(tokens_BT)
    return s.labels(tokens_BT)

  with jax.set_mesh(mesh):
    own = dataclasses.replace(
      s,
      lm=meshes.place(mesh, lm),
      sae=meshes.place(mesh, sae),
      labels=labels,
    )
    found = [
      doses.response(
        own,
        doses.Feature(
          i, {'neuron': neuron(7), 'difference': steering.direction(DIRECTION)}
        ),
      )
      for i in (0, 1)
    ]
    plain = doses.unsteered(own)
  return s, found, plain, texts


def test_a_planted_feature_moves_what_reads_it_and_its_controls_do_not():
  _, (found, other), plain, _ = response()
  np.testing.assert_array_equal(np.sort(found['top_ids_k']), READ)
  odds = found['log_odds']
  by_dose_M = odds['pinned']['mean']
  assert (np.diff(by_dose_M) > 0.3).all()
  for name in ('control', 'neuron'):
    assert np.ptp(odds[name]['mean']) < 0.1 * np.ptp(by_dose_M)
  assert abs(odds['control']['mean'] - odds['unpinned']['mean']).max() < 0.3
  share = found['share']['read']
  assert plain['share']['read']['mean'] < 0.5
  for name in ('pinned', 'difference'):
    assert share[name]['mean'][-1] > 0.85
    assert share[name]['mean'][0] < 0.2
  # Another feature's pins leave these tokens about as likely as they were.
  assert other['share']['read']['pinned']['mean'].max() < 0.6
  assert share['control']['mean'].max() < 0.6
  assert share['neuron']['mean'].max() < 0.6


def test_labels_see_whole_texts_and_count_new_tokens():
  _, found, plain, _ = response()
  for one in found:
    for name in NAMES:
      assert (one['share']['prompt'][name]['mean'] == 0).all()
      assert (one['share']['length'][name]['mean'] == 1).all()
      assert (one['share']['length'][name]['se'] == 0).all()
    # Two texts of each of four controls make up for six of the others.
    control = one['share']['read']['control']
    assert control['n'] == 8 and one['share']['read']['pinned']['n'] == 6
    assert control['unit'] == 'samples'
    assert (control['se_features'] >= 0).all()
  assert plain['share']['prompt']['mean'] == 0
  assert plain['share']['length'] == {
    **{'mean': 1, 'se': 0, 'n': 30, 'unit': 'samples'}
  }


def test_the_next_token_is_that_of_the_definition_for_every_arm():
  """Log-odds, KL and norm by whole passes; all norms are the feature's."""
  s, responses, *_ = response()
  f_CTF = jnp.stack(
    [sae_lib.encode(s.sae, x, DOT) for x in s.lm(s.tokens_CT)[1]]
  )
  clean_CTV, acts_CTA = s.lm(s.tokens_CT)
  clean_CTV = np.asarray(jax.nn.log_softmax(clean_CTV), np.float64)
  acts_CTA = np.asarray(acts_CTA, np.float64)
  row = lambda i: np.asarray(s.sae.W_dec_FA[i], np.float64)

  def measured(change_CTA, top_ids_k):
    added = jnp.asarray(change_CTA, jnp.float32)
    logits_CTV = s.lm(s.tokens_CT, lambda acts_CTA: acts_CTA + added)[0]
    log_p_CTV = np.asarray(jax.nn.log_softmax(logits_CTV), np.float64)
    p_CT = np.exp(log_p_CTV)[..., top_ids_k].sum(-1)
    kl_CTV = np.exp(clean_CTV) * (clean_CTV - log_p_CTV)
    return {
      'log_odds': (np.log(p_CT) - np.log(1 - p_CT)).mean(1),
      'kl': kl_CTV.sum(-1).mean(1),
      'norm': np.linalg.norm(change_CTA, axis=-1).mean(1),
    }

  for i, found in enumerate(responses):
    controls = found['controls']
    assert len(set(controls)) == 4 and i not in controls
    assert s.live_F[controls].all()
    top_ids_k = found['top_ids_k']
    assert found['log_odds']['unpinned']['mean'] == pytest.approx(
      measured(0 * acts_CTA, top_ids_k)['log_odds'].mean(), rel=1e-4
    )
    norm = np.linalg.norm(row(i))
    for m, multiple in enumerate(MULTIPLES):
      value = {name: found['value'][name][m] for name in NAMES[:3]}
      assert value['pinned'] == pytest.approx(multiple * s.max_F[i])
      off_CT1 = value['pinned'] - np.asarray(f_CTF[..., i : i + 1], np.float64)
      added = {
        'pinned': [off_CT1 * row(i)],
        'neuron': [
          (value['neuron'] - acts_CTA[..., 7:8]) * (np.arange(A) == 7)
        ],
        'difference': [np.ones((5, T, 1)) * value['difference'] * DIRECTION],
        'control': [
          off_CT1 * norm * row(j) / np.linalg.norm(row(j)) for j in controls
        ],
      }
      for name, changes in added.items():
        each = [measured(x_CTA, top_ids_k) for x_CTA in changes]
        for key in ('log_odds', 'kl', 'norm'):
          got = found[key][name]
          x = [e[key].mean() for e in each] if len(each) > 1 else each[0][key]
          assert got['n'] == len(x) == (4 if name == 'control' else 5)
          np.testing.assert_allclose(
            got['mean'][m], np.mean(x), rtol=1e-3, atol=1e-4
          )
          np.testing.assert_allclose(
            got['se'][m],
            np.std(x, ddof=1) / len(x) ** 0.5,
            rtol=5e-3,
            atol=1e-4,
          )
      # As large a change in the mean, and in the feature's direction.
      want = found['norm']['pinned']['mean'][m]
      assert found['norm']['control']['mean'][m] == pytest.approx(
        want, rel=1e-3
      )
      assert found['norm']['difference']['mean'][m] == pytest.approx(
        want, rel=1e-3
      )
      least = np.abs(acts_CTA[..., 7] - np.median(acts_CTA[..., 7])).mean()
      assert found['norm']['neuron']['mean'][m] == pytest.approx(
        max(want, least), rel=1e-3
      )
      for name in ('neuron', 'difference'):
        if multiple in (-1, 1):
          assert np.sign(value[name]) == np.sign(multiple)


def test_a_pinned_text_is_judged_without_the_pin():
  """The likeliest one, which does not hang on the draw."""
  s, *_ = response()
  cold = {'temperature': 0.0, 'length': 8}
  value = 3 * s.max_F[0]
  own = pins(s.sae, [0], [value])
  text_BT = sample(
    s.lm,
    s.prompt_T[None],
    jax.random.key(0),
    patch=steering.patch,
    patch_args=own,
    **cold,
  )
  again = sample(
    s.lm,
    np.tile(s.prompt_T, (2, 1)),
    jax.random.key(1),
    patch=steering.patch_each,
    patch_args=jax.tree.map(
      lambda x: x[np.array([0, 0]), 0],
      steering.at_values([meshes.fetch(own)], np.array([[value]])),
    ),
    **cold,
  )
  np.testing.assert_array_equal(again, np.tile(text_BT, (2, 1)))
  loss_B = matching.continuation_loss(s.lm, text_BT, start=3)
  log_p_TV = np.asarray(jax.nn.log_softmax(s.lm(text_BT)[0]))[0]
  want = -np.mean([log_p_TV[t - 1, text_BT[0, t]] for t in range(3, 11)])
  assert loss_B[0] == pytest.approx(want, rel=1e-4)


def test_shares_and_losses_are_those_of_the_texts():
  s, responses, plain, texts = response()
  assert [len(x) for x in texts] == [26] * 10 + [30]
  for found, own in zip(responses, (texts[:5], texts[5:10]), strict=True):
    for m, tokens_BT in enumerate(own):
      # Six of each arm, and two of each control.
      for name, rows in (
        ('pinned', slice(0, 6)),
        ('neuron', slice(6, 12)),
        ('difference', slice(12, 18)),
        ('control', slice(18, 26)),
      ):
        text_BT = tokens_BT[rows]
        np.testing.assert_array_equal(
          text_BT[:, :3], np.tile(s.prompt_T, (len(text_BT), 1))
        )
        share_B = np.isin(text_BT[:, 3:], READ).mean(1)
        loss_B = np.asarray(
          matching.continuation_loss(s.lm, text_BT, start=3), np.float64
        )
        for got, x_B in (
          (found['share']['read'][name], share_B),
          (found['loss'][name], loss_B),
        ):
          assert got['mean'][m] == pytest.approx(x_B.mean(), rel=1e-4)
          se = x_B.std(ddof=1) / len(x_B) ** 0.5
          assert got['se'][m] == pytest.approx(se, rel=1e-3)
        if name == 'control':
          se = share_B.reshape(4, 2).mean(1).std(ddof=1) / 2
          got = found['share']['read'][name]['se_features'][m]
          assert got == pytest.approx(se)
  share_B = np.isin(texts[-1][:, 3:], READ).mean(1)
  assert plain['share']['read']['mean'] == pytest.approx(share_B.mean())


def test_the_difference_of_means_by_loops():
  rng = np.random.default_rng(0)
  x_NA, on_NK = rng.normal(size=(50, 6)), rng.random((50, 4)) < 0.3
  on_NK[:, 1], on_NK[:, 2] = False, True
  sums = {
    'on_KA': on_NK.T.astype(float) @ x_NA,
    'on_K': on_NK.sum(0),
    'all_A': x_NA.sum(0),
    'all': 50,
  }
  found = steering.difference_of_means(sums)
  assert found[1] is found[2] is None
  for k in (0, 3):
    want_A = x_NA[on_NK[:, k]].mean(0) - x_NA[~on_NK[:, k]].mean(0)
    np.testing.assert_allclose(found[k], want_A)


def test_what_has_no_dose_or_no_control_is_refused():
  s, *_ = response()
  with pytest.raises(UserError, match='feature 29 never fired'):
    doses.response(s, doses.Feature(29, {}))
  few = dataclasses.replace(s, live_F=np.arange(F) < 4)
  with pytest.raises(UserError, match=r'4 controls .* only 3'):
    doses.response(few, doses.Feature(2, {}))
