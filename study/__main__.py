"""`python -m study`, the same as `study`."""

from study.app import main

if __name__ == "__main__":
    main()
