"""The mathematics of an update: objective, losses, optimizers, schedules, accumulation."""
