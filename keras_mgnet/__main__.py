"""`python -m keras_mgnet` runs the command line, also if the program `keras-mgnet` is not on the PATH."""

from keras_mgnet.cli.start import start

if __name__ == "__main__":
    start()
