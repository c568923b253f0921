"""NVIDIA's Triton as one of Shoal's processes."""
