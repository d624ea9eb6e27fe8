"""The seam between choosing, running and remembering: plan, Job, Outcome, predictions."""
