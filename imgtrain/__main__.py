"""``python -m imgtrain`` is the ``imgtrain`` command."""

from imgtrain.cli import main

if __name__ == "__main__":
    main()
