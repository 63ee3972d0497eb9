"""The first attempt of a call that is alone: its money and its turn, taken where its question is claimed.

The three are agreed on in ``state.sqlite``, and a transaction costs more than what is done in it. Calls that come
together share theirs; one that comes alone has nobody to share with, and takes all that it needs in one. What cannot be
had at once is waited for afterwards, as ever.
"""

from __future__ import annotations

import sqlite3

from orchestration_nb.cost.bounds import most_input_tokens
from orchestration_nb.cost.budget import Hold, MoneyAhead
from orchestration_nb.engine.payment import Call
from orchestration_nb.engine.services import Turn, TurnAhead


class Opening:
    """Goes along with the claim of a question, and takes nothing unless that is ours to ask.

    Args:
        money: Takes the money.
        turn: Takes the turn, or ``None`` where that takes no transaction.
    """

    def __init__(self, money: MoneyAhead, turn: TurnAhead | None) -> None:
        self._money = money
        self._turn = turn
        self._over = False

    @classmethod
    def of(cls, call: Call) -> Opening | None:
        """That of a call; ``None`` where others are under way, or something stands in its way."""
        run, model = call.run, call.book.model
        services = run.services
        if services.asking > 1 or services.semantic is not None or run.batches is not None:
            return None
        if model.price is None or model.name in run.unusable or not services.circuits.is_closed(model.name):
            return None
        tokens = most_input_tokens(call.request)
        most_usd, tokens = model.price.most_usd(tokens, call.max_tokens), tokens + call.max_tokens
        step, facts = call.request.origin.step, call.book.facts()
        money = run.budget.ahead(most_usd, tokens=tokens, step=step, facts=facts)
        return None if money is None else cls(money, services.limits.ahead(model, tokens=tokens))

    def take(self, connection: sqlite3.Connection) -> None:
        """Takes what is to be had now, within the transaction of the claim."""
        if self._money.take(connection) and self._turn is not None:
            self._turn.take(connection)

    def committed(self) -> None:
        """The transaction has ended well, whether or not somebody still waits for it."""
        self._money.committed()
        if self._turn is not None:
            self._turn.committed()
        if self._over:
            self.close()

    def hold(self) -> Hold | None:
        """The money, to be had once."""
        return self._money.hold()

    def turn(self) -> Turn | None:
        """The turn, to be had once."""
        return None if self._turn is None else self._turn.turn()

    def close(self) -> None:
        """Gives back what nobody has fetched."""
        self._over = True
        hold, turn = self.hold(), self.turn()
        if hold is not None:
            hold.release()
        if turn is not None:
            turn.unused()
