"""`python -m concrete_study` is the same as `study`."""

from concrete_study.cli.app import main

if __name__ == "__main__":
    main()
