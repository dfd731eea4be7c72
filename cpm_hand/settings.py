"""When a run of training does what, and what does not go together."""

from typing import NamedTuple

from cpm_hand.engine import Optimisation
from cpm_hand.pipeline import Data
from cpm_hand.schedules import Schedule


class Settings(NamedTuple):
    """When a run does what.

    Attributes:
        run_dir: its folder.
        schedule: of the learning rate; its total_steps is the length of the run.
        log_every: steps between log lines.
        checkpoint_every: steps between checkpoints.
        validate_every: steps between validations, each with pictures.
        keep: checkpoints that stay; the best one stays besides.
        patience: validations without improvement before a plateau schedule lowers the rate.
        early_stop: validations without improvement before the run ends; 0 never.
        max_seconds: training time after which the run ends, and by which its schedule hurries where its steps would
            take longer; 0 is no limit.
        flags: text for the run's record.
        presence_threshold: of the net that the run begins with, which it hands on; None where there is none.
    """

    run_dir: str
    schedule: Schedule
    log_every: int = 500
    checkpoint_every: int = 2000
    validate_every: int = 2000
    keep: int = 5
    patience: int = 5
    early_stop: int = 0
    max_seconds: float = 0.0
    flags: str = ""
    presence_threshold: float | None = None


def check_together(data: Data, settings: Settings, optimisation: Optimisation, strategy) -> None:
    """Refuse settings that contradict each other, before any time is spent on them.

    Raises:
        ValueError: what does not go together, and what would.
    """
    replicas = strategy.num_replicas_in_sync
    share = data.batch_size // replicas
    if share * replicas != data.batch_size:
        raise ValueError(f"--batchsize={data.batch_size} cannot be divided among {replicas} devices; the nearest "
                         f"that can is {max(round(data.batch_size / replicas), 1) * replicas}.")
    if optimisation.microbatch and share % min(optimisation.microbatch, share):
        raise ValueError(f"--microbatch={optimisation.microbatch} does not divide the {share} pictures that each of "
                         f"{replicas} device(s) gets of --batchsize={data.batch_size}.")
    if data.validation is None and (settings.early_stop or settings.schedule.kind == "plateau"):
        raise ValueError("--early_stop and --schedule=plateau go by the validation error, but there are no validation "
                         "pictures; give --validation_data or a larger --validation_fraction.")
