"""Why dictionaries are needed: three arguments of the paper on toy models.

The arguments are from the paper's problem setup and theory of superposition.
Each is a function of its sizes and a seed:

  superpose      sparse features are represented even if they outnumber the
                 dimensions
  binary_neuron  cross-entropy prefers a neuron that several features share
  penalise       a penalty on activations makes them sparse, but neurons stay
                 shared

Shapes here: F features, D dimensions, J neurons, Z runs side by side.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax

from monosem_jax.config.settings import BinaryNeuron, Penalty, Superposition


def _minimise(loss: Callable, params, lr: float, steps: int, key: jax.Array):
  """Adam on `loss(params, key)` with cosine decay of the rate to 0."""
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
  """The dimensionality of each feature, [F], in 0..1 (Elhage et al. 2022).

  It is |W_i|^2 / sum_j (w_i . W_j)^2, where w_i is W_i at norm 1. It is 1 for a
  feature with a dimension of its own, 1/2 for each of two opposite features,
  and 0 for a feature that is not represented.
  """
  norm_F = np.linalg.norm(W_DF, axis=0)
  overlap_F = np.square(W_DF.T @ W_DF).sum(1)
  there_F = norm_F > 1e-6
  return np.where(there_F, norm_F**4 / np.where(there_F, overlap_F, 1), 0)


def superpose(c: Superposition, seed: int) -> dict[str, np.ndarray]:
  """Trains the toy model of superposition, at all sparsities at once.

  The model is x_hat = ReLU(x W^T W + b). A feature is 0 or drawn from U(0, 1).
  The loss is the sum over features of importance * (x - x_hat)^2, mean over
  samples (Elhage et al. 2022, "Toy Models of Superposition"). All sparsities
  share initial weights and random draws.

  Returns:
    A dictionary of

    W_ZDF: the weights.
    b_ZF: the biases.
    dimensionality_ZF: see `dimensionality`.
    represented_Z: number of features with a squared norm above 1/2 (our choice
      of a threshold).
    dimensions_per_feature_Z: D over the squared Frobenius norm of W (Elhage et
      al.).
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

  Features are equally likely, so the loss is k/n ln k + (n-k)/n ln(n-k) nats,
  the entropy that remains once the neuron is known. The paper's case is n = 4:
  (3/4) ln 3 for the monosemantic neuron (k = 1) and ln 2 for the polysemantic
  one (k = 2).
  """
  sides = np.array([fires_for, features - fires_for], float)
  return float((sides * np.log(np.maximum(sides, 1))).sum() / features)


def binary_neuron(c: BinaryNeuron, seed: int) -> dict[str, np.ndarray]:
  """The paper's argument that sparsity does not make neurons monosemantic.

  One of n features is on. A neuron either fires or not, which selects one of
  two rows of logits that predict the feature. Superposition is impossible here,
  and yet a neuron that fires for half of the features has a lower cross-entropy
  than one that fires for a single feature.

  The input weights are also learned. There the neuron fires with a probability
  for each feature, and the loss is the expectation, which has a gradient (our
  choice). A neuron for one feature is a local minimum, in which some starts
  end.

  Returns:
    A dictionary. For neurons that fire for 0..n features:

    closed_form: see `entropy_left`.
    optimised: the cross-entropy after gradient descent on the logits.

    For each of Z starts with learned input weights:

    fires_for_Z: number of features that the neuron fires for.
    loss_Z: the loss with its firing rounded to 0 or 1.
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
  """Trains J ReLU neurons under an activation penalty, and a monosemantic net.

  One of F exclusive features is on. The neurons see which one, and the output
  predicts it by a softmax. There are fewer neurons than features. The F inputs
  are all there are, so the loss is exact. It is the cross-entropy plus the
  penalty times the sum over neurons of activation * norm of the output row,
  mean over features. Without the norm, activations would shrink and output
  weights grow, as in `dictionary.recipes.april`. In the monosemantic network
  each neuron is restricted to one feature, which the penalty is meant to
  achieve.

  With the default sizes, a penalty first reduces the number of neurons that
  fire for a feature. Neurons stay shared, since that costs less. They become
  monosemantic only under a penalty that leaves most features without a neuron.

  A neuron fires at a tenth of its largest activation or more, and is live if it
  moves the logits by more than 0.01 (our choices).

  Returns:
    A dictionary, for each penalty from the start with the lowest objective:

    loss_Z: cross-entropy, nats.
    objective_Z: cross-entropy and penalty.
    active_Z: mean number of neurons that fire on a feature.
    silent_Z: number of features on which no neuron fires.
    live_Z: number of live neurons.
    shared_Z: share of live neurons that fire on more than one feature; 0
      without any.
    features_per_neuron_Z: mean number of features on which a live neuron fires;
      0 without any.
    activations_ZFJ: activations times the norm of the output row.
    monosemantic_loss_Z: cross-entropy of the monosemantic network.
    monosemantic_objective_Z: its cross-entropy and penalty.
  """
  F, J = c.features, c.neurons

  def fit(allowed_FJ, penalty, key):
    def forward(p):
      h_FJ = allowed_FJ * jax.nn.relu(p['W_in_FJ'] + p['b_in_J'])
      logits_FF = h_FJ @ p['W_out_JF'] + p['b_out_F']
      effect_FJ = h_FJ * jnp.linalg.norm(p['W_out_JF'], axis=1)
      loss = -jnp.diag(jax.nn.log_softmax(logits_FF)).mean()
      return loss + penalty * effect_FJ.sum(1).mean(), (loss, effect_FJ)

    # Tied initial weights, so that no neuron starts out against its features.
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
