"""The Predictor that a command's flags ask for."""

from absl import flags


def make(artefact, values: flags.FlagValues, **more):
    """Load an artefact.

    Args:
        artefact: path of any artefact, run or checkpoint, the shipped model's name, or what is loaded already.
        values: max_hands, threshold, handedness, scale and batchsize.
        more: arguments of `predict.Predictor` that come before the flags.

    Raises:
        ValueError: as `predict.Predictor`.
    """
    from cpm_hand import predict

    arguments = {"max_hands": values.max_hands, "threshold": values.threshold, **more}
    return predict.Predictor(artefact, handedness=values.handedness, scales=values.scale, batch_size=values.batchsize,
                             **arguments)


def settings(path: str, predictor, in_a_box: bool) -> dict:
    """What the numbers of an artefact at that path were reached with: plain values, by name."""
    return {"graph_path": path, "threshold": predictor.threshold, "handedness": predictor.handedness,
            "scale": list(predictor.crop_scales(in_a_box)), "crop_factor": predictor.crop_factor,
            "max_hands": predictor.max_hands}
