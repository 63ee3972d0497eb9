"""Simulated models: no key, no cost, the same answers for everybody, and the whole way of a real call.

They are for learning, dry runs and tests. On the question bank that ships with the toolkit they are as often right as
three real models were (see :mod:`~orchestration_nb.providers.sim.skill`); on anything else they do something modest.
"""

from orchestration_nb.providers.sim.answers import MODELS, SimPrompt, SimReply, answer
from orchestration_nb.providers.sim.bank import Bank, Question, Ticket, data_folder, shipped_bank
from orchestration_nb.providers.sim.batches import BatchSetting
from orchestration_nb.providers.sim.faults import Fault, Faults, Outage
from orchestration_nb.providers.sim.server import SimServer

__all__ = [
    "MODELS",
    "Bank",
    "BatchSetting",
    "Fault",
    "Faults",
    "Outage",
    "Question",
    "SimPrompt",
    "SimReply",
    "SimServer",
    "Ticket",
    "answer",
    "data_folder",
    "shipped_bank",
]
