"""Options of `keras-mgnet train` for the networks that the tests of the explorer show."""

NETWORKS = {
    "mgnet": ["--model", "mgnet_2222_c64_shared_b", "--set", "nu=[2,2]", "--set", "channels=[16,24]"],
    "resnet": ["--model", "resnet20", "--set", "blocks=[1,2]", "--set", "base_width=8"],
}
