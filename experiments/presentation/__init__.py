"""How anything looks: console, numbers and words, figure style, labels in figures, HTML."""
