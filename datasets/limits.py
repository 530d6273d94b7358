"""Limits of the images that are read; a module of its own, as it needs neither NumPy nor Pillow."""

MAX_MEGAPIXELS = 300.0  # by default; a phone's 200 are read
