"""What a run will ask, cost and take, reckoned before it begins; and what came of it.

``rehearsal`` evaluates what only builds requests, ``precedents`` finds the past items that speak for a step,
``outlook`` makes lines of both, ``forecast`` puts the plan together, ``hindsight`` sets the run beside it.
"""
