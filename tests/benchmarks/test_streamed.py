"""The photographs of a benchmark, and the rate of a pipeline on them."""

from keras_mgnet.benchmarks.streamed import generate, rate
from keras_mgnet.images import shape


def test_photographs_are_made_once_and_read(tmp_path):
    generate(tmp_path, 40)
    files = sorted(tmp_path.rglob("*.jpg"))
    assert len(files) == 40 and len([*(tmp_path / "test").rglob("*.jpg")]) == 4
    assert all(100 <= side <= 600 for file in files for side in shape(file)[:2])
    files[0].write_bytes(b"kept")
    generate(tmp_path, 40)
    assert files[0].read_bytes() == b"kept"
    row = rate("keras_mgnet, streamed", str(tmp_path), 32, 0.01)
    assert row["rate"] > 0 and row["memory_mb"] > 0
