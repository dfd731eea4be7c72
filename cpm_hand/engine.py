"""One training step on any tf.distribute strategy, and everything that it changes: weights, optimizer, averages."""

import contextlib
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from cpm_hand import checkpoints, nets, optimizers
from cpm_hand.hand import difference

POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}


class Optimisation(NamedTuple):
    """How gradients become new weights.

    Attributes:
        clip_norm: largest norm of the gradient summed over all replicas; 0 is no clipping.
        ema_decay: of the moving average of the weights; 0 keeps none. Early on the average follows faster:
            the decay in force is min(ema_decay, (1 + step) / (10 + step)).
        microbatch: pictures that one replica holds in memory at a time; 0 is its whole share of the batch.
        precision: float32, bfloat16 or float16 (with loss scaling).
        optimizer: adam or muon.
    """

    clip_norm: float = 0.0
    ema_decay: float = 0.0
    microbatch: int = 0
    precision: str = "float32"
    optimizer: str = "adam"


class Engine:
    """A net with its optimizer and averages, and the step that trains them.

    Args:
        spec: the net to build, with new weights.
        optimisation: how to step.
        strategy: of tf.distribute; None is the default one, a single device.
    """

    def __init__(self, spec: nets.Spec, optimisation: Optimisation, strategy: tf.distribute.Strategy | None = None):
        self.spec, self.optimisation = spec, optimisation
        self.strategy = strategy or tf.distribute.get_strategy()
        self.net = nets.find(spec.net)
        with self.strategy.scope():
            self.model = spec.build(POLICIES[optimisation.precision])
            self.optimizer = optimizers.make(optimisation.optimizer, optimisation.precision)
            self.optimizer.build(self.model.trainable_variables)
            self.averages = [
                tf.Variable(variable.numpy(), trainable=False, name=f"ema/{variable.path}",
                            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA)
                for variable in self.model.trainable_variables] if optimisation.ema_decay else []
        # A loss over all cells of all maps is a dozen operations, each of which goes through as much memory as the
        # trunk of a compact net does: XLA makes one loop of them. On GPUs that is little, and XLA may lack its files.
        on_processors = not tf.config.list_logical_devices("GPU")
        self._loss = tf.function(self.net.loss, jit_compile=True) if on_processors else self.net.loss
        self.train = tf.function(self._train, reduce_retracing=True)
        self._sum = tf.function(self._sum_in_graph, input_signature=[tf.TensorSpec([None], tf.float64)])
        self.predict = tf.function(self._predict, reduce_retracing=True)

    # ---- the step

    def _train(self, batch, stop):
        """One step on one global batch.

        Args:
            batch: `pipeline.Batch`, one for each replica.
            stop: float32 scalar, 1 where this worker has been told to stop.

        Returns:
            (per-stage losses [S] of the global batch, number of replicas told to stop), both float32.
        """
        sums = self.strategy.run(self._replica_step, (batch.images, batch.targets, batch.supervised, stop))
        self._average()
        sums = self.strategy.reduce(tf.distribute.ReduceOp.SUM, sums, axis=None)
        return sums[:-1], sums[-1]

    def _replica_step(self, images, targets, supervised, stop):
        losses, gradients = self._gradients(images, targets, supervised)
        # Keras sums over replicas when it applies, but a norm must be that of the sum, and a loss scaler must
        # see the same numbers everywhere: then the sum is made here, and its share is handed on.
        if self.optimisation.clip_norm or self.optimisation.precision == "float16":
            context = tf.distribute.get_replica_context()
            gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
            if self.optimisation.clip_norm:
                gradients = self._clip(gradients)
            gradients = [gradient / self.strategy.num_replicas_in_sync for gradient in gradients]
        self.optimizer.apply(gradients, self.model.trainable_variables)
        return tf.concat([losses, [stop]], axis=0)  # one sum over the replicas instead of two

    def _clip(self, gradients):
        limit = tf.constant(self.optimisation.clip_norm, tf.float32)
        if self.optimisation.precision == "float16":
            limit = limit * self.optimizer.dynamic_scale
        norm = tf.linalg.global_norm(gradients)
        # A norm that is not finite is left for the loss scaler, or for the check of the loss, to see.
        factor = tf.where(tf.math.is_finite(norm), limit / tf.maximum(norm, limit), 1.0)
        return [gradient * factor for gradient in gradients]

    def _gradients(self, images, targets, supervised):
        """This replica's share of the global batch's losses [S] and gradients, a microbatch at a time."""
        size = images.shape[0]
        part = min(self.optimisation.microbatch or size, size)
        count = size // part
        share = 1.0 / (self.strategy.num_replicas_in_sync * count)

        def of_part(start):
            window = slice(start, start + part)
            with tf.GradientTape() as tape:
                outputs = self.model(images[window], training=True)
                total, per_stage = self._loss(targets[window], outputs, supervised[window])
                objective = total * share
                if self.optimisation.precision == "float16":
                    objective = self.optimizer.scale_loss(objective)
            return per_stage * share, tape.gradient(objective, self.model.trainable_variables)

        if count == 1:
            return of_part(0)

        def add(index, losses, gradients):
            more_losses, more_gradients = of_part(index * part)
            return index + 1, losses + more_losses, [a + b for a, b in zip(gradients, more_gradients)]

        zeros = [tf.zeros(variable.shape) for variable in self.model.trainable_variables]
        start = (tf.constant(0), tf.zeros(self.spec.stages), zeros)
        # A loop in the graph, one turn at a time: unrolled turns would run side by side and need the memory
        # of the whole batch.
        _, losses, gradients = tf.while_loop(lambda index, *_: index < count, add, start, parallel_iterations=1)
        return losses, gradients

    def _average(self):
        if not self.averages:
            return
        step = tf.cast(self.optimizer.iterations, tf.float32)
        decay = tf.minimum(self.optimisation.ema_decay, (1.0 + step) / (10.0 + step))
        for average, variable in zip(self.averages, self.model.trainable_variables):
            self.strategy.extended.update(
                average, lambda a, v, d: a.assign(d * a + (1.0 - d) * v), args=(variable.value, decay))

    def _predict(self, images):
        """uint8 [B, size, size, 3] -> float32 [B, S, h, w, C] with the weights as they are."""
        return self.model(images, training=False)

    # ---- where it runs

    @property
    def num_workers(self) -> int:
        """Number of processes that train together."""
        resolver = self.strategy.cluster_resolver
        return len(resolver.cluster_spec().as_dict().get("worker", [])) or 1 if resolver else 1

    @property
    def worker(self) -> int:
        """Which of them this is, from 0."""
        return self.strategy.cluster_resolver.task_id or 0 if self.num_workers > 1 else 0

    @property
    def is_chief(self) -> bool:
        """Whether this worker writes the log, the checkpoints and the pictures."""
        return self.worker == 0

    def sum_over_workers(self, values: np.ndarray) -> np.ndarray:
        """The sum over all workers of a vector, float64 [N]; each worker must call it."""
        return values if self.num_workers == 1 else self._sum(tf.constant(values, tf.float64)).numpy()

    def _sum_in_graph(self, vector):
        replicas = self.strategy.num_replicas_in_sync // self.num_workers
        # Each of a worker's replicas holds the same numbers, so each gives its share of them.
        shares = self.strategy.run(lambda part: part / replicas, (vector,))
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, shares, axis=None)

    def from_chief(self, values: np.ndarray) -> np.ndarray:
        """The chief's vector, float64 [N], on every worker; each worker must call it."""
        values = np.asarray(values, np.float64)
        return self.sum_over_workers(values if self.is_chief else np.zeros_like(values))

    def follow_chief(self) -> None:
        """Give every worker the chief's weights, averages and optimizer, whatever it had."""
        if self.num_workers == 1:
            return
        for variable in [*self.model.variables, *self.averages, *self.optimizer.variables]:
            value = np.asarray(variable.numpy())
            variable.assign(self.from_chief(value.ravel()).reshape(value.shape).astype(value.dtype))

    # ---- what it keeps

    def set_learning_rate(self, rate: float) -> None:
        """The step size of the next steps."""
        self.optimizer.learning_rate.assign(rate)

    @contextlib.contextmanager
    def averaged(self):
        """Within this context the model's weights are their moving averages, where there are any."""
        if not self.averages:
            yield
            return
        kept = [variable.numpy() for variable in self.model.trainable_variables]
        for variable, average in zip(self.model.trainable_variables, self.averages):
            variable.assign(average.numpy())
        try:
            yield
        finally:
            for variable, value in zip(self.model.trainable_variables, kept):
                variable.assign(value)

    def checkpoint(self, step: int, state: dict) -> checkpoints.Checkpoint:
        """All arrays as they are now."""
        trainable = [variable.path for variable in self.model.trainable_variables]
        return checkpoints.Checkpoint(
            spec=self.spec, step=step, state=state,
            weights={path: variable.numpy() for path, variable in checkpoints.variables(self.model).items()},
            ema={path: average.numpy() for path, average in zip(trainable, self.averages)},
            optimizer={variable.path: np.asarray(variable.numpy()) for variable in self.optimizer.variables})

    def restore(self, checkpoint: checkpoints.Checkpoint, source) -> None:
        """Bring back all arrays of a checkpoint.

        Args:
            checkpoint: from `checkpoint`, of the same net and optimisation.
            source: its path, for errors.

        Raises:
            BadCheckpoint: it is of another net, or its arrays do not fit; nothing has been changed then.
        """
        if checkpoint.spec != self.spec:
            theirs, ours = describe(checkpoint.spec), describe(self.spec)
            unlike = difference(checkpoint.spec.skeleton.names, self.spec.skeleton.names) or "other bones"
            raise checkpoints.BadCheckpoint(
                f"{source}: a checkpoint of another net. It holds {theirs}; this run is {ours}"
                f"{f' ({unlike})' if theirs == ours else ''}. Use the same flags as then, another --tag, or for its "
                f"weights alone --checkpoint=RUN/checkpoints/best.npz.")
        trainable = [variable.path for variable in self.model.trainable_variables]
        groups = [(checkpoints.variables(self.model), checkpoint.weights, "weights"),
                  (dict(zip(trainable, self.averages)), checkpoint.ema, "moving averages (--ema_decay)"),
                  ({v.path: v for v in self.optimizer.variables}, checkpoint.optimizer,
                   "optimizer (--optimizer, --precision)")]
        for ours, theirs, what in groups:
            shapes = {name: tuple(variable.shape) for name, variable in ours.items()}
            found = {name: array.shape for name, array in theirs.items()}
            if shapes != found:
                odd = sorted(name for name in shapes.keys() | found.keys() if shapes.get(name) != found.get(name))
                raise checkpoints.BadCheckpoint(
                    f"{source}: its {what} do not fit this run: {len(odd)} arrays differ, first '{odd[0]}' "
                    f"(expected {shapes.get(odd[0])}, found {found.get(odd[0])}). Use the flags it was made with.")
        for ours, theirs, _ in groups:
            for name, variable in ours.items():
                variable.assign(theirs[name])

    def reset_averages(self) -> None:
        """Start the averages from the present weights, after these were loaded from elsewhere."""
        for average, variable in zip(self.averages, self.model.trainable_variables):
            average.assign(variable.numpy())


def describe(spec: nets.Spec) -> str:
    """A net in the words of the flags that make it.

    >>> describe(nets.Spec("cpm", 368, 6))
    '--net=cpm --input_width=368 --stages=6 --width=1 with 21 joints'
    """
    return (f"--net={spec.net} --input_width={spec.size} --stages={spec.stages} --width={spec.width:g} with "
            f"{spec.skeleton.num_joints} joints")
