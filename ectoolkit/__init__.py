"""ectoolkit."""
