"""One job from plan to outcome: stages, epochs, scores, layer statistics, predictions."""
