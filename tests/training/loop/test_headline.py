"""What a run says of itself before its first epoch."""

from dataclasses import replace

from keras_mgnet.training.loop import loop
from keras_mgnet.training.loop.config import TrainConfig
from keras_mgnet.training.loop.headline import headline
from keras_mgnet.training.runs.state import Progress


def test_a_short_run_says_what_became_of_its_schedule_and_its_steps(tmp_path):
    config = TrainConfig("digits", set={"nu": [1], "channels": 2}, epochs=12, batch_size=500)
    prepared = loop.prepare(config)
    text = headline(prepared, tmp_path, Progress())
    assert "cosine schedule instead of the recipe's step" in text and "--schedule step keeps the recipe's" in text
    assert "3 steps per epoch, from 1,437 images in batches of 500" in text
    plain = loop.prepare(replace(config, epochs=60, batch_size=32))
    assert len(headline(plain, tmp_path, Progress()).splitlines()) == 1
