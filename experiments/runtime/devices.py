"""Which devices train one network together, and how they find each other.

A batch is always the global one: `data.batch_size` images make one update, however many devices
share it, so that the number of devices changes the speed of a run and not its result.

On TensorFlow a strategy holds a copy of the network on each device; on JAX one program runs on all
of them. Several hosts run the same command; they are named in ILSVRC_HOSTS=HOST:PORT,HOST:PORT with
the own place, from 0, in ILSVRC_HOST_INDEX. Without these TensorFlow reads TF_CONFIG, and JAX
what Slurm, Open MPI or a TPU pod tell it.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from experiments.errors import BadInput, FailedWork, first_line

HOSTS, INDEX = "ILSVRC_HOSTS", "ILSVRC_HOST_INDEX"
RANKS = (INDEX, "SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "TPU_WORKER_ID")


@dataclass(frozen=True)
class Devices:
    """What computes together. One device has neither strategy nor distribution."""

    names: tuple[str, ...] = ("",)
    strategy: Any = None
    """A tf.distribute.Strategy."""
    distribution: Any = None
    """A keras.distribution.DataParallel."""
    process: int = 0
    processes: int = 1

    @property
    def replicas(self) -> int:
        return len(self.names)

    @property
    def spread(self) -> bool:
        """Do several devices share each batch?"""
        return self.replicas > 1

    @contextlib.contextmanager
    def scope(self) -> Iterator[None]:
        """Within it variables are made, a copy of each for every device."""
        spread = self.strategy or self.distribution
        with spread.scope() if spread is not None else contextlib.nullcontext():
            yield

    @contextlib.contextmanager
    def metrics_scope(self) -> Iterator[None]:
        """Within it metrics are made; TensorFlow's are kept once, beside the copies."""
        with self.distribution.scope() if self.distribution else contextlib.nullcontext():
            yield

    def check_batch(self, size: int) -> None:
        """A batch has as many images on each device.

        Raises:
            BadInput: it has not.
        """
        if rest := size % self.replicas:
            below, above = size - rest, size - rest + self.replicas
            fix = f"{below} or {above}" if below else f"{above}"
            raise BadInput(
                f"data.batch_size: {size} images do not divide among {self.replicas} devices; "
                f"set {fix}, or train.devices=one"
            )


_chosen: dict[str, Devices] = {}


def chosen(setting: str) -> Devices:
    """The devices that `train.devices` names; the first call in a process settles them.

    Raises:
        BadInput: there are none, or hosts that nobody has named.
        FailedWork: several hosts, in a process that has computed already.
    """
    if setting not in _chosen:
        _chosen[setting] = _choose(setting)
    return _chosen[setting]


def sharing_note(devices: Devices, batch_size: int) -> str:
    """How a batch is shared, in one line. The learning rate is that of the batch as a whole:
    `train.optimizer.learning_rate_scaling` has the rule for another one."""
    among = f"{devices.replicas} devices"
    if devices.processes > 1:
        among += f" of {devices.processes} hosts"
    return f"{among} share each batch of {batch_size}: {batch_size // devices.replicas} images each"


def process_index(setting: str) -> int:
    """Which of the processes that train together this one is, without asking the others."""
    if setting != "hosts":
        return 0
    if INDEX not in os.environ and "TF_CONFIG" in os.environ and _backend() == "tensorflow":
        task = json.loads(os.environ["TF_CONFIG"]).get("task", {})
        return int(task.get("index", 0))
    return next((int(os.environ[name]) for name in RANKS if name in os.environ), 0)


def refuse_hosts(setting: str, command: str) -> None:
    """Only one run at a time is spread over hosts.

    Raises:
        BadInput: `command` would train many.
    """
    if setting == "hosts":
        raise BadInput(
            f"train.devices: {command} trains many networks, and hosts train one together; "
            "set train.devices=all, or use ilsvrc train"
        )


def _backend() -> str:
    import keras

    return str(keras.backend.backend())


def _choose(setting: str) -> Devices:
    if setting == "one":
        return Devices()
    backend = _backend()
    if backend == "tensorflow":
        return _of_tensorflow(setting)
    if backend == "jax":
        return _of_jax(setting)
    raise BadInput(
        f"train.devices: {setting} needs the TensorFlow or JAX backend. Received: {backend}; set "
        "KERAS_BACKEND=jax, or train.devices=one"
    )


def _of_tensorflow(setting: str) -> Devices:
    import tensorflow as tf

    if setting == "hosts":
        return _tensorflow_hosts()
    if setting == "tpu":
        try:
            resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect()
            strategy = tf.distribute.TPUStrategy(resolver)
        except Exception as error:  # of many kinds: no address, no driver, no permission
            raise _no_tpu("TensorFlow", error) from None
        count = strategy.num_replicas_in_sync
        names = tuple(f"TPU:{number}" for number in range(count))
        return Devices(names, strategy) if count > 1 else Devices(names)
    accelerators = tf.config.list_logical_devices("GPU")
    devices = accelerators or tf.config.list_logical_devices("CPU")
    names = tuple(f"{x.device_type}:{at}" for at, x in enumerate(devices))
    if len(names) == 1:
        return Devices(names)
    # TensorFlow's collective operations know one group of CPUs a process, NCCL any of GPUs.
    across = None if accelerators else tf.distribute.ReductionToOneDevice()
    return Devices(names, tf.distribute.MirroredStrategy(list(names), across))


def _tensorflow_hosts() -> Devices:
    import tensorflow as tf

    if hosts := _hosts():
        addresses, index = hosts
        cluster = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        os.environ["TF_CONFIG"] = json.dumps(cluster)
    elif "TF_CONFIG" not in os.environ:
        raise _unnamed("TF_CONFIG")
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        if "program startup" not in str(error):
            raise
        raise _too_late() from None
    resolver = strategy.cluster_resolver
    replicas = strategy.num_replicas_in_sync
    names = tuple(f"replica:{number}" for number in range(replicas))
    processes = len(resolver.cluster_spec().as_dict().get("worker", ())) or 1
    return Devices(names, strategy, process=resolver.task_id or 0, processes=processes)


def _of_jax(setting: str) -> Devices:
    import jax
    import keras

    if setting == "hosts":
        _join_jax_hosts()
    kind = None
    if setting == "tpu":
        kind = "tpu"
        try:
            jax.devices("tpu")
        except RuntimeError as error:
            raise _no_tpu("JAX", error) from None
    names = tuple(keras.distribution.list_devices(kind))
    if len(names) == 1:
        return Devices(names)
    spread = keras.distribution.DataParallel(devices=list(names), auto_shard_dataset=False)
    return Devices(
        names, distribution=spread, process=jax.process_index(), processes=jax.process_count()
    )


def _join_jax_hosts() -> None:
    import jax
    import keras

    # Processors need to be told by what they reach each other; accelerators do not heed it.
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    # It would take SIGTERM away from whoever listens; `hosts.Accord` does what it is for.
    jax.config.update("jax_enable_preemption_service", False)
    hosts = _hosts()
    try:  # Keras's, for with it all draw the same weights, even those that are drawn anew later
        if hosts:
            addresses, index = hosts
            keras.distribution.initialize(addresses[0], len(addresses), index)
        else:
            keras.distribution.initialize()
    except ValueError as error:
        raise _unnamed("Slurm, Open MPI or a TPU pod", error) from None
    except RuntimeError as error:
        if "before" not in str(error):
            raise
        raise _too_late() from None


def _hosts() -> tuple[list[str], int] | None:
    """Addresses of all hosts and the own place among them, if the environment has them."""
    text = os.environ.get(HOSTS)
    if not text:
        return None
    addresses = [address.strip() for address in text.split(",") if address.strip()]
    index = os.environ.get(INDEX, "")
    if any(":" not in address for address in addresses):
        raise BadInput(f"{HOSTS}: expected HOST:PORT,HOST:PORT. Received: {text}")
    if not index.isdecimal() or int(index) >= len(addresses):
        raise BadInput(
            f"{INDEX}: expected 0 to {len(addresses) - 1}, this host's place in {HOSTS}. "
            f"Received: {index or 'nothing'}"
        )
    return addresses, int(index)


def _unnamed(instead: str, error: Exception | None = None) -> BadInput:
    reason = f" ({first_line(error)})" if error else ""
    return BadInput(
        f"train.devices: hosts: nobody names them{reason}; set {HOSTS}=HOST:PORT,HOST:PORT and "
        f"{INDEX}=0 (1, ...) on each, or start under {instead}"
    )


def _too_late() -> FailedWork:
    return FailedWork(
        "train.devices: hosts must meet before anything is computed, and this process has; "
        "use launch.executor=processes"
    )


def _no_tpu(library: str, error: Exception) -> BadInput:
    return BadInput(
        f"train.devices: tpu: {library} finds no TPU here ({first_line(error)}); "
        "run on a TPU machine, or set train.devices=all"
    )
