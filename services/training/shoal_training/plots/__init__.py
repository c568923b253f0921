"""Pictures of figures: PNG files. Importing this loads no matplotlib; drawing does."""
