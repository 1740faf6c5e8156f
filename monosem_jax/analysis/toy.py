"""Why dictionaries: the paper's arguments, on models small enough to see whole.

Three of them (the paper: problem setup, and theory of superposition), each a
function of its sizes and a seed:

  superpose      more features than dimensions are kept, once they are sparse
  binary_neuron  cross-entropy prefers a neuron that several features share
  penalise       a penalty on activations makes them sparse, neurons stay shared

Shapes here: F features, D dimensions, J neurons, Z runs side by side.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax

from monosem_jax.config.settings import BinaryNeuron, Penalty, Superposition


def _minimise(loss: Callable, params, lr: float, steps: int, key: jax.Array):
  """Adam on `loss(params, key)`, its rate falling to 0 as a cosine does."""
  optimizer = optax.adam(optax.cosine_decay_schedule(lr, steps))

  def step(carry, i):
    params, state = carry
    grads = jax.grad(loss)(params, jax.random.fold_in(key, i))
    with jax.numpy_dtype_promotion('standard'):  # optax mixes its counters in
      updates, state = optimizer.update(grads, state, params)
    return (optax.apply_updates(params, updates), state), None

  (params, _), _ = jax.lax.scan(
    step, (params, optimizer.init(params)), jnp.arange(steps)
  )
  return params


def dimensionality(W_DF: np.ndarray) -> np.ndarray:
  """Which share of a dimension each feature has for itself: of F, in 0..1.

  |W_i|^2 / sum_j (w_i . W_j)^2, w_i being W_i at norm 1 (Elhage et al. 2022):
  1 for a direction of one's own, 1/2 for two that are opposite, 0 for a
  feature that is not there.
  """
  norm_F = np.linalg.norm(W_DF, axis=0)
  overlap_F = np.square(W_DF.T @ W_DF).sum(1)
  there_F = norm_F > 1e-6
  return np.where(there_F, norm_F**4 / np.where(there_F, overlap_F, 1), 0)


def superpose(c: Superposition, seed: int) -> dict[str, np.ndarray]:
  """Trains the toy model of superposition, at all sparsities at once.

  x_hat = ReLU(x W^T W + b); the loss is the mean over samples of the sum over
  features of importance * (x - x_hat)^2; a feature is 0, or U(0, 1) (Elhage et
  al. 2022, "Toy Models of Superposition"). All sparsities have one start and
  one stream of draws.

  Returns:
    W_ZDF and b_ZF; dimensionality_ZF; represented_Z, the features of squared
    norm above 1/2 (our choice of a threshold); and of Elhage et al.
    dimensions_per_feature_Z, D over the squared Frobenius norm.
  """
  F, D = c.features, c.dimensions
  importance_F = c.importance ** jnp.arange(F, dtype=jnp.float32)
  start_key, draws_key = jax.random.split(jax.random.key(seed))
  start = {
    'W_DF': jax.random.normal(start_key, (D, F)) * D**-0.5,
    'b_F': jnp.zeros(F),
  }

  def fit(sparsity):
    def loss(p, key):
      value_key, there_key = jax.random.split(key)
      shape = c.batch_size, F
      there_NF = jax.random.uniform(there_key, shape) >= sparsity
      x_NF = jnp.where(there_NF, jax.random.uniform(value_key, shape), 0)
      recon_NF = jax.nn.relu(x_NF @ p['W_DF'].T @ p['W_DF'] + p['b_F'])
      return (importance_F * jnp.square(x_NF - recon_NF)).sum(1).mean()

    return _minimise(loss, start, c.lr, c.steps, draws_key)

  sparsity_Z = jnp.asarray(c.sparsities, jnp.float32)
  found = jax.device_get(jax.jit(jax.vmap(fit))(sparsity_Z))
  square_ZF = np.square(found['W_DF']).sum(1)
  return {
    'W_ZDF': found['W_DF'],
    'b_ZF': found['b_F'],
    'dimensionality_ZF': np.stack([dimensionality(W) for W in found['W_DF']]),
    'represented_Z': (square_ZF > 0.5).sum(1),
    'dimensions_per_feature_Z': D / square_ZF.sum(1),
  }


def entropy_left(fires_for: int, features: int) -> float:
  """The loss with a binary neuron that fires for k of n exclusive features.

  All are equally likely: k/n ln k + (n-k)/n ln(n-k) nats, what is still open
  once the neuron is known. The paper's case is n = 4: (3/4) ln 3 for the
  monosemantic neuron (k = 1), ln 2 for the polysemantic one (k = 2).
  """
  sides = np.array([fires_for, features - fires_for], float)
  return float((sides * np.log(np.maximum(sides, 1))).sum() / features)


def binary_neuron(c: BinaryNeuron, seed: int) -> dict[str, np.ndarray]:
  """The paper's argument that sparsity does not make neurons monosemantic.

  One of n features is on, a neuron fires or not, and the softmax of two rows of
  logits names the feature. Nothing can be in superposition, and yet firing for
  half of the features costs less cross-entropy than firing for one.

  Our choice where the input weights are learned as well: the neuron fires with
  a probability for each feature, and the loss is the expectation, so that there
  is a gradient. A neuron for one feature is a local minimum there, and some
  starts end in it.

  Returns:
    For neurons that fire for 0..n features: closed_form, see `entropy_left`,
    and optimised, the cross-entropy that gradient descent on the logits comes
    to. For each of Z starts: fires_for_Z, how many features it came to fire
    for, and loss_Z, that of the neuron rounded to fire or not.
  """
  n = c.features

  def loss_of(fires_F, logits_2F):
    cost_2F = -jax.nn.log_softmax(logits_2F)
    return (fires_F * cost_2F[1] + (1 - fires_F) * cost_2F[0]).mean()

  key = jax.random.key(seed)

  def fixed(fires_F):
    loss = lambda logits_2F, _: loss_of(fires_F, logits_2F)
    found_2F = _minimise(loss, jnp.zeros((2, n)), c.lr, c.steps, key)
    return loss(found_2F, key)

  def learned(key):
    firing_key, logits_key = jax.random.split(key)
    start = {
      'firing_F': jax.random.normal(firing_key, (n,)),
      'logits_2F': jax.random.normal(logits_key, (2, n)),
    }
    loss = lambda p, _: loss_of(jax.nn.sigmoid(p['firing_F']), p['logits_2F'])
    found = _minimise(loss, start, c.lr, c.steps, key)
    fires_F = (found['firing_F'] > 0).astype(jnp.float32)
    return fires_F.sum(), loss_of(fires_F, found['logits_2F'])

  fires_for = range(n + 1)
  fires_KF = jnp.tri(n + 1, n, -1)
  fires_for_Z, loss_Z = jax.jit(jax.vmap(learned))(
    jax.random.split(key, c.starts)
  )
  return {
    'closed_form': np.array([entropy_left(k, n) for k in fires_for]),
    'optimised': np.asarray(jax.jit(jax.vmap(fixed))(fires_KF)),
    'fires_for_Z': np.asarray(fires_for_Z).astype(int),
    'loss_Z': np.asarray(loss_Z),
  }


def penalise(c: Penalty, seed: int) -> dict[str, np.ndarray]:
  """A network of J ReLU neurons under a penalty, and a monosemantic one.

  One of F exclusive features is on; the neurons see which, the output names it
  by a softmax. Loss: cross-entropy + penalty * mean over features of the sum
  over neurons of activation * norm of the neuron's output row. By that norm, as
  in `dictionary.recipes.april`, since activations alone would shrink and the
  output weights grow instead. There are fewer neurons than features, and the F
  inputs are all there is, so the loss is exact. The monosemantic network is the
  same one, its neurons held to a feature each: what the penalty is to lead to.

  With the default sizes a penalty first takes away that several neurons fire
  for a feature, while neurons stay shared, since that is the cheaper way. It
  makes them monosemantic only where it leaves most features to none of them.

  An activation counts as firing from a tenth of its neuron's greatest on, a
  neuron as live if it moves the logits by 0.01 (our choices).

  Returns:
    For each penalty, of the start of the lowest objective: loss_Z (the
    cross-entropy, nats), objective_Z (with the penalty), active_Z (neurons
    that fire on a feature, mean), silent_Z (features on which none fires),
    live_Z (neurons), shared_Z (the share of these that fire on more than one
    feature), features_per_neuron_Z (mean over these; both 0 if none lives),
    activations_ZFJ (times the output row's norm); and monosemantic_loss_Z,
    monosemantic_objective_Z.
  """
  F, J = c.features, c.neurons

  def fit(allowed_FJ, penalty, key):
    def forward(p):
      h_FJ = allowed_FJ * jax.nn.relu(p['W_in_FJ'] + p['b_in_J'])
      logits_FF = h_FJ @ p['W_out_JF'] + p['b_out_F']
      effect_FJ = h_FJ * jnp.linalg.norm(p['W_out_JF'], axis=1)
      loss = -jnp.diag(jax.nn.log_softmax(logits_FF)).mean()
      return loss + penalty * effect_FJ.sum(1).mean(), (loss, effect_FJ)

    # A tied start, so that no neuron begins by speaking against its features.
    W_in_FJ = allowed_FJ * jnp.abs(jax.random.normal(key, (F, J)))
    start = {
      'W_in_FJ': W_in_FJ,
      'b_in_J': jnp.zeros(J),
      'W_out_JF': W_in_FJ.T,
      'b_out_F': jnp.zeros(F),
    }
    return forward(
      _minimise(lambda p, _: forward(p)[0], start, c.lr, c.steps, key)
    )

  @jax.jit
  def best(allowed_FJ, keys):
    def at(penalty):
      of_key = lambda key: fit(allowed_FJ, penalty, key)
      objective, (loss, effect_FJ) = jax.vmap(of_key)(keys)
      i = objective.argmin()
      return objective[i], loss[i], effect_FJ[i]

    return jax.vmap(at)(jnp.asarray(c.penalties, jnp.float32))

  keys = jax.random.split(jax.random.key(seed), c.starts)
  objective_Z, loss_Z, effect_ZFJ = jax.device_get(best(jnp.ones((F, J)), keys))
  own_objective_Z, own_loss_Z, _ = jax.device_get(best(jnp.eye(F, J), keys))
  greatest_ZJ = effect_ZFJ.max(1)
  live_ZJ = greatest_ZJ > 0.01
  fires_ZFJ = live_ZJ[:, None] & (effect_ZFJ > 0.1 * greatest_ZJ[:, None])
  live_Z = live_ZJ.sum(1)
  return {
    'loss_Z': loss_Z,
    'objective_Z': objective_Z,
    'active_Z': fires_ZFJ.sum(2).mean(1),
    'silent_Z': (~fires_ZFJ.any(2)).sum(1),
    'live_Z': live_Z,
    'shared_Z': (fires_ZFJ.sum(1) > 1).sum(1) / np.maximum(live_Z, 1),
    'features_per_neuron_Z': fires_ZFJ.sum((1, 2)) / np.maximum(live_Z, 1),
    'activations_ZFJ': effect_ZFJ,
    'monosemantic_loss_Z': own_loss_Z,
    'monosemantic_objective_Z': own_objective_Z,
  }
