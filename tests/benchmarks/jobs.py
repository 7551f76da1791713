"""aiojobs: one scheduler, a job per turn, and a dict of the jobs by session."""

from typing import Any

from aiojobs import Job, Scheduler

from tests.benchmarks.agents import Waiting


class DictOfJobs:
    """Closes the old job before it spawns the next one. As the default limit is 100 jobs, there is none."""

    def __init__(self, agent: Waiting) -> None:
        self.agent = agent
        self.jobs: dict[str, Job[Any]] = {}
        # Closing very many takes longer than its `close_timeout`, which it would report for each.
        self.scheduler = Scheduler(limit=None, exception_handler=lambda _scheduler, _context: None)

    async def send(self, session: str, message: str) -> Job[Any]:
        """Close what runs, spawn the next one."""
        old = self.jobs.get(session)
        if old is not None:
            await old.close()
        job = self.jobs[session] = await self.scheduler.spawn(self.agent(message))
        return job

    async def run(self, session: str, message: str) -> None:
        """Run one turn to its end."""
        job = await self.send(session, message)
        await job.wait()
        if self.jobs.get(session) is job:
            del self.jobs[session]

    async def cancel(self, session: str) -> None:
        """Close the session's job, which waits for its end."""
        job = self.jobs.pop(session, None)
        if job is not None:
            await job.close()

    async def close(self) -> None:
        """Close every job."""
        await self.scheduler.close()
