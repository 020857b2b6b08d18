"""The Frechet inception distance of every snapshot during training, at the current resolution.

Fewer images than in stage evaluate, which measures at full resolution.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.params import SnapshotFid, TrainRun
from training import generate
from training.data import random_streams
from training.data.random_streams import Stream
from training.data.real_images import Reals
from training.metrics import short_count
from training.metrics.features import frechet_distance
from training.metrics.inception import InceptionNetwork
from training.networks import Generator
from training.schedule import Step


class SnapshotFidMetric:
    """Distance of the features of generated images from those of as many reals, which are kept for a resolution.

    Raises
    ------
    NetworkError
        The Inception network is missing, or another one than in the params.
    """

    def __init__(self, options: SnapshotFid, run: TrainRun, reals: Reals, device: torch.device) -> None:
        self.name = f"fid{short_count(options.images)}"
        self._options = options
        self._run = run
        self._reals = reals
        self._network = InceptionNetwork(options, device, key="snapshot_fid")
        self._real_features: tuple[int, NDArray[np.float32]] | None = None

    def measure(self, average: Generator, step: Step) -> float:
        """The distance of samples at the step's level of detail."""
        count, seed = self._options.images, self._run.seed
        starts = range(0, count, step.minibatch)
        if self._real_features is None or self._real_features[0] != step.resolution:
            features = [
                self._network.features(
                    self._reals.read(step.resolution, start, min(step.minibatch, count - start)).as_shown()
                )
                for start in starts
            ]
            self._real_features = step.resolution, np.concatenate(features)
        latents_NL = random_streams.latents(seed, Stream.SNAPSHOT_SWD, 0, (count, self._run.networks.latent_size))
        labels_NL = self._reals.random_labels(0, count)
        fake_NF: list[NDArray[np.float32]] = []
        for start in starts:
            part = slice(start, start + step.minibatch)
            labels = None if labels_NL is None else labels_NL[part]
            samples = generate.images(average, latents_NL[part], labels, lod=step.lod, minibatch=step.minibatch)
            fake_NF.append(self._network.features(samples))
        return round(float(frechet_distance(self._real_features[1], np.concatenate(fake_NF))), 4)
