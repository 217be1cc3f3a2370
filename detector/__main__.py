"""`python -m detector NAME ...` is `detector NAME ...`."""

from detector.cli.main import main

if __name__ == "__main__":
    main()
