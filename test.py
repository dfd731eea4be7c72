"""Find the hand in a picture: `python test.py` explains itself."""

from cpm_hand.cli import test

if __name__ == "__main__":
    test.run()
