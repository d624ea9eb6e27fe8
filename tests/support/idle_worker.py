"""A worker that does nothing: what a test leaves out of the part that its own worker plays."""

from __future__ import annotations

from experiments.launch.pool import Worker


class IdleWorker(Worker):
    """Always ready, and deaf to all that it is told but the job."""

    def ready(self):
        return True

    def send(self, job):
        pass

    def renew(self):
        self.forget()

    def ask(self):
        pass

    def stop(self, seconds=5.0):
        pass
