"""`python -m keras_mgnet`: the command line, if its program is not on the PATH."""

from keras_mgnet.cli.start import start

if __name__ == "__main__":
    start()
